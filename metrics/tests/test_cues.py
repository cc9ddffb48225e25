"""The corrected cues: values of the literal code, and signals whose cues are known."""

from __future__ import annotations

from collections.abc import Iterator

import literal_cues as literal
import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.cues import interaural_cues
from binaural_metrics.interaural import paper_cues
from binaural_metrics.signals import FloatArray
from cue_signals import (
    FS,
    HEAD,
    LATERAL,
    MUSIC,
    SOURCE,
    WIDE,
    both_ears,
    cues,
    mono,
    rng,
)
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

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
    for cue, expected in zip(
        (found.d_itd_us, found.itd_moved), literal.d_itd_us(reference, estimate, fs), strict=True
    ):
        assert cue.value == (None if expected is None else pytest.approx(expected, abs=1e-6))
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
