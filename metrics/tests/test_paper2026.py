"""The authors' ITD of 2026: values of the literal code, what changed for a bass, and None with a reason."""

from __future__ import annotations

import literal_metrics as literal
import numpy as np
import pytest
from binaural_metrics.interaural import PaperSignal, itd_us, product
from binaural_metrics.paper2026 import Paper2026, paper2026_distances, whitened_product
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray, check_pair
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, get_window, sosfilt

FS = 8000
SOURCE = pink(np.random.default_rng(1), 1, 2 * FS)
LEFT_LATER = np.vstack([delay(SOURCE, 3), 0.5 * SOURCE])


def paper2026_itd(
    reference: FloatArray, estimate: FloatArray, sample_rate: int, whiten: bool = True
) -> Paper2026:
    spectra = [whitened_product if whiten else product]
    *pair, _ = check_pair(reference, estimate, sample_rate)
    first, second = (PaperSignal.of(x, sample_rate, spectra) for x in pair)
    return paper2026_distances(first, second)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    fs=st.sampled_from([4000, 8001, 11025]),
    seconds=st.floats(0.1, 3),
    late=st.integers(-9, 9),
    level=st.sampled_from([1e-4, 5e-4, 1e-2, 1.0]),
    name=st.sampled_from(["vocals", "bass"]),
)
def test_values_equal_those_of_the_literal_code(
    seed: int, fs: int, seconds: float, late: int, level: float, name: str
) -> None:
    x = level * np.random.default_rng(seed).standard_normal((2, int(fs * seconds)))
    x[1] = 0.8 * delay(x[0], late) + 0.2 * x[1]
    x[:, : len(x[0]) // 3] *= 0.1
    found = paper2026_itd(x, x[::-1], fs, whiten=name != "bass")
    expected = literal.paper2026_itd_us(x, fs, name), literal.paper2026_itd_us(x[::-1], fs, name)
    assert (found.reference_us, found.estimate_us) == expected


def test_only_a_stem_called_bass_differs_from_the_paper() -> None:
    low = sosfilt(butter(6, 300, fs=FS, output="sos"), LEFT_LATER)
    leaky = low + 1e-3 * pink(np.random.default_rng(2), 1, 2 * FS)
    stems = {"bass": low, "other": low}
    bass, other = score_track(stems, dict.fromkeys(stems, leaky), FS, metrics="paper")[0]
    assert (other["paper2026_ref_ITD"], other["paper2026_est_ITD"]) == (itd_us(low, FS), itd_us(leaky, FS))
    assert other["paper2026_diff_ITD"] == other["paper_diff_ITD"] == 375
    assert bass["paper_diff_ITD"] == 375
    assert bass["paper2026_diff_ITD"] <= 125
    assert bass["paper2026_est_ITD"] == pytest.approx(375, abs=125)


@pytest.mark.parametrize("whiten", [True, False])
def test_identity_gain_and_common_delay_keep_the_itd_and_a_swap_inverts_it(whiten: bool) -> None:
    for estimate in (LEFT_LATER, 0.3 * LEFT_LATER, -LEFT_LATER, delay(LEFT_LATER, 7)):
        found = paper2026_itd(LEFT_LATER, estimate, FS, whiten=whiten)
        assert (found.reference_us, found.d_itd_us) == (375, 0)
    assert paper2026_itd(LEFT_LATER, LEFT_LATER[::-1], FS, whiten=whiten).estimate_us == -375


@pytest.mark.parametrize(("level", "counted"), [(5.2e-4, True), (4.8e-4, False)])
def test_frames_count_above_a_level_of_5e_4(level: float, counted: bool) -> None:
    """The level of the louder ear after the window, in both definitions of the time difference."""
    window = get_window("tukey", FS // 2)
    square = level / np.sqrt(np.mean(window**2)) * np.resize([1.0, -1.0], FS) * [[0.5], [1.0]]
    assert (paper2026_itd(square, square, FS).reference_us is not None) == counted
    assert (itd_us(square, FS) is not None) == counted


@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        (LEFT_LATER * [[1.0], [0.0]], LEFT_LATER, "the reference's right channel is silent"),
        (LEFT_LATER, 1e-4 * LEFT_LATER, "no frame of the estimate is above the level threshold"),
        (
            LEFT_LATER[:, :3999],
            LEFT_LATER,
            "no frame of the reference and the estimate is above the level threshold",
        ),
    ],
)
def test_an_undefined_difference_has_a_reason(
    reference: FloatArray, estimate: FloatArray, reason: str
) -> None:
    found = paper2026_itd(reference, estimate, FS)
    assert (found.d_itd_us, found.reason) == (None, f"no time difference, as {reason}")


@pytest.mark.parametrize("level", [1e-300, 1e-30, 1e5])
@pytest.mark.parametrize("whiten", [True, False])
def test_extreme_signals_give_a_value_or_a_reason_and_no_warning(level: float, whiten: bool) -> None:
    square = np.sign(np.sin(2 * np.pi * 200 * np.arange(FS) / FS))[None] * [[1.0], [0.9]]
    click = np.where(np.arange(FS) == 4000, 1.0, 0.0)[None] * [[1.0], [0.5]]
    for x in (square, click, np.full((2, FS), 0.5), np.repeat(SOURCE, 2, axis=0), np.zeros((2, FS)), x_one()):
        for fs in (FS, 100, 2):
            found = paper2026_itd(level * x, x, fs, whiten=whiten)
            assert (found.d_itd_us is None) == bool(found.reason)


def x_one() -> FloatArray:
    """One sample."""
    return np.full((2, 1), 0.5)
