"""The transform against its definition, and perfect reconstruction for every length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mssbench_service.audio import FloatArray
from oracle_service import stft
from oracle_service.stft import BINS, HOP, WINDOW, Resynthesis, analyse, blocks, frame_count

HANN = np.sin(np.pi * np.arange(WINDOW) / WINDOW) ** 2


def literal_frame(signal: FloatArray, frame: int) -> npt.NDArray[np.complex128]:
    """Sample by sample: frame f starts at 1024·f − 3072, and the signal is zero outside."""
    first = HOP * frame - (WINDOW - HOP)
    windowed = np.zeros(WINDOW)
    for n in range(WINDOW):
        if 0 <= first + n < len(signal):
            windowed[n] = signal[first + n] * HANN[n]
    return np.asarray(np.fft.rfft(windowed))


def round_trip(signal: FloatArray) -> FloatArray:
    resynthesis = Resynthesis(*signal.shape)
    for frames in blocks(signal.shape[1]):
        resynthesis.add(analyse(signal, frames))
    return resynthesis.signal()


@pytest.mark.parametrize("samples", [1, 1000, 5000, 12_345])
def test_spectra_equal_the_definition(samples: int) -> None:
    signal = np.random.default_rng(samples).standard_normal((2, samples)).astype(np.float32)
    found = np.concatenate([analyse(signal, frames) for frames in blocks(samples)], axis=1)
    assert found.shape == (2, frame_count(samples), BINS)
    for frame in range(frame_count(samples)):
        for channel in range(2):
            np.testing.assert_allclose(
                found[channel, frame], literal_frame(signal[channel], frame), atol=1e-9
            )


def test_every_sample_lies_in_four_frames() -> None:
    for samples in (1, HOP, HOP + 1, WINDOW, 10_000):
        covered = np.zeros(samples, int)
        for frame in range(frame_count(samples)):
            first = HOP * frame - (WINDOW - HOP)
            covered[max(first, 0) : max(first + WINDOW, 0)] += 1
        assert (covered == 4).all()


@settings(max_examples=40, deadline=None)
@given(
    samples=st.one_of(
        st.integers(1, 9000), st.sampled_from([HOP, WINDOW, 64 * HOP, 64 * HOP + 1, 130 * HOP])
    ),
    channels=st.integers(1, 3),
)
def test_reconstruction_is_perfect_up_to_the_edges(samples: int, channels: int) -> None:
    signal = np.random.default_rng(samples).standard_normal((channels, samples)).astype(np.float32)
    found = round_trip(signal)
    assert found.shape == signal.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, signal, atol=1e-6)


def test_the_result_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = np.random.default_rng(0).standard_normal((2, 30_000)).astype(np.float32)
    whole = round_trip(signal)
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(stft, "BLOCK", size)
        np.testing.assert_allclose(round_trip(signal), whole, atol=1e-7)


def test_levels_far_from_full_scale_are_reconstructed() -> None:
    for level in (1e-30, 1e6, 1e30):
        signal = (level * np.random.default_rng(1).standard_normal((2, 5000))).astype(np.float32)
        np.testing.assert_allclose(round_trip(signal), signal, atol=1e-6 * level)


def test_an_incomplete_signal_is_an_error() -> None:
    resynthesis = Resynthesis(2, 10_000)
    resynthesis.add(analyse(np.zeros((2, 10_000), np.float32), range(3)))
    with pytest.raises(ValueError, match="of 10000 samples"):
        resynthesis.signal()
