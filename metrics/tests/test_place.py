"""Share of the sound that stays in place: values of the literal code, and signals whose place is known."""

from __future__ import annotations

import literal_cues as literal
import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.place import JNDS, Place, place
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray
from binaural_metrics.silence import silence_leak
from golden_signals import delay, extreme, pink
from scipy.signal import butter, sosfilt

FS = 8000
RNG = np.random.default_rng(7)
SOURCE = pink(RNG, 1, 2 * FS)
OTHER = pink(RNG, 2, 2 * FS)
AHEAD = np.repeat(SOURCE, 2, axis=0)
ASIDE = (
    np.vstack([delay(SOURCE, 3), 0.5 * SOURCE]) + 0.02 * OTHER
)  # the left ear later by 375 us and 6 dB louder


def share(reference: FloatArray, estimate: FloatArray, fs: int = FS) -> float:
    value = place(reference, estimate, fs).in_place[2].value
    assert value is not None
    return value


def values(found: Place) -> list[float | None]:
    return [cue.value for cue in (*found.in_place.values(), found.missing, found.cue_error_jnd)]


def test_values_equal_those_of_the_literal_code() -> None:
    fs = 6000
    rng = np.random.default_rng(fs)
    x, noise = pink(rng, 1, fs // 4), pink(rng, 2, fs // 4)
    reference = np.vstack([x, 0.6 * delay(x, 2)]) + 0.1 * noise
    reference[:, fs // 8 :] *= 1e-3
    estimate = reference + 0.2 * noise[::-1] * np.linspace(0, 1, fs // 4)
    estimate[:, : fs // 16] *= 1e-5
    found = place(reference, estimate, fs)
    for jnd in JNDS:
        expected = literal.in_place(reference, estimate, fs, jnd)
        cues = found.in_place[jnd], found.missing, found.cue_error_jnd
        assert [cue.value for cue in cues] == pytest.approx(expected, abs=1e-4)
    assert found.missing.value is not None
    assert 5 < found.missing.value < 50


def test_the_limits_of_cells_are_those_of_the_literal_code() -> None:
    """Cells on both sides of each limit: coherence, level of band and frame, missing sound, largest error."""
    fs, n = 6000, 3000
    rng = np.random.default_rng(3)
    x, noise = pink(rng, 1, n), pink(rng, 2, n)
    steep = sosfilt(butter(4, 500, fs=fs, output="sos"), np.vstack([x, 0.6 * delay(x, 2)]) + 0.5 * noise)
    reference = steep * 10 ** (-70 / 20 * np.linspace(0, 1, n))
    estimate = np.vstack([reference[0], 10 ** (-50 / 20 * np.linspace(0, 1, n)) * reference[1]])
    fading = reference * 10 ** (-np.linspace(50, 70, n) / 20)
    for other in (estimate, fading[:, ::-1], fading):
        found, expected = place(reference, other, fs), literal.in_place(reference, other, fs, 2)
        cues = found.in_place[2], found.missing, found.cue_error_jnd
        assert [cue.value for cue in cues] == pytest.approx(expected, abs=1e-3)
    assert place(AHEAD, AHEAD * [[1.0], [1e-3]], FS).cue_error_jnd.value == 40


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.3, 0.01, 30.0])
def test_a_common_gain_keeps_all_in_place(gain: float) -> None:
    assert values(place(ASIDE, gain * ASIDE, FS)) == pytest.approx([100, 100, 100, 0, 0], abs=1e-4)


@pytest.mark.parametrize("late", [-8, 1, 8])
def test_a_common_delay_within_1_ms_keeps_all_in_place(late: int) -> None:
    assert share(ASIDE, delay(ASIDE, late)) > 99.5


def test_level_differences_beyond_two_jnd_are_not_in_place() -> None:
    steps = {-6.0: 0, 1.0: 100, 1.9: 100, 2.1: 0, 3.0: 0}
    for db, expected in steps.items():
        moved = AHEAD * [[1.0], [10 ** (db / 20)]]
        assert share(AHEAD, moved) == expected, db
    table = place(AHEAD, AHEAD * [[1.0], [10 ** (3 / 20)]], FS).in_place
    assert [table[jnd].value for jnd in JNDS] == [0, 0, 100]


def test_the_delay_of_one_ear_is_not_in_place_below_1400_hz() -> None:
    low = sosfilt(butter(6, 800, fs=FS, output="sos"), AHEAD)
    high = sosfilt(butter(8, 2000, "high", fs=FS, output="sos"), AHEAD)
    for x, expected in ((low, 0), (high, 100)):
        assert share(x, np.vstack([x[0], delay(x[1], 2)])) == pytest.approx(expected, abs=1)


def test_a_removed_band_is_missing_and_leaves_the_rest_in_place() -> None:
    estimate = sosfilt(butter(8, 1000, fs=FS, output="sos"), ASIDE)
    estimate = sosfilt(butter(8, 1000, fs=FS, output="sos"), estimate)
    whole, found = place(ASIDE, ASIDE, FS), place(ASIDE, estimate, FS)
    assert found.in_place[2].value == pytest.approx(100, abs=0.5)
    gone = sum(weight for hz, _, weight in whole.bands if hz > 2000)
    assert found.missing.value is not None
    assert gone < found.missing.value < gone + 15


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_what_is_missing_is_relative_to_the_reference_at_the_gain_of_the_mixture(gain: float) -> None:
    """Above 1 kHz, the estimate has the ears swapped, 60 dB below the references at a gain of 1."""
    low, high = (sosfilt(butter(8, 1000, kind, fs=FS, output="sos"), ASIDE) for kind in ("low", "high"))
    stems = {"vocals": low + 1e-3 * high[::-1]}
    columns = ("in_place", "missing", "cue_error_jnd", "d_ild_db", "d_ic")

    def scores(reference: FloatArray, mixture_gain: float) -> list[float]:
        rows, _ = score_track({"vocals": reference}, stems, FS, bsseval=False, mixture_gain=mixture_gain)
        return [rows[0][column] for column in columns]

    found = scores(ASIDE, gain)
    assert found == pytest.approx(scores(gain * ASIDE, 1.0), abs=1e-3)
    assert (found[3] > 1) == (gain < 1)
    assert (found[1] > 10) == (gain > 1)


def test_the_value_of_two_tracks_in_a_row_is_their_weighted_mean() -> None:
    pairs = [(ASIDE, ASIDE + 0.2 * OTHER), (0.5 * AHEAD, 0.5 * AHEAD[:, ::-1] + 0.05 * OTHER)]
    parts = [place(*pair, FS).in_place[2] for pair in pairs]
    reference, estimate = (np.hstack(side) for side in zip(*pairs, strict=True))
    whole = place(reference, estimate, FS).in_place[2]
    mean = np.average(
        [part.value for part in parts if part.value is not None],
        weights=[part.weights.sum() for part in parts],
    )
    assert whole.value == pytest.approx(mean, abs=1)
    assert whole.value == pytest.approx(np.average(whole.frames, weights=whole.weights))
    assert whole.start_s.tolist() == [0, 1, 2, 3]


def test_swapping_the_ears_of_both_signals_keeps_the_values() -> None:
    x, y = ASIDE, ASIDE + 0.3 * OTHER
    assert values(place(x[::-1], y[::-1], FS)) == pytest.approx(values(place(x, y, FS)), abs=0.1)


def test_bands_average_to_the_value_of_the_track() -> None:
    found = place(ASIDE, ASIDE + 0.3 * OTHER, FS)
    hz, shares, weights = np.array(found.bands).T
    assert np.average(shares, weights=weights) == pytest.approx(found.in_place[2].value, abs=0.01)
    assert hz[0] == pytest.approx(100)
    assert np.sum(weights) == pytest.approx(100, abs=0.1)


def test_a_bass_does_not_make_its_inaudible_leakage_audible() -> None:
    bass = np.repeat(np.sin(2 * np.pi * 55 * np.arange(2 * FS) / FS)[None], 2, axis=0)
    bass[1] *= 0.7
    hiss = sosfilt(butter(4, 1000, "high", fs=FS, output="sos"), OTHER)
    quiet = bass + 1e-3 * hiss
    bands = place(quiet, quiet, FS).bands
    assert max(hz for hz, *_ in bands) < 500


def test_values_do_not_depend_on_the_number_of_workers() -> None:
    x = np.tile(ASIDE, 5)
    y = x + 0.3 * np.tile(OTHER, 5)
    assert values(place(x, y, FS, workers=1)) == values(place(x, y, FS, workers=3))


EXTREME = extreme(ASIDE, FS)


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_signals_give_a_value_or_a_reason_and_no_warning(name: str) -> None:
    for other in EXTREME.values():
        for fs in (8000, 100, 2):
            found = place(EXTREME[name], other, fs)
            cues = (*found.in_place.values(), found.missing, found.cue_error_jnd)
            for cue in cues:
                assert bool(cue.reason) == (cue.value is None)
                assert cue.value is None or 0 <= cue.value <= 100
    same = place(EXTREME[name], EXTREME[name], FS)
    if same.in_place[2].value is not None:
        assert values(same) == [100, 100, 100, 0, 0]


def test_reasons_say_why_there_is_no_place() -> None:
    for reference, estimate, fs, reason in (
        (AHEAD, 0 * AHEAD, FS, "the estimate is missing wherever the reference is audible"),
        (0 * AHEAD, AHEAD, FS, "the reference is silent"),
        (AHEAD[:, :399], AHEAD, FS, "shorter than one frame of 50 ms"),
        (AHEAD, AHEAD, 300, "a sample rate of 300 Hz holds no band above 100 Hz"),
    ):
        found = place(reference, estimate, fs)
        assert found.in_place[2].value is None
        assert found.in_place[2].reason == reason
    assert place(AHEAD, 0 * AHEAD, FS).missing.value == 100


def test_the_row_of_a_stem_has_the_table_and_its_frames() -> None:
    references = {"vocals": ASIDE, "bass": AHEAD}
    estimates = {"vocals": ASIDE + 0.2 * OTHER, "bass": AHEAD}
    rows, frames = score_track(references, estimates, FS, bsseval=False)
    vocals, bass = rows
    assert vocals["in_place_1jnd"] < vocals["in_place"] < vocals["in_place_4jnd"] < 100
    assert (bass["in_place"], bass["missing"], bass["cue_error_jnd"]) == (100, 0, 0)
    assert len(bass["in_place_bands"][0]) == 3
    mine = (frames["source"] == "vocals") & (frames["metric"] == "in_place")
    assert frames["start_s"][mine].tolist() == [0, 1]
    average = np.average(frames["value"][mine], weights=frames["weight"][mine])
    assert average == pytest.approx(vocals["in_place"])


# ------------------------------------------------------------------------------------- silence


def test_the_leak_of_a_silent_stem_is_relative_to_the_mixture() -> None:
    loud = np.arange(2 * FS) < FS
    vocals, bass = ASIDE * loud, OTHER
    leaky = vocals + 0.1 * bass
    rows = score_track({"vocals": vocals, "bass": bass}, {"vocals": leaky, "bass": bass}, FS, bsseval=False)[
        0
    ]
    assert rows[0]["silence_leak_db"] == pytest.approx(-20)
    assert rows[1]["silence_leak_db"] is None
    assert "silence_leak_db" not in rows[1]["reason"]
    (row,) = score_track({"vocals": vocals}, {"vocals": leaky}, FS, bsseval=False, mixture=2 * bass)[0]
    assert row["silence_leak_db"] == pytest.approx(-26.02, abs=0.01)
    (row,) = score_track({"vocals": vocals}, {"vocals": leaky}, FS, bsseval=False)[0]
    assert row["silence_leak_db"] is None
    gained = {"vocals": 0.5 * leaky, "bass": 0.5 * bass}
    rows = score_track({"vocals": vocals, "bass": bass}, gained, FS, bsseval=False, mixture_gain=0.5)[0]
    assert rows[0]["silence_leak_db"] == pytest.approx(-20)


@pytest.mark.parametrize(("db", "silent"), [(-59, False), (-61, True)])
def test_a_stem_is_silent_60_db_below_its_loudest_frame(db: float, silent: bool) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(2 * FS) / FS) * np.ones((2, 1))
    stem = tone * np.where(np.arange(2 * FS) < FS, 1.0, 10 ** (db / 20))
    assert silence_leak(stem, 0.1 * tone, [tone], FS) == (pytest.approx(-20) if silent else None)


def test_the_leak_has_limits_and_no_value_without_silence_or_mixture() -> None:
    loud = np.arange(2 * FS) < FS
    stem = ASIDE * loud
    assert silence_leak(stem, stem, [OTHER], FS) == -100
    assert silence_leak(stem, 1e6 * np.sign(OTHER), [1e-9 * OTHER], FS) == 100
    assert silence_leak(ASIDE, ASIDE, [OTHER], FS) is None
    assert silence_leak(stem, ASIDE, [stem], FS) is None
    assert silence_leak(stem[:, :10], ASIDE, [stem], FS) is None
    assert silence_leak(0 * stem, OTHER, [OTHER], FS) == pytest.approx(0)
    with pytest.raises(InputError, match="mixture has 1 channel"):
        score_track({"a": stem}, {"a": stem}, FS, mixture=OTHER[:1])
    with pytest.raises(InputError, match="no mixture"):
        silence_leak(stem, stem, [], FS)
