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
from .signals import Float32, Float64, inner

_EPS = float(np.finfo(np.float64).eps)
# Bounds of the rounding error of a correlation, relative to the product of the two norms: of a float64 inner
# product, and of float32 FFTs. They are 100 and 20 times the largest errors measured on noise, tones and impulses.
_ROUNDING = 64 * _EPS
_ROUNDING_32 = 4e-6


@dataclass(frozen=True)
class Sections:
    """Sections into which the hops of a reference are cut, so that short lags need only short transforms.

    A frame is two hops, or one sample more. A section of the reference is correlated with the piece of the estimate
    that the lags reach, and the products are summed as spectra. Each pair of channels thus needs one inverse transform.
    Two frames overlap by one hop and share its spectra of the reference.

    Attributes
    ----------
    hop, reach : int
        Samples of a hop, and the largest lag.
    length, count, size : int
        Samples of a section, sections of a hop, and length of their transform.
    """

    hop: int
    reach: int
    length: int
    count: int
    size: int

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, hop: int, reach: int) -> Sections:
        """Sections with the lowest cost."""

        def plan(count: int) -> tuple[float, int, int, int]:
            length = -(-hop // count)
            size = int(fft.next_fast_len(length + 2 * reach, real=True))
            return (6 * count + 4) * size * math.log2(size), length, count, size

        most = max(1, hop // max(4 * reach, 256))
        _, length, count, size = min(plan(count) for count in range(1, most + 1))
        return cls(hop, reach, length, count, size)

    def spectra(self, x: Float32) -> npt.NDArray[np.complex64]:
        """Conjugate spectra of the reference, shape (hops, 2, sections of a hop, bins); `x` is (2, hops·hop)."""
        hops = x.shape[1] // self.hop
        padded = np.zeros((hops, 2, self.count, self.size), np.float32)
        of_hops = x.reshape(2, hops, self.hop).swapaxes(0, 1)
        for k in range(self.count):
            part = of_hops[..., k * self.length : (k + 1) * self.length]
            padded[..., k, : part.shape[2]] = part
        found: npt.NDArray[np.complex64] = fft.rfft(padded)
        return np.conj(found, out=found)

    def correlate(self, spectra: npt.NDArray[np.complex64], r: Float32, e: Float32) -> Float32:
        """Σ_n r_i[n]·e_j[n + k] for |k| ≤ reach, shape (2, 2, 2·reach + 1).

        `spectra` are those of the two hops of the frame, `r` and `e` its samples.
        """
        reach, samples = self.reach, e.shape[1]
        pieces = np.zeros((2, 2, self.count, self.size), np.float32)
        for h in range(2):
            for k in range(self.count):
                first = h * self.hop + k * self.length - reach
                start = max(first, 0)
                stop = max(start, min(first + self.length + 2 * reach, samples))
                pieces[h, :, k, start - first : stop - first] = e[:, start:stop]
        after = fft.rfft(pieces)
        products = (spectra[h, :, None, k] * after[h, :, k] for h in range(2) for k in range(self.count))
        cross = next(products)
        for product in products:
            cross += product
        # A section starts `reach` samples after its piece of e: lag k is at index reach + k, 0 to 2·reach < size.
        values = np.asarray(fft.irfft(cross, self.size)[..., : 2 * reach + 1])
        if samples > 2 * self.hop:  # the last sample of r is in no section
            values[..., : reach + 1] += r[:, None, -1:] * e[None, :, samples - 1 - reach :]
        return values


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
    modulus : ndarray of float32, shape (2, 2, 2·reach + 1)
        ``modulus[i, j, reach + k]`` = \\|Σ_n R_i[n] · E_j[n + k]\\|; k is the delay of the estimate in samples.
    gain : float
        Factor that was applied to `r`, but not to `modulus`.
    """

    r: Float64
    e: Float64
    energies: tuple[list[float], list[float]]
    silent: tuple[list[bool], list[bool]]
    reach: int
    modulus: Float32
    gain: float = 1.0

    @classmethod
    def of(cls, r: Float64, e: Float64, reach: int, values: Float32, gain: float = 1.0) -> Correlation:
        """`values` are those of :meth:`Sections.correlate`, which are overwritten."""
        energies = [inner(x, x) for x in r], [inner(x, x) for x in e]
        silent = silent_channels_of(r, energies[0]), silent_channels_of(e, energies[1])
        return cls(r, e, energies, silent, reach, np.abs(values, out=values), gain)

    def within(self, reach: int) -> Correlation:
        """Return the same correlation for fewer lags."""
        first, last = self.reach - reach, self.reach + reach + 1
        return replace(self, reach=reach, modulus=self.modulus[..., first:last])

    def after_gain(self, r: Float64, gain: float) -> Correlation:
        """Return the correlation for `r`, which is the former one multiplied by `gain`."""
        energies = [gain * gain * energy for energy in self.energies[0]]
        silent = silent_channels_of(r, energies), self.silent[1]
        return replace(self, r=r, energies=(energies, self.energies[1]), silent=silent, gain=gain)

    def first_maximum(self, i: int, j: int, order: Callable[[int], Any]) -> int:
        """Return the lag of the largest modulus, or 0 if either channel is silent.

        Of equal maxima, the first in the order of the sort key `order` counts.
        """
        if self.silent[0][i] or self.silent[1][j]:
            return 0
        modulus, norms = self.modulus[i, j], math.sqrt(self.energies[0][i] * self.energies[1][j])
        least = modulus.max() - 2 * _ROUNDING_32 * norms / abs(self.gain)
        candidates = sorted(((modulus >= least).nonzero()[0] - self.reach).tolist(), key=order)
        if len(candidates) == 1:
            return int(candidates[0])
        exact = np.abs([self._exact(i, j, lag) for lag in candidates])
        ties = exact >= exact.max() - _ROUNDING * norms
        return int(candidates[int(np.argmax(ties))])

    def _exact(self, i: int, j: int, lag: int) -> float:
        samples = self.r.shape[1]
        early, late = max(0, -lag), max(0, lag)
        return inner(self.r[i, early : samples - late], self.e[j, late : samples - early])
