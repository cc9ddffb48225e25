"""The paper's ITD and ILD: values of the literal code, and None with a reason if undefined."""

from __future__ import annotations

import literal_metrics as literal
import numpy as np
import pytest
from binaural_metrics import InputError
from binaural_metrics.interaural import ild_db, itd_us, paper_cues
from binaural_metrics.signals import FloatArray
from golden_signals import delay, pink
from hypothesis import given, settings
from hypothesis import strategies as st

FS = 8000


def noise(seed: int, samples: int, level: float = 0.1) -> FloatArray:
    return level * np.random.default_rng(seed).standard_normal((2, samples))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    fs=st.sampled_from([4000, 8000, 11025, 16000]),
    seconds=st.floats(0.1, 4),
    late=st.integers(-12, 12),
    common=st.floats(0, 1),
    level=st.sampled_from([1e-4, 5e-4, 1e-2, 1.0]),
)
def test_values_equal_those_of_the_literal_code(
    seed: int, fs: int, seconds: float, late: int, common: float, level: float
) -> None:
    x = noise(seed, int(fs * seconds), level)
    x[1] = common * delay(x[0], late) + (1 - common) * x[1]
    x[:, : len(x[0]) // 3] *= 0.1
    assert itd_us(x, fs) == literal.paper_itd_us(x, fs)
    assert ild_db(x) == pytest.approx(literal.paper_ild_db(x), abs=1e-9)


@pytest.mark.parametrize("late", [-7, 0, 5])
def test_itd_is_positive_if_the_left_ear_is_later_and_ild_if_it_is_louder(late: int) -> None:
    x = noise(1, 2 * FS)[:1]
    x = np.vstack([delay(x, late), 0.5 * x])
    assert itd_us(x, FS) == late / FS * 1e6
    assert ild_db(x) == pytest.approx(20 * np.log10(2), abs=0.05)


def test_itd_is_the_lag_with_the_largest_summed_level() -> None:
    x = noise(2, 5 * FS // 2)[:1]
    x = np.vstack([x, x])
    x[1, : FS // 2] = delay(x[:1], 3)[0, : FS // 2]  # one of five frames
    x[:, : FS // 2] *= 10  # louder than the sum of the other four
    assert itd_us(x, FS) == -3 / FS * 1e6


def test_of_lags_with_equal_levels_the_smallest_is_used() -> None:
    burst = noise(3, FS // 2)
    left, right = np.vstack([delay(burst[:1], 2), burst[:1]]), np.vstack([burst[:1], delay(burst[:1], 2)])
    # Swapping the ears inverts the lag and keeps the level of the frame, which is that of its louder channel.
    assert (
        itd_us(np.hstack([left, left[::-1]]), FS)
        == itd_us(np.hstack([left[::-1], left]), FS)
        == -2 / FS * 1e6
    )
    assert itd_us(right, FS) == -2 / FS * 1e6


def test_inverted_polarity_does_not_change_the_itd() -> None:
    x = pink(np.random.default_rng(4), 2, 2 * FS)
    assert paper_cues(x, x * [[1.0], [-1.0]], FS).d_itd_us == 0


def test_a_signal_below_the_level_threshold_has_an_ild_and_no_itd() -> None:
    x = noise(5, 2 * FS)
    found = paper_cues(x, 1e-4 * x, FS)
    assert found.d_itd_us is None
    assert found.itd_reason == "no frame of the estimate is above the level threshold"
    assert found.d_ild_db == pytest.approx(0, abs=1e-9)
    assert found.ild_reason == ""


@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        ([1, 0], [1, 1], "the reference's right channel is silent"),
        ([1, 1], [0, 1], "the estimate's left channel is silent"),
        (
            [0, 0],
            [0, 1],
            "the reference's left and right channel is silent; the estimate's left channel is silent",
        ),
    ],
)
def test_a_silent_channel_makes_both_differences_undefined_with_a_reason(
    reference: list[int], estimate: list[int], reason: str
) -> None:
    x = noise(6, 2 * FS)
    found = paper_cues(x * np.reshape(reference, (2, 1)), x * np.reshape(estimate, (2, 1)), FS)
    assert found.d_itd_us is found.d_ild_db is None
    assert found.itd_reason == found.ild_reason == reason


def test_a_signal_shorter_than_a_frame_has_no_itd() -> None:
    assert itd_us(noise(7, FS // 2 - 1), FS) is None
    assert itd_us(noise(7, FS // 2), FS) is not None


BAD = [np.ones((2, FS), int), np.full((2, FS), np.nan), np.ones((1, FS)), np.ones((2, 0))]


@pytest.mark.parametrize("bad", BAD)
def test_unusable_input_raises_input_error(bad: FloatArray) -> None:
    for metric in (lambda x: itd_us(x, FS), ild_db, lambda x: paper_cues(x, x, FS)):
        with pytest.raises(InputError):
            metric(bad)


@pytest.mark.parametrize("level", [1e-300, 1e-30, 1e-9, 1e5])
def test_extreme_levels_give_no_warning_and_no_infinity(level: float) -> None:
    x = noise(8, 2 * FS) * level
    found = paper_cues(x, x, FS)
    assert found.d_ild_db in (0, None)
    assert (found.d_itd_us is None) == (level < 1e-3)
