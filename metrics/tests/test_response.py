"""The effective response: values of the literal code, and directions and timbres that are known."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import binaural_metrics as bm
import literal_cues as literal
import numpy as np
import pytest
from binaural_metrics.early import cut
from binaural_metrics.response import EffectiveResponse, effective_response
from binaural_metrics.signals import Float64, FloatArray
from golden_signals import delay, extreme, pink
from scipy.signal import butter, oaconvolve, sosfilt

FS = 16000
TAPS = 64
RNG = np.random.default_rng(3)
DRY = pink(RNG, 1, 2 * FS)[0] * (0.3 + (np.arange(2 * FS) * 3 // FS % 2))
OTHER = pink(RNG, 1, 2 * FS)[0]


def head(azimuths: Float64, elevations: Float64 | None = None, *, pinna: bool = True) -> bm.Hrirs:
    """Delay and shadow of a head, and the notch of a pinna, whose frequency depends on the polar angle."""
    elevation = np.zeros(len(azimuths)) if elevations is None else np.deg2rad(elevations)
    azimuth = np.deg2rad(azimuths)
    side = np.cos(elevation) * np.sin(azimuth)  # 1 at the left
    up, ahead = np.sin(elevation), np.cos(elevation) * np.cos(azimuth)
    f = np.fft.rfftfreq(TAPS, 1 / FS)
    irs = np.empty((len(azimuths), 2, TAPS))
    for ear, sign in enumerate((1.0, -1.0)):
        shadow = -9 * (1 - sign * side[:, None]) * (f / (f + 1500))
        late = 1.5e-3 - 350e-6 * sign * side[:, None]
        notch = 5000 + 1500 * up[:, None] - 1000 * np.tanh(3 * ahead[:, None]) if pinna else 5000.0
        level = shadow - 15 * np.exp(-(((f - notch) / 600) ** 2))
        irs[:, ear] = np.fft.irfft(10 ** (level / 20) * np.exp(-2j * np.pi * f * late), TAPS)
    return bm.Hrirs(azimuths, irs, FS, elevations)


PLANE = head(np.arange(0.0, 360.0, 10.0))
BALL = head(np.concatenate([np.arange(0.0, 360.0, 15.0)] * 3), np.repeat([-30.0, 0.0, 30.0], 24))
SPHERE = head(np.arange(0.0, 360.0, 10.0), pinna=False)


def render(x: FloatArray, azimuth: float, elevation: float = 0.0, hrirs: bm.Hrirs = PLANE) -> FloatArray:
    heights = np.zeros(len(hrirs.azimuths)) if hrirs.elevations is None else hrirs.elevations
    (index,) = np.flatnonzero((hrirs.azimuths == azimuth) & (heights == elevation))
    return np.stack([oaconvolve(x, ir) for ir in hrirs.irs[index]])


def compare(reference: FloatArray, estimate: FloatArray, hrirs: bm.Hrirs = PLANE) -> EffectiveResponse:
    return effective_response(reference, estimate, DRY, FS, hrirs)


def values(found: EffectiveResponse) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "reasons"}


@pytest.mark.parametrize("to", [(0, 30), (150, -30), (90, 0), (345, 30)])
def test_values_equal_those_of_the_literal_code(to: tuple[int, int]) -> None:
    reference = render(DRY, 45, 0, BALL)
    estimate = render(DRY, *to, BALL) + 0.2 * render(OTHER, 270, 0, BALL)
    assert BALL.elevations is not None
    expected = literal.effective_response(
        reference, estimate, DRY, FS, BALL.azimuths, BALL.elevations, BALL.irs, np.full(72, True)
    )
    found = values(compare(reference, estimate, BALL))
    if found["polar_error_deg"] is None:  # at the side
        del found["polar_error_deg"], expected["polar_error_deg"]
    assert found == pytest.approx(expected, abs=1e-4)
    assert (found["heard_azimuth_deg"], found["heard_elevation_deg"]) == to


def test_bins_count_within_60_db_of_the_loudest_as_in_the_literal_code() -> None:
    """The estimate has another timbre where the dry stem is 50 to 70 dB below its maximum."""
    steep = sosfilt(butter(3, 500, fs=FS, output="sos"), DRY)
    reference = render(steep, 40)
    estimate = reference + 3 * sosfilt(butter(4, 3000, "high", fs=FS, output="sos"), reference)
    found = effective_response(reference, estimate, steep, FS, PLANE)
    expected = literal.effective_response(
        reference, estimate, steep, FS, PLANE.azimuths, np.zeros(36), PLANE.irs, np.full(36, True)
    )
    assert found.timbre_db == pytest.approx(expected["timbre_db"], abs=1e-4)


@pytest.mark.parametrize("azimuth", [0.0, 40.0, 90.0, 150.0, 270.0])
@pytest.mark.parametrize("late", [0, 13])
def test_identity_gain_and_common_delay_change_nothing(azimuth: float, late: int) -> None:
    x = render(DRY, azimuth)
    for gain in (1.0, -0.3, 20.0):
        found = compare(x, gain * delay(x, late))
        assert found.heard_azimuth_deg == azimuth
        assert (found.lateral_error_deg, found.front_back, found.reasons) == (0, 0, {})
        assert found.timbre_db == pytest.approx(0, abs=0.05 if late else 1e-5)


def test_a_stem_that_moved_is_heard_at_its_new_direction() -> None:
    x = render(DRY, 40)
    for azimuth, lateral, front_back in ((20, 20, 0), (320, 80, 0), (140, 0, 1), (200, 60, 1), (90, 50, 0)):
        found = compare(x, render(DRY, azimuth))
        assert (found.heard_azimuth_deg, found.front_back) == (azimuth, front_back)
        assert found.lateral_error_deg == pytest.approx(lateral)
    up = compare(render(DRY, 45, 0, BALL), render(DRY, 45, 30, BALL), BALL)
    assert (up.heard_azimuth_deg, up.heard_elevation_deg, up.front_back) == (45, 30, 0)
    assert up.polar_error_deg == pytest.approx(np.rad2deg(np.arctan(np.tan(np.pi / 6) / np.cos(np.pi / 4))))


def test_a_swap_is_heard_mirrored_and_mono_in_the_middle() -> None:
    x = render(DRY, 40)
    swap, mono = compare(x, x[::-1]), compare(x, np.repeat(x.mean(axis=0, keepdims=True), 2, axis=0))
    assert (swap.heard_azimuth_deg, swap.front_back) == (320, 0)
    assert swap.lateral_error_deg == pytest.approx(80)
    assert mono.lateral_error_deg == pytest.approx(40)
    # Ears that are exchanged in both signals keep every error.
    moved = render(DRY, 60)
    one, other = compare(x, moved), compare(x[::-1], moved[::-1])
    assert values(one) | {"heard_azimuth_deg": 300} == pytest.approx(values(other), abs=1e-6)


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_leakage_that_is_not_correlated_averages_out(level: float) -> None:
    x, leak = render(DRY, 40), render(OTHER, 300)
    found = compare(x, x + level * leak * np.std(x) / np.std(leak))
    assert (found.heard_azimuth_deg, found.lateral_error_deg, found.front_back) == (40, 0, 0)
    assert found.timbre_db is not None
    assert 0 < found.timbre_db < 2 * level


@pytest.mark.parametrize(("explained", "defined"), [(0.69, False), (0.81, True)])
def test_the_dry_stem_explains_three_quarters_of_the_reference(explained: float, defined: bool) -> None:
    x, rest = render(DRY, 40), render(OTHER, 40)
    rest *= np.sqrt(1 / explained - 1) * np.std(x) / np.std(rest)
    assert (compare(x + rest, x).timbre_db is not None) == defined


def test_timbre_is_the_spread_of_the_change_in_level() -> None:
    x = render(DRY, 40)
    low = sosfilt(butter(1, 1000, fs=FS, output="sos"), x)
    assert compare(x, x * [[1.0], [0.5]]).timbre_db == pytest.approx(0, abs=1e-5)
    assert compare(x, low).timbre_db == pytest.approx(compare(x, 0.2 * low).timbre_db)
    both, left = compare(x, low).timbre_db, compare(x, np.stack([low[0], x[1]])).timbre_db
    assert both is not None
    assert 4 < both < 9
    assert left == pytest.approx(both / 2, rel=0.1)


def test_values_of_a_track_repeated_are_the_same() -> None:
    x = render(DRY, 40)
    y = x + 0.3 * render(OTHER, 300)
    twice = effective_response(
        np.tile(x, 2), np.tile(y, 2), np.tile(np.pad(DRY, (0, TAPS - 1)), 2), FS, PLANE
    )
    once = values(compare(x, y))
    assert values(twice) == pytest.approx(once, abs=0.02)


def test_a_set_that_is_the_same_in_front_and_behind_is_searched_in_front() -> None:
    x = render(DRY, 140, hrirs=SPHERE)
    found = compare(x, render(DRY, 20, hrirs=SPHERE), SPHERE)
    assert (found.heard_azimuth_deg, found.front_back, found.reasons) == (20, None, {})
    assert found.lateral_error_deg == pytest.approx(20)


def test_a_bass_has_no_front_and_behind_but_a_side() -> None:
    bass = sosfilt(butter(8, 400, fs=FS, output="sos"), DRY)
    found = effective_response(render(bass, 40), render(bass, 20), bass, FS, PLANE)
    assert found.lateral_error_deg == pytest.approx(20)
    assert found.front_back is found.heard_azimuth_deg is None
    assert found.reason("front_back") == (
        "the reference's response: front and behind, or above and below, cannot be told apart"
    )


def test_reasons_say_why_there_is_no_response() -> None:
    x = render(DRY, 40)
    moving = np.hstack([render(DRY[:FS], 60)[:, :FS], render(DRY[FS:], 300)])
    ends = (
        "the reference is not the dry stem through one short response: the source moves, the room reverberates, "
        "or the dry stem is another"
    )
    for reference, estimate, dry, reason in (
        (x[:, :999], x, DRY[:999], "shorter than 0.35 s"),
        (x, x, 0 * DRY, "the dry stem is silent"),
        (0 * x, x, DRY, "the reference is silent"),
        (x, x, OTHER, ends),
        (moving, x, DRY, ends),
    ):
        found = effective_response(reference, estimate, dry, FS, PLANE)
        assert set(values(found).values()) == {None}
        assert set(found.reasons.values()) == {reason}
    one_ear = compare(x * [[1.0], [0.0]], x)
    assert one_ear.reason("timbre_db") == "no audible band of the reference has the dry stem at both ears"
    assert one_ear.reason("lateral_error_deg").startswith("the reference's response: no audible band")
    lost = compare(x, render(OTHER, 40))
    assert lost.reason("lateral_error_deg") == (
        "the estimate's response: no audible band is coherent with the dry stem at both ears"
    )
    assert lost.reason("timbre_db") == "no audible band of the estimate has the dry stem at both ears"


EXTREME = extreme(render(DRY, 40), FS)


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_signals_give_a_value_or_a_reason_and_no_warning(name: str) -> None:
    x = EXTREME[name]
    for other in EXTREME.values():
        n = min(x.shape[1], other.shape[1])
        for source in (x[0], other[0], DRY):
            found = effective_response(x, other, source[:n], FS, PLANE)
            for column, value in values(found).items():
                assert value is None or np.isfinite(value), column
                assert value is None or not found.reason(column)
            assert (found.timbre_db is None) == bool(found.reason("timbre_db"))
    for rate in (8000, 100, 2):
        effective_response(x, x, x[0], rate)


def test_in_place_of_known_errors_has_the_order_of_what_is_heard() -> None:
    """Rendered stems; the ranges are those of a music excerpt rendered with measured responses, and wider."""
    x, rest = render(DRY, 40), render(OTHER, 300) + render(np.roll(OTHER, FS), 80)
    rest *= np.std(x) / np.std(rest)
    estimates = {
        "swap": x[::-1],
        "mono": np.repeat(x.mean(axis=0, keepdims=True), 2, axis=0),
        "mixture": x + rest,
        "leak at -20 dB": x + 0.1 * rest,
        "leak at -40 dB": x + 0.01 * rest,
        "identity": x,
    }
    shares = {name: bm.in_place(x, y, FS) for name, y in estimates.items()}
    limits = {"swap": (0, 2), "mono": (0, 5), "mixture": (3, 60), "leak at -20 dB": (60, 97)}
    for name, (low, high) in (limits | {"leak at -40 dB": (95, 100), "identity": (100, 100)}).items():
        assert low <= shares[name] <= high, shares
    assert shares["mono"] < shares["mixture"] < shares["leak at -20 dB"] < shares["leak at -40 dB"]


# ------------------------------------------------------------------------------- the row of a stem, and the arguments


def test_the_response_is_part_of_the_scores_where_the_dry_stem_is_given() -> None:
    x, y = render(DRY, 40), render(DRY, 20)
    scores = bm.score(x, y, FS, hrir=PLANE, dry=DRY, bsseval=False)
    assert (scores["heard_azimuth_deg"], scores["front_back"]) == (20, 0)
    assert scores["lateral_error_deg"] == pytest.approx(20)
    assert scores["heard_elevation_deg"] is scores["polar_error_deg"] is None
    assert scores["status"] == "ok"
    assert bm.score(x, y, FS, dry=DRY, bsseval=False)["timbre_db"] == scores["timbre_db"]
    without = bm.score(x, y, FS, hrir=PLANE, bsseval=False).to_dict()
    assert not {"heard_azimuth_deg", "timbre_db"} & set(without)
    rest = {column: value for column, value in scores.to_dict().items() if column in without}
    assert rest == without


def test_dry_stems_may_be_stereo_named_or_an_array_of_several() -> None:
    x = render(DRY, 40)
    stereo = np.stack([DRY, 0.5 * DRY])
    for reference, dry in (
        (x, stereo),
        (x, stereo.T),
        ({"vocals": x}, {"vocals": DRY}),
        (np.stack([x, x]), np.stack([DRY, DRY])),
    ):
        scores = bm.score(reference, reference, FS, hrir=PLANE, dry=dry, bsseval=False)
        found = scores["heard_azimuth_deg"]
        assert set(found.values() if isinstance(found, dict) else [found]) == {40}
    both = bm.score({"a": x, "b": x}, {"a": x, "b": x}, FS, hrir=PLANE, dry={"a": DRY}, bsseval=False)
    assert both["lateral_error_deg"] == {"a": 0, "b": None}
    assert "the dry stem is not known" in both["reason"]["b"]


@pytest.mark.parametrize(
    ("dry", "message"),
    [
        (np.zeros((3, 4, 5)), "dry stem"),
        (np.full(2 * FS, np.nan), "NaN"),
        ({"drums": DRY}, "there is a dry stem 'drums'"),
        (DRY.astype(np.int16), "int16"),
        (3.0, "dry stem"),
    ],
)
def test_an_unusable_dry_stem_is_refused(dry: Any, message: str) -> None:
    x = render(DRY, 40)
    with pytest.raises(ValueError, match=message):
        bm.score(x, x, FS, hrir=PLANE, dry=dry, bsseval=False)
    with pytest.raises(ValueError, match="expected no more"):
        effective_response(x, x, np.zeros(3 * FS), FS)


def test_azimuths_of_a_set_with_elevations_are_those_of_its_horizontal_plane() -> None:
    x, y = render(DRY, 45, 0, BALL), render(DRY, 60, 0, BALL)
    level = BALL.elevations == 0
    plane = bm.Hrirs(BALL.azimuths[level], BALL.irs[level], FS)
    whole, part = (bm.score(x, y, FS, hrir=hrirs, bsseval=False) for hrirs in (BALL, plane))
    assert whole.to_dict() == part.to_dict()
    with pytest.raises(ValueError, match="elevations of shape"):
        bm.score(x, y, FS, hrir=bm.Hrirs(BALL.azimuths, BALL.irs, FS, np.zeros(3)))


def room(x: FloatArray, azimuth: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """A stem in a room, and its direct sound: two reflections from other directions and a diffuse tail."""
    rng = np.random.default_rng(seed)
    direct = np.pad(render(x, azimuth), ((0, 0), (0, FS // 2)))
    found = direct.copy()
    for late, level, side in ((0.007, 0.7, 180.0), (0.013, 0.6, 270.0)):
        start = round(late * FS)
        found[:, start : start + len(x) + TAPS - 1] += level * render(x, side)
    tail = rng.standard_normal((2, FS // 2)) * np.exp(-13.8 * np.arange(FS // 2) / FS)
    tail[:, : round(0.02 * FS)] = 0.0
    reverberation = np.stack([oaconvolve(x, 0.05 * each) for each in tail])
    found[:, : reverberation.shape[1]] += reverberation
    return found, direct


def test_in_a_room_the_place_is_that_of_the_direct_sound() -> None:
    reference, direct = room(DRY, 40, 1)
    assert (
        compare(reference, reference)
        .reason("lateral_error_deg")
        .startswith("the reference is not the dry stem")
    )

    def place(estimate: FloatArray) -> EffectiveResponse:
        return effective_response(reference, estimate, DRY, FS, PLANE, direct=direct)

    same = place(reference)
    assert (same.heard_azimuth_deg, same.lateral_error_deg, same.front_back, same.reasons) == (40, 0, 0, {})
    assert same.timbre_db == pytest.approx(0, abs=1e-9)
    for azimuth, lateral in ((20, 20), (320, 80), (70, 30)):
        moved, _ = room(DRY, azimuth, 2)
        for estimate in (
            moved,
            delay(-0.3 * moved, 90),
            moved + 0.3 * np.pad(render(OTHER, 300), ((0, 0), (0, FS // 2))),
        ):
            found = place(estimate)
            assert found.heard_azimuth_deg == azimuth
            assert found.lateral_error_deg == pytest.approx(lateral)
    assert place(direct).lateral_error_deg == 0
    other, _ = room(OTHER, 40, 1)
    assert place(other).lateral_error_deg is None


def test_the_direct_sound_is_from_1_ms_before_its_peak_to_3_ms_after_it() -> None:
    response, ms = np.full(160, 0.5), FS // 1000
    response[60] = 1.0
    found = cut(bm.Hrirs(np.zeros(1), response * np.ones((1, 2, 1)), FS), FS).irs[0, 1] / response
    expected = {-2: 0, -1.5: 0.5, -1: 1, 0: 1, 3: 1, 3.5: 0.5, 4: 0}
    at = [60 + round(late * ms) for late in expected]
    assert found[at] == pytest.approx(list(expected.values()))


def test_a_direct_sound_of_another_place_has_no_value() -> None:
    reference, _ = room(DRY, 40, 1)
    _, elsewhere = room(DRY, 320, 1)
    found = effective_response(reference, reference, DRY, FS, PLANE, direct=elsewhere)
    assert found.lateral_error_deg is None
    assert found.reason("lateral_error_deg").endswith("reverberation hides the direct sound of the reference")
