"""Lag of the largest cross-correlation of two channels: search in float32, decision in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from .inner_products import silent_channels_of
from .signals import Float64, inner

_EPS = float(np.finfo(np.float64).eps)
# Bounds of the rounding error of a correlation, relative to the product of the two norms: of a float64 inner
# product, and of float32 FFTs. They are 100 and 20 times the largest errors measured on noise, tones and impulses.
_ROUNDING = 64 * _EPS
_ROUNDING_32 = 4e-6


@dataclass(frozen=True)
class Correlation:
    """Cross-correlation of every reference channel with every estimate channel of one frame.

    The search uses float32 transforms to select the few lags that can be the maximum. Their correlations are
    computed again as float64 inner products, so that the result is exact. Correlations are the largest cost of
    a frame, and this takes half the time of float64 transforms.

    Attributes
    ----------
    r, e : ndarray, shape (2, samples)
    energies, silent : pair of lists
        One value per channel, of the reference and of the estimate.
    reach : int
        Largest lag.
    values : ndarray of float32, shape (2, 2, 2·reach + 1)
        ``values[i, j, reach + k]`` = Σ_n R_i[n] · E_j[n + k], divided by the product of both norms; k is the
        delay of the estimate in samples.
    """

    r: Float64
    e: Float64
    energies: tuple[list[float], list[float]]
    silent: tuple[list[bool], list[bool]]
    reach: int
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, r: Float64, e: Float64, reach: int) -> Correlation:
        energies = [inner(x, x) for x in r], [inner(x, x) for x in e]
        silent = silent_channels_of(r, energies[0]), silent_channels_of(e, energies[1])
        return cls(r, e, energies, silent, reach, _correlate(r, e, reach, energies))

    def within(self, reach: int) -> Correlation:
        """Return the same correlation for fewer lags."""
        first, last = self.reach - reach, self.reach + reach + 1
        return replace(self, reach=reach, values=self.values[..., first:last])

    def after_gain(self, gain: float) -> Correlation:
        """Return the correlation after `r` was multiplied by `gain` in place.

        The normalised values stay. Energies and silent channels of the reference change.
        """
        energies = [gain * gain * energy for energy in self.energies[0]]
        silent = silent_channels_of(self.r, energies)
        return replace(self, energies=(energies, self.energies[1]), silent=(silent, self.silent[1]))

    def first_maximum(self, i: int, j: int, order: Callable[[int], Any]) -> int:
        """Return the lag of the largest modulus, or 0 if either channel is silent.

        Of equal maxima, the first in the order of the sort key `order` counts.
        """
        if self.silent[0][i] or self.silent[1][j]:
            return 0
        modulus = np.abs(self.values[i, j])
        found = np.flatnonzero(modulus >= modulus.max() - 2 * _ROUNDING_32) - self.reach
        candidates = sorted((int(lag) for lag in found), key=order)
        if len(candidates) == 1:
            return candidates[0]
        exact = np.abs([self._exact(i, j, lag) for lag in candidates])
        rounding = _ROUNDING * math.sqrt(self.energies[0][i] * self.energies[1][j])
        ties = exact >= exact.max() - rounding
        return candidates[int(np.argmax(ties))]

    def _exact(self, i: int, j: int, lag: int) -> float:
        samples = self.r.shape[1]
        early, late = max(0, -lag), max(0, lag)
        return inner(self.r[i, early : samples - late], self.e[j, late : samples - early])


def _correlate(
    r: Float64, e: Float64, reach: int, energies: tuple[list[float], list[float]]
) -> npt.NDArray[np.float32]:
    """Σ_n r_i[n]·e_j[n + k] for |k| ≤ `reach`, divided by the product of the norms, shape (2, 2, 2·reach + 1).

    r is cut into sections. Each is correlated with the piece of e that the lags reach, and the products are
    summed as spectra. Each pair of channels thus needs one inverse transform, and short lags need only short
    transforms.
    """
    samples = r.shape[1]
    size, section = _section(samples, reach)
    count = -(-samples // section)
    whole = np.zeros((2, count * section), np.float32)
    padded = np.zeros((2, count * section + 2 * reach), np.float32)
    for c in range(2):
        to_r, to_e = (1.0 / math.sqrt(side[c]) if side[c] > 0.0 else 0.0 for side in energies)
        np.multiply(r[c], to_r, out=whole[c, :samples], casting="same_kind")
        np.multiply(e[c], to_e, out=padded[c, reach : reach + samples], casting="same_kind")
    pieces = np.lib.stride_tricks.sliding_window_view(padded, section + 2 * reach, axis=1)[:, ::section]
    spectra_r = fft.rfft(whole.reshape(2, count, section), size)
    spectra_e = fft.rfft(pieces, size)
    np.conj(spectra_r, out=spectra_r)
    cross = np.empty((2, 2, size // 2 + 1), np.complex64)
    for i in range(2):
        for j in range(2):
            np.sum(spectra_r[i] * spectra_e[j], axis=0, out=cross[i, j])
    # A section starts `reach` samples after its piece of e: lag k is at index reach + k, 0 to 2·reach < size.
    return np.asarray(fft.irfft(cross, size)[..., : 2 * reach + 1])


@lru_cache(maxsize=64)
def _section(samples: int, reach: int) -> tuple[int, int]:
    """FFT size and section length with the lowest cost."""

    def plan(sections: int) -> tuple[float, int, int]:
        length = -(-samples // sections)
        size = int(fft.next_fast_len(length + 2 * reach, real=True))
        return (sections + 1) * size * math.log2(size), size, size - 2 * reach

    most = max(1, samples // max(4 * reach, 256))
    _, size, length = min(plan(sections) for sections in range(1, most + 1))
    return size, min(length, samples)
