"""Short-time Fourier transform in blocks of frames, with perfect reconstruction up to both edges.

Conventions
-----------
Window: periodic Hann of 4096 samples, for analysis and again for synthesis; hop 1024. Its squares add up to
1.5 at every sample, which resynthesis divides by. The signal is surrounded by zeros, so that its first and
its last sample lie in as many frames as every other: :data:`OVERLAP`. Frame ``f`` begins at sample
``1024·f − 3072``; a signal of n samples has ``(n − 1)//1024 + 4`` frames, of any n ≥ 1.

Arithmetic is in float64. Only a block of frames exists at a time: a spectrogram is never held as a whole.

References
----------
.. [1] D. W. Griffin and J. S. Lim, "Signal Estimation from Modified Short-Time Fourier Transform," IEEE
   Transactions on Acoustics, Speech, and Signal Processing 32(2), 1984 (weighted overlap-add).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import FloatArray
from scipy import fft

Spectrum = npt.NDArray[np.complex128]

WINDOW = 4096
HOP = 1024
OVERLAP = WINDOW // HOP
BINS = WINDOW // 2 + 1
BLOCK = 64
"""Frames that are looked at together. Larger is not faster: the arrays leave the processor's cache."""

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
_SYNTHESIS = _HANN / np.sum(_HANN[::HOP] ** 2)


def frame_count(samples: int) -> int:
    """Frames of a signal of `samples` ≥ 1 samples."""
    return (samples - 1) // HOP + OVERLAP


def blocks(samples: int) -> Iterator[range]:
    """The frames of a signal of `samples` samples, a block at a time."""
    frames = range(frame_count(samples))
    return (frames[start : start + BLOCK] for start in range(0, len(frames), BLOCK))


def analyse(signal: FloatArray, frames: range) -> Spectrum:
    """Spectra of some consecutive frames of a signal.

    Parameters
    ----------
    signal : array, shape (channels, samples)
    frames : range
        From :func:`blocks`.

    Returns
    -------
    array, shape (channels, len(frames), BINS), complex128
    """
    first = (frames.start - OVERLAP + 1) * HOP
    last = (frames.stop - OVERLAP) * HOP + WINDOW
    before, after = max(0, -first), max(0, last - signal.shape[1])
    part = signal[:, first + before : last - after].astype(np.float64)
    padded = np.pad(part, ((0, 0), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    spectrum: Spectrum = fft.rfft(windows * _HANN, axis=-1, overwrite_x=True)
    return spectrum


class Resynthesis:
    """Turns blocks of spectra, in order, back into a signal.

    Parameters
    ----------
    channels, samples : int
        Shape of the signal.
    """

    def __init__(self, channels: int, samples: int) -> None:
        self._signal: FloatArray = np.empty((channels, samples), np.float32)
        self._done = -(OVERLAP - 1) * HOP  # samples written; negative while still among the leading zeros
        self._tail = np.zeros((channels, OVERLAP - 1, HOP))  # overlaps that the next block completes

    def add(self, spectrum: Spectrum) -> None:
        """The next frames, shape (channels, frames, BINS)."""
        channels, frames, _ = spectrum.shape
        pieces = fft.irfft(spectrum, WINDOW, axis=-1) * _SYNTHESIS
        pieces = pieces.reshape(channels, frames, OVERLAP, HOP)
        sums = np.zeros((channels, frames + OVERLAP - 1, HOP))
        sums[:, : OVERLAP - 1] = self._tail
        for position in range(OVERLAP):
            sums[:, position : position + frames] += pieces[:, :, position]
        self._tail = sums[:, frames:].copy()
        complete = sums[:, :frames].reshape(channels, -1)
        start, stop = self._done, min(self._done + frames * HOP, self._signal.shape[1])
        if stop > max(start, 0):
            self._signal[:, max(start, 0) : stop] = complete[:, max(-start, 0) : stop - start]
        self._done += frames * HOP

    def signal(self) -> FloatArray:
        """The whole signal, shape (channels, samples), float32, after the last block."""
        if self._done < self._signal.shape[1]:
            raise ValueError(f"{self._done} of {self._signal.shape[1]} samples were resynthesised")
        return self._signal
