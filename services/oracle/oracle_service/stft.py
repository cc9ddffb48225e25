"""Short-time Fourier transform in blocks of frames, with perfect reconstruction up to both edges.

Conventions
-----------
The window is a periodic Hann window of 4096 samples, for analysis and for synthesis, with a hop of 1024 samples. Its
overlapping squares add up to 1.5 at every sample, by which resynthesis divides. The signal is padded with zeros on both
sides, so that every sample lies in the same number of frames, :data:`OVERLAP`. Frame ``f`` starts at sample
``1024·f − 3072``. A signal of n ≥ 1 samples has ``(n − 1)//1024 + 4`` frames.

Arithmetic is in float64. Only one block of frames is in memory at a time, never a whole spectrogram.

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
"""Frames per block. Larger blocks are not faster, because they do not fit into the processor's cache."""

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
_SYNTHESIS = _HANN / np.sum(_HANN[::HOP] ** 2)


def frame_count(samples: int) -> int:
    """Number of frames of a signal of `samples` ≥ 1 samples.

    Examples
    --------
    >>> frame_count(44_100)
    47
    """
    return (samples - 1) // HOP + OVERLAP


def blocks(samples: int) -> Iterator[range]:
    """Yield the frames of a signal of `samples` samples in blocks.

    Examples
    --------
    >>> list(blocks(100_000))
    [range(0, 64), range(64, 101)]
    """
    frames = range(frame_count(samples))
    return (frames[start : start + BLOCK] for start in range(0, len(frames), BLOCK))


def analyse(signal: FloatArray, frames: range) -> Spectrum:
    """Compute the spectra of consecutive frames of a signal.

    Parameters
    ----------
    signal : array, shape (channels, samples)
    frames : range
        Consecutive frames, as :func:`blocks` yields them.

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
    """Inverse transform of consecutive blocks of spectra.

    Parameters
    ----------
    channels, samples : int
        Shape of the signal.

    Examples
    --------
    >>> import numpy as np
    >>> signal = np.random.default_rng(0).standard_normal((2, 100_000)).astype(np.float32)
    >>> resynthesis = Resynthesis(*signal.shape)
    >>> for frames in blocks(signal.shape[1]):
    ...     resynthesis.add(analyse(signal, frames))
    >>> bool(np.allclose(resynthesis.signal(), signal, atol=1e-6))
    True
    """

    def __init__(self, channels: int, samples: int) -> None:
        self._signal: FloatArray = np.empty((channels, samples), np.float32)
        self._done = -(OVERLAP - 1) * HOP  # samples written; negative within the leading zeros
        self._tail = np.zeros((channels, OVERLAP - 1, HOP))  # sums that the next block completes

    def add(self, spectrum: Spectrum) -> None:
        """Add the spectra of the next frames, of shape (channels, frames, BINS)."""
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
        """Return the whole signal, of shape (channels, samples), float32.

        Raises
        ------
        ValueError
            Not all frames have been added.
        """
        if self._done < self._signal.shape[1]:
            raise ValueError(f"{self._done} of {self._signal.shape[1]} samples were resynthesised")
        return self._signal
