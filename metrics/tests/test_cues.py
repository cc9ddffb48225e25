"""The corrected cues: values of the literal code, and signals whose cues are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import literal_metrics as literal
import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.cues import Hrirs, interaural_cues
from binaural_metrics.interaural import paper_cues
from binaural_metrics.signals import FloatArray
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, fftconvolve, sosfilt

FS = 44100
VALUES = ("d_itd_us", "d_ild_db", "d_ic")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def both_ears(x: FloatArray) -> FloatArray:
    return np.repeat(x, 2, axis=0)


def mono(x: FloatArray) -> FloatArray:
    return both_ears(x.mean(axis=0, keepdims=True))


def cues(reference: FloatArray, estimate: FloatArray, fs: int = FS, **options: Any) -> list[float]:
    found = interaural_cues(reference, estimate, fs, **options)
    return [getattr(found, name).value for name in VALUES]


# ------------------------------------------------------------------------------- the literal code


def scenes(fs: int) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    n = 3 * fs + 777
    x, e, m = pink(rng(1), 2, n), pink(rng(2), 2, n), pink(rng(3), 1, n)
    gate = np.where(np.arange(n) % fs < fs // 3, 1.0, 0.0)
    fade = np.exp(-10 * np.arange(n) / fs)
    yield "noise", x, x + 0.3 * e
    yield "a lateral source", np.vstack([delay(m, 3), 0.5 * m]), np.vstack([m, 0.4 * m]) + 0.1 * e
    yield "late and early", np.vstack([m, delay(m, 4)]), np.vstack([delay(m, 2), m])
    yield "bursts", gate * x, gate * x + 0.1 * e
    yield "estimate with gaps", x, gate * x
    yield "a decay below -60 dB", fade * x, fade * x + 1e-3 * e
    yield "one ear much quieter", x * [[1.0], [1e-4]], x
    yield "estimate of one ear, nearly", x, x * [[1.0], [1e-5]]
    yield "polarity", both_ears(m) + 0.1 * x, both_ears(m) * [[1.0], [-1.0]] + 0.1 * e


def assert_equal_to_the_literal_code(reference: FloatArray, estimate: FloatArray, fs: int) -> None:
    found = interaural_cues(reference, estimate, fs)
    itd = literal.d_itd_us(reference, estimate, fs)
    if itd is None:
        assert found.d_itd_us.value is found.itd_moved.value is None
    else:
        assert [found.d_itd_us.value, found.itd_moved.value] == pytest.approx(itd, abs=1e-6)
    # Bands have spectra in float32.
    bands = [cue.value for cue in (found.d_ild_db, found.d_ild_db_flat, found.d_ic)]
    assert bands == pytest.approx(literal.band_cues(reference, estimate, fs), abs=2e-5)


@pytest.mark.parametrize("fs", [8000, pytest.param(11025, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", [name for name, *_ in scenes(8000)])
def test_values_equal_those_of_the_literal_code(name: str, fs: int) -> None:
    reference, estimate = {name: pair for name, *pair in scenes(fs)}[name]
    assert_equal_to_the_literal_code(reference, estimate, fs)


@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 2**32),
    fs=st.sampled_from([6000, 8000]),
    leak=st.floats(0, 2),
    late=st.integers(-9, 9),
)
def test_random_scenes_equal_the_literal_code(seed: int, fs: int, leak: float, late: int) -> None:
    m, e = pink(rng(seed), 1, 2 * fs), pink(rng(seed + 1), 2, 2 * fs)
    reference = np.vstack([m, 0.7 * delay(m, late)]) + 0.05 * e
    estimate = reference + leak * e[::-1]
    assert_equal_to_the_literal_code(reference, estimate, fs)


# ---------------------------------------------------------------------------- signals with known cues

MUSIC = pink(rng(4), 2, 4 * FS)
SOURCE = pink(rng(5), 1, 4 * FS)
LATERAL = np.vstack([delay(SOURCE, 20), 0.5 * SOURCE])  # left later by 453.5 us and 6 dB louder
WIDE = both_ears(SOURCE) + 0.3 * MUSIC  # ears with different, but coherent signals


def test_equal_signals_score_zero() -> None:
    assert cues(WIDE, WIDE.copy()) == [0, 0, 0]


@settings(deadline=None, max_examples=5)
@given(gain=st.floats(0.01, 1e3), sign=st.sampled_from([-1, 1]))
def test_a_common_gain_scores_zero(gain: float, sign: int) -> None:
    assert cues(LATERAL, sign * gain * LATERAL) == pytest.approx([0, 0, 0], abs=1e-5)


@settings(deadline=None, max_examples=5)
@given(late=st.integers(-30, 30))
def test_a_common_delay_scores_nearly_zero(late: int) -> None:
    itd, ild, ic = cues(LATERAL, delay(LATERAL, late))
    assert itd == pytest.approx(0, abs=0.5)
    assert ild == pytest.approx(0, abs=0.05)
    assert ic == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("late", [5, 13, 36])
def test_a_delay_of_the_right_ear_is_measured_in_microseconds(late: int) -> None:
    estimate = np.vstack([SOURCE, delay(SOURCE, late)])
    assert cues(both_ears(SOURCE), estimate)[0] == pytest.approx(late / FS * 1e6, abs=2)


def test_swapped_ears_score_twice_the_cue() -> None:
    itd, ild, ic = cues(LATERAL, LATERAL[::-1])
    assert itd == pytest.approx(2 * 20 / FS * 1e6, abs=1)
    assert ild == pytest.approx(2 * 20 * np.log10(2), abs=0.05)
    assert ic == pytest.approx(0, abs=1e-6)


def test_a_mono_estimate_scores_the_cue_of_the_reference() -> None:
    itd, ild, ic = cues(LATERAL, mono(LATERAL))
    assert itd == pytest.approx(20 / FS * 1e6, abs=1)
    assert ild == pytest.approx(20 * np.log10(2), abs=0.05)
    assert ic == pytest.approx(0, abs=0.01)


def test_inverted_polarity_of_one_ear_is_detected_unlike_in_the_paper() -> None:
    inverted = LATERAL * [[1.0], [-1.0]]
    assert cues(LATERAL, inverted)[0] > 100
    assert paper_cues(LATERAL, inverted, FS).d_itd_us == 0


def test_half_the_level_in_the_right_ear_scores_six_decibels() -> None:
    itd, ild, ic = cues(WIDE, WIDE * [[1.0], [0.5]])
    assert ild == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert (itd, ic) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("coherence", [0.5, 0.8])
def test_a_mono_estimate_scores_one_minus_the_coherence(coherence: float) -> None:
    diffuse = np.sqrt(coherence) * SOURCE + np.sqrt(1 - coherence) * MUSIC
    # The maximum of a noisy correlation is above the coherence. The documented bias is less than 0.03.
    assert cues(diffuse, mono(diffuse))[2] == pytest.approx(1 - coherence, abs=0.03)


def test_leakage_at_minus_60_db_does_not_change_the_itd_of_a_bass_unlike_in_the_paper() -> None:
    bass = sosfilt(butter(8, 700, fs=FS, output="sos"), SOURCE)
    bass = np.vstack([delay(bass, 13), 0.9 * bass])
    leaky = bass + 1e-3 * MUSIC
    assert cues(bass, leaky)[0] < 0.1
    assert cues(bass, leaky + 0.01 * MUSIC)[0] < 2
    paper = paper_cues(bass, leaky, FS).d_itd_us
    assert paper is not None
    assert paper > 20


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_swapping_the_ears_of_both_signals_keeps_the_values(seed: int) -> None:
    x = LATERAL[:, : 2 * FS] + 0.3 * pink(rng(seed), 2, 2 * FS)
    y = x + 0.5 * pink(rng(seed + 1), 2, 2 * FS)
    assert cues(x[::-1], y[::-1]) == pytest.approx(cues(x, y), abs=1e-5)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**32), ears=st.sampled_from([(1, -1), (-1, 1)]))
def test_inverting_the_same_ear_of_both_signals_keeps_the_ild(seed: int, ears: tuple[int, int]) -> None:
    """The level difference does not depend on polarity."""
    x = pink(rng(seed), 2, 2 * FS)
    y = x + 0.5 * pink(rng(seed + 1), 2, 2 * FS)
    flip = np.reshape(ears, (2, 1))
    assert cues(flip * x, flip * y)[1] == pytest.approx(cues(x, y)[1], abs=1e-6)


def test_frames_in_which_the_reference_is_silent_do_not_count() -> None:
    quiet = np.zeros((2, 4 * FS))
    reference, estimate = np.hstack([LATERAL, quiet]), np.hstack([mono(LATERAL), 0.5 * MUSIC])
    found = interaural_cues(reference, estimate, FS)
    assert found.d_itd_us.total == 160
    assert len(found.d_itd_us.frames) <= 80
    assert found.d_itd_us.value == pytest.approx(20 / FS * 1e6, abs=1)
    # One band frame contains both sound and silence; its weight, the energy of the reference, is lower.
    assert found.d_ild_db.value == pytest.approx(20 * np.log10(2), abs=0.1)
    assert found.d_ild_db.total == 15
    assert len(found.d_ild_db.frames) == 8


def test_frames_and_their_mean_are_reported() -> None:
    found = interaural_cues(LATERAL, mono(LATERAL), FS, aggregate="mean")
    assert found.d_ild_db.value == pytest.approx(
        np.average(found.d_ild_db.frames, weights=found.d_ild_db.weights)
    )
    assert found.d_itd_us.start_s[:3].tolist() == pytest.approx([0, 0.05, 0.1])
    assert np.median(found.d_itd_us.frames) == pytest.approx(-20 / FS * 1e6, abs=1)


def test_the_number_of_workers_does_not_change_the_result() -> None:
    x, y = np.tile(MUSIC, 6), np.tile(MUSIC[::-1], 6)
    assert cues(x, y, workers=1) == cues(x, y, workers=3)


# ------------------------------------------------------------------------------------------- azimuth


def head() -> Hrirs:
    """HRIR set of a delay (Woodworth) and a level per ear, from 0 to 355 degrees in steps of 5."""
    angles = np.arange(0.0, 360.0, 5.0)
    lateral = np.arcsin(np.sin(np.deg2rad(angles)))
    lag = 0.5 * 0.0875 / 343 * (np.sin(lateral) + lateral) * FS
    taps = np.arange(128)
    irs = [
        [
            10 ** (side * 5 * np.sin(a) / 20) * np.sinc(taps - 60 + side * d) * np.hanning(128)
            for side in (1, -1)
        ]
        for a, d in zip(lateral, lag, strict=True)
    ]
    return Hrirs(angles, np.array(irs), FS)


HEAD = head()


def rendered_at(angle: float, source: FloatArray = SOURCE[0]) -> FloatArray:
    return np.stack([fftconvolve(source, ir) for ir in HEAD.irs[list(HEAD.azimuths).index(angle)]])


def directions(
    reference: FloatArray, estimate: FloatArray, hrir: Hrirs = HEAD, fs: int = FS
) -> tuple[float | None, float | None]:
    found = interaural_cues(reference, estimate, fs, hrir=hrir)
    return found.azimuth_deg.value, found.azimuth_error_deg.value


@pytest.mark.parametrize("angle", [0, 30, 60, 85, 275, 330])
@pytest.mark.parametrize("kind", ["pink", "bass"])
def test_azimuth_of_equal_mono_and_swapped_estimates(angle: int, kind: str) -> None:
    source = SOURCE[0] if kind == "pink" else sosfilt(butter(4, 400, fs=FS, output="sos"), SOURCE[0])
    image = rendered_at(angle, source)
    off_centre = min(angle, 360 - angle)
    assert directions(image, image) == (angle, 0)
    assert directions(image, mono(image)) == (0, off_centre)
    mirrored: tuple[Any, Any] = ((360 - angle) % 360, pytest.approx(2 * off_centre, abs=2))
    assert directions(image, image[::-1]) == mirrored


def test_azimuth_does_not_depend_on_weak_leakage_and_level() -> None:
    image = rendered_at(40)
    assert directions(image, 0.3 * image + 0.03 * rendered_at(320, MUSIC[0])) == (40, 0)


def test_a_source_behind_has_the_azimuth_of_its_mirror_image_in_front() -> None:
    assert directions(rendered_at(150), rendered_at(150)) == (30, 0)


def test_azimuth_equals_that_of_the_literal_code() -> None:
    image, other = rendered_at(25)[:, : 2 * FS], rendered_at(310, MUSIC[0])[:, : 2 * FS]
    estimate = image + 0.8 * other
    active = np.ones(3, bool)
    expected = [literal.azimuth(x, active, HEAD.azimuths[::3], HEAD.irs[::3], FS) for x in (image, estimate)]
    found, _ = directions(image, estimate, Hrirs(HEAD.azimuths[::3], HEAD.irs[::3], FS))
    assert found == expected[1]
    assert expected[0] is not None


def test_a_shallow_minimum_gives_no_azimuth() -> None:
    found = interaural_cues(rendered_at(30)[:, : 4 * FS], MUSIC, FS, hrir=HEAD)
    assert found.azimuth_deg.value is found.azimuth_error_deg.value is None
    assert found.azimuth_deg.reason == "the estimate's cross-relation has no clear minimum"
    found = interaural_cues(MUSIC, rendered_at(30), FS, hrir=HEAD)
    assert found.azimuth_deg.value == 30
    assert found.azimuth_error_deg.value is None
    assert found.azimuth_error_deg.reason == "the reference's cross-relation has no clear minimum"


@pytest.mark.parametrize(
    ("hrir", "message"),
    [
        (Hrirs(HEAD.azimuths, HEAD.irs, 48000), "HRIR set is at 48000 Hz; expected the track's 44100 Hz"),
        (Hrirs(HEAD.azimuths[:5], HEAD.irs, FS), "HRIR set of shapes"),
        (Hrirs(HEAD.azimuths, HEAD.irs[:, :1], FS), "HRIR set of shapes"),
        (Hrirs(HEAD.azimuths, HEAD.irs * np.nan, FS), "NaN or infinite"),
        (Hrirs(HEAD.azimuths, np.tile(HEAD.irs, 40), FS), "HRIRs of 5120 taps"),
        (Hrirs(HEAD.azimuths[30:40], HEAD.irs[30:40], FS), "no azimuth in the frontal half"),
    ],
)
def test_an_unusable_hrir_set_is_refused(hrir: Hrirs, message: str) -> None:
    with pytest.raises(InputError, match=message):
        interaural_cues(MUSIC, MUSIC, FS, hrir=hrir)


# ------------------------------------------------------------------------ what the first version got wrong


def leaky(image: FloatArray, db: float) -> FloatArray:
    """`image` with two other sources at `db` relative to it."""
    others = rendered_at(300, pink(rng(8), 1, 4 * FS)[0]) + rendered_at(20, pink(rng(9), 1, 4 * FS)[0])
    others = others[:, : image.shape[1]]
    mixed: FloatArray = image + 10 ** (db / 20) * np.std(image) / np.std(others) * others
    return mixed


SECONDS = np.arange(2 * FS) / FS
SHORT = SOURCE[0, : 2 * FS]


def distance(reference: FloatArray, estimate: FloatArray, hrir: Hrirs | None = None) -> tuple[Any, Any, str]:
    found = interaural_cues(reference, estimate, FS, hrir=hrir)
    return found.d_itd_us.value, found.itd_moved.value, found.d_itd_us.reason


@pytest.mark.parametrize("frequency", [800, 1200])
@pytest.mark.parametrize("hrir", [None, HEAD])
def test_a_lateral_tone_with_leakage_keeps_its_period(frequency: float, hrir: Hrirs | None) -> None:
    tone = rendered_at(80, np.sin(2 * np.pi * frequency * SECONDS))
    itd, moved, _ = distance(tone, leaky(tone, -20), hrir)
    assert itd < 5
    assert moved == 0


def test_a_tone_whose_level_difference_does_not_tell_the_side_is_ambiguous() -> None:
    tone = rendered_at(0, np.sin(2 * np.pi * 1200 * SECONDS))
    assert distance(tone, leaky(tone, -20)) == (
        None, None, "ambiguous: the maxima of a narrow-band sound, and no level difference that tells the side"
    )  # fmt: skip


def test_a_stem_without_energy_below_1500_hz_has_no_itd() -> None:
    high = rendered_at(40, sosfilt(butter(8, [8000, 12000], "band", fs=FS, output="sos"), SHORT))
    itd, moved, reason = distance(high, leaky(high, -40))
    assert itd is moved is None
    assert reason == "the reference holds less than −30 dB of its energy between 100 and 1500 Hz"


def test_independent_ears_have_no_itd() -> None:
    itd, _, reason = distance(MUSIC, MUSIC + 0.3 * MUSIC[:, ::-1])
    assert itd is None
    assert reason.startswith("the ears of the reference are not coherent")


@pytest.mark.parametrize("share", [0.45, 0.6])
def test_an_image_on_the_wrong_side_some_of_the_time_has_moved_for_that_time(share: float) -> None:
    image = rendered_at(80, SHORT)
    wrong = np.arange(image.shape[1]) / FS % 1 < share
    itd, moved, _ = distance(image, np.where(wrong, image[::-1], image))
    assert moved == pytest.approx(100 * share, abs=7)
    assert (itd < 20) == (share < 0.5)


def test_the_largest_itd_of_the_set_and_a_tenth_more_limit_the_search() -> None:
    irs = np.zeros((3, 2, 64))
    for direction, late in zip(irs, (0, -20, 20), strict=True):  # ±454 us
        direction[0, 30 + late // 2] = direction[1, 30 - late // 2] = 1.0
    narrow = Hrirs(np.array([0.0, 90.0, 270.0]), irs, FS)
    middle = both_ears(SOURCE[:1])
    for late, within in ((21, True), (24, False)):
        moved = np.vstack([middle[0], delay(middle[1], late)])
        expected = pytest.approx(late / FS * 1e6, abs=1)
        assert distance(middle, moved)[0] == expected
        assert (distance(middle, moved, narrow)[0] == expected) == within
    # A set of level differences alone has no largest ITD, but a rounding error.
    level = Hrirs(
        narrow.azimuths, np.eye(1, 9, 4)[None] * [[[0.9], [0.9]], [[1.0], [0.7]], [[0.7], [1.0]]], FS
    )
    found = distance(middle, middle + 1e-3 * MUSIC[:, : middle.shape[1]], level)
    assert found == (pytest.approx(0, abs=1), 0, "")


@pytest.mark.parametrize(("late", "moved"), [(4, 0), (5, 100)])
def test_an_image_has_moved_from_100_us_on(late: int, moved: float) -> None:
    middle = both_ears(SOURCE[:1])
    assert distance(middle, np.vstack([middle[0], delay(middle[1], late)]))[1] == moved


@pytest.mark.parametrize(("db", "defined"), [(-29, True), (-31, False)])
def test_the_band_of_the_itd_needs_30_db_below_the_stem(db: float, defined: bool) -> None:
    """Tones of 500 Hz and 9 kHz."""
    tones = 10 ** (db / 20) * np.sin(2 * np.pi * 500 * SECONDS) + np.sin(2 * np.pi * 9000 * SECONDS)
    assert (distance(both_ears(tones[None]), both_ears(tones[None]))[0] is not None) == defined


@pytest.mark.parametrize(("coherence", "defined"), [(0.55, True), (0.45, False)])
def test_the_ears_of_the_reference_need_half_coherence(coherence: float, defined: bool) -> None:
    common, left, right = (pink(rng(seed), 1, 20 * FS)[0] for seed in (1, 2, 3))
    ears = np.sqrt(coherence) * common + np.sqrt(1 - coherence) * np.stack([left, right])
    assert (distance(ears, ears)[0] is not None) == defined


@pytest.mark.parametrize(("late", "within"), [(37, True), (38, False)])
def test_without_a_set_the_search_ends_at_850_us(late: int, within: bool) -> None:
    middle = both_ears(SOURCE[:1])
    moved = np.vstack([middle[0], delay(middle[1], late)])
    assert (distance(middle, moved)[0] == pytest.approx(late / FS * 1e6, abs=1)) == within


def test_a_swap_at_80_degrees_is_measured_in_full() -> None:
    late = 34.1  # samples, 773.5 us
    taps = np.arange(128)
    irs = np.stack([1.3 * np.sinc(taps - 60 + side * late / 2) * np.hanning(128) for side in (1, -1)])
    image = np.stack([fftconvolve(SHORT, ir) for ir in irs])
    itd, moved, _ = distance(image, image[::-1])
    assert itd == pytest.approx(1547, abs=5)
    assert moved == 100


@pytest.mark.parametrize(("before", "after"), [(0, 20), (40, 60), (60, 80)])
def test_a_move_by_20_degrees_is_measured(before: float, after: float) -> None:
    lateral = np.deg2rad([before, after])
    expected = float(np.diff(0.0875 / 343 * (np.sin(lateral) + lateral))[0]) * 1e6
    assert distance(rendered_at(before, SHORT), rendered_at(after, SHORT))[0] == pytest.approx(
        expected, abs=10
    )


@pytest.mark.parametrize("db", [-20, -40])
def test_leakage_of_a_bass_reads_below_its_move(db: float) -> None:
    """The unweighted value measures leakage before place."""
    harmonics = sum(k**-1.6 * np.sin(2 * np.pi * 55 * k * SECONDS) for k in range(1, 12))
    bass = harmonics * np.exp(-4 * (SECONDS * 2 % 1))
    image = rendered_at(40, bass)
    leak, move = (interaural_cues(image, x, FS) for x in (leaky(image, db), rendered_at(20, bass)))
    values = [cue.value for cue in (leak.d_ild_db, leak.d_ild_db_flat, move.d_ild_db)]
    assert values[0] < values[2]  # type: ignore[operator]
    assert values[1] > 5 * values[0]  # type: ignore[operator]
    assert values[0] < (1.2 if db == -20 else 0.1)  # type: ignore[operator]
    assert leak.d_itd_us.value is not None
    assert leak.d_itd_us.value < 10


def test_a_band_that_the_estimate_lacks_has_no_place() -> None:
    dust = sosfilt(butter(10, 3000, fs=FS, output="sos"), LATERAL)
    # Numerical dust with the ears swapped, far more than 60 dB below the reference.
    dust = dust + 1e-6 * LATERAL[::-1]
    assert cues(LATERAL, dust)[1] == pytest.approx(0, abs=0.3)
    flat = interaural_cues(LATERAL, dust, FS).d_ild_db_flat.value
    assert flat is not None
    assert flat > 1


# ------------------------------------------------------------------------------------------ undefined


@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        (MUSIC * [[1.0], [0.0]], MUSIC, "the reference's right channel is silent"),
        (MUSIC, MUSIC * [[0.0], [1.0]], "the estimate's left channel is silent"),
        (MUSIC, 0 * MUSIC, "the estimate's left and right channel is silent"),
    ],
)
def test_a_silent_channel_makes_all_cues_undefined(
    reference: FloatArray, estimate: FloatArray, reason: str
) -> None:
    found = interaural_cues(reference, estimate, FS, hrir=HEAD)
    for cue in vars(found).values():
        assert cue.value is None
        assert cue.reason == reason


def test_signals_shorter_than_a_frame_have_no_cue() -> None:
    found = interaural_cues(WIDE[:, : FS // 2], WIDE[:, : FS // 2], FS, hrir=HEAD)
    assert found.d_itd_us.value == 0
    assert found.d_ild_db.value is found.d_ic.value is found.azimuth_deg.value is None
    assert found.d_ild_db.reason == "shorter than one frame of 1 s"
    found = interaural_cues(MUSIC[:, :100], MUSIC[:, :100], FS)
    assert found.d_itd_us.value is None
    assert found.d_itd_us.reason


def test_a_low_sample_rate_has_no_itd_and_a_reason() -> None:
    found = interaural_cues(MUSIC, MUSIC, 3000)
    assert found.d_itd_us.value is None
    assert found.d_itd_us.reason == "a sample rate of 3000 Hz holds no band up to 1500 Hz"
    assert found.d_ild_db.value == 0


def test_an_estimate_silent_in_all_active_frames_has_no_itd_and_a_reason() -> None:
    reference, estimate = WIDE.copy(), WIDE.copy()
    reference[:, 2 * FS :] = estimate[:, : 2 * FS] = 0
    reference[:, : FS // 10] = (
        0  # so that the filter spreads no sound into the active frames of the other signal
    )
    reference[:, 2 * FS - FS // 10 :] = 0
    found = interaural_cues(reference, estimate, FS)
    assert found.d_itd_us.value is None
    assert found.d_itd_us.reason.startswith("no active frame has energy between 100 and 1500 Hz")


@pytest.mark.parametrize("level", [1e-300, 1e-30, 1e-9, 1e5])
@pytest.mark.parametrize("other", [1.0, 1e-200])
def test_extreme_levels_give_no_warning_and_no_infinity(level: float, other: float) -> None:
    found = interaural_cues(level * MUSIC, other * MUSIC, FS, hrir=HEAD)
    for cue in vars(found).values():
        assert cue.value is None or np.isfinite(cue.value)
        assert (cue.value is None) == bool(cue.reason)


@pytest.mark.parametrize("fs", [192000, 48000, 22050])
def test_all_sample_rates_are_supported(fs: int) -> None:
    x = both_ears(pink(rng(6), 1, 2 * fs)) + 0.3 * pink(rng(7), 2, 2 * fs)
    assert cues(x, x * [[1.0], [0.5]], fs) == pytest.approx([0, 20 * np.log10(2), 0], abs=1e-6)


BAD = [np.ones((2, FS), int), np.full((2, FS), np.nan), np.ones((1, FS)), np.ones((2, 0))]


@pytest.mark.parametrize("bad", BAD)
def test_unusable_input_raises_input_error(bad: FloatArray) -> None:
    for pair in ((bad, MUSIC), (MUSIC, bad)):
        with pytest.raises(InputError):
            interaural_cues(*pair, FS)
