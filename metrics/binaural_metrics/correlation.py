"""Lag of the largest cross-correlation of two channels: search in float32, decision in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import fft

from .arrays import Arrays
from .inner_products import Channel
from .signals import Float32, Float64, inner

_EPS = float(np.finfo(np.float64).eps)
# Bounds of the rounding error of a correlation, relative to the product of the two norms: of a float64 inner
# product, and of float32 FFTs. They are 100 and 20 times the largest errors measured on noise, tones and impulses.
_ROUNDING = 64 * _EPS
_ROUNDING_32 = 4e-6
_FEW = 16  # candidates for which inner products take less time than transforms


@dataclass(frozen=True)
class Sections:
    """Sections into which hops are cut, so that short lags need only short transforms.

    A frame is two hops, or one sample more. Its correlation is the sum of the correlations within its hops, each of
    which two frames share, and of the products across the boundary of the hops. A section of the reference is
    correlated with the piece of the estimate that the lags reach in the same hop, and the products are summed as
    spectra. Each pair of channels thus needs one inverse transform.

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
            size = _fast(length + (reach if count == 1 else 2 * reach))
            return (count + 1) * size * math.log2(size), length, count, size

        most = max(1, hop // max(4 * reach, 256))
        _, length, count, size = min(plan(count) for count in range(1, most + 1))
        return cls(hop, reach, length, count, size)

    def frames(self, x: Float32, odd: bool) -> list[Lags]:
        """Correlations of each frame of reference and estimate `x`, shape (4, hops·hop + 1).

        `odd` frames have one sample more than two hops.
        """
        hops, reach = self.within_hops(x[:, :-1]), self.reach
        found = []
        for i, (first, second) in enumerate(pairwise(hops), 1):
            values, end = first + second, (i + 1) * self.hop
            if odd:
                r, e = x[:2, None], x[None, 2:]
                values[..., : reach + 1] += r[..., end, None] * e[..., end - reach : end + 1]
                values[..., reach + 1 :] += r[..., end - reach : end][..., ::-1] * e[..., end, None]
            missing = partial(self.across, x, i * self.hop)
            if 16 * reach > self.hop:
                found.append(Lags(values, self.across_at_most(x, i * self.hop), missing))
            else:  # the transforms are short
                found.append(Lags(values + missing(), None, missing))
        return found

    def within_hops(self, x: Float32) -> Float32:
        """Σ_n r_i[n]·e_j[n + k] within each hop for |k| ≤ reach, shape (hops, 2, 2, 2·reach + 1).

        `x` are reference and estimate, shape (4, hops·hop).
        """
        hops, lags = x.shape[1] // self.hop, 2 * self.reach + 1
        values = np.empty((hops, 2, 2, lags), np.float32)
        pieces = np.zeros((4, self.count, self.size), np.float32)
        padded = np.zeros((4, self.count * self.length + 2 * self.reach), np.float32)
        width = min(self.length + 2 * self.reach, self.size)
        around = np.lib.stride_tricks.sliding_window_view(padded[2:], width, axis=1)[:, :: self.length]
        own = padded[:2, : self.count * self.length].reshape(2, self.count, self.length)
        for h in range(hops):
            part = x[:, h * self.hop : (h + 1) * self.hop]
            padded[:2, : self.hop], padded[2:, self.reach : self.reach + self.hop] = part[:2], part[2:]
            pieces[:2, :, : self.length], pieces[2:, :, :width] = own, around
            spectra = fft.rfft(pieces)
            before, after = np.conj(spectra[:2], out=spectra[:2])[:, None], spectra[2:]
            cross = before[:, :, 0] * after[:, 0]
            for k in range(1, self.count):
                cross += before[:, :, k] * after[:, k]
            # A section starts `reach` samples after its piece of e: lag k is at index reach + k.
            values[h] = fft.irfft(cross, self.size)[..., :lags]
        return values

    def across(self, x: Float32, boundary: int) -> Float32:
        """Σ_n r_i[n]·e_j[n + k] of samples in different hops, shape (2, 2, 2·reach + 1)."""
        reach, near = self.reach, min(self.reach, self.hop)
        size = _fast(2 * near + reach)
        sides = np.zeros((2, 4, size), np.float32)
        for s, start in enumerate((0, near)):
            part = x[:, boundary - near + start : boundary + start]
            sides[s, :2, start : start + near] = part[:2]
            sides[s, 2:, reach + start : reach + start + near] = part[2:]
        left, right = fft.rfft(sides)
        cross = np.conj(left[:2, None]) * right[2:] + np.conj(right[:2, None]) * left[2:]
        return np.asarray(fft.irfft(cross, size)[..., : 2 * reach + 1])

    def across_at_most(self, x: Float32, boundary: int) -> Float32:
        """Upper bounds of the moduli of :meth:`across`, from the energies of the samples that a lag reaches."""
        near = min(self.reach, self.hop)
        starts, lengths = _steps(near, self.reach)
        sides = np.stack([x[:, boundary - near : boundary][:, ::-1], x[:, boundary : boundary + near]])
        sides *= sides
        energies = np.add.reduceat(sides, starts, axis=-1).cumsum(axis=-1)
        # The factor is the rounding error of the sums.
        left, right = np.sqrt(1.01 * energies)
        later, earlier = (a[:2, None] * b[2:] for a, b in ((left, right), (right, left)))
        zero = np.zeros((2, 2, 1), np.float32)
        steps = np.concatenate([earlier[..., ::-1], zero, later], axis=-1)
        return np.repeat(steps, [*lengths[::-1], 1, *lengths], axis=-1)


def lags_on(on: Arrays, x: Float32, window: int, hop: int, reach: int) -> list[Lags]:
    """The same as :meth:`Sections.frames` on a device, which has no use for short transforms."""
    size = _fast(window + reach)
    spectra = on.rfft(on.windows(on.put(x), window, hop), size)
    values = on.irfft(on.xp.conj(spectra[:2, None, ...]) * spectra[None, 2:, ...], size)
    near = on.xp.concat([values[..., size - reach :], values[..., : reach + 1]], axis=-1)
    return [Lags(one) for one in np.moveaxis(on.get(near).astype(np.float32), 2, 0)]


def _fast(size: int) -> int:
    return int(fft.next_fast_len(max(size, 1), real=True))


@lru_cache(maxsize=16)
def _steps(near: int, reach: int) -> tuple[list[int], list[int]]:
    """First sample and number of lags of each step of the bounds: a step is at most a sixth longer than its start."""
    starts = [0]
    while (following := starts[-1] + 1 + starts[-1] // 6) < near:
        starts.append(following)
    ends = [*starts[1:], reach]
    return starts, [end - start for start, end in zip(starts, ends, strict=True)]


class Lags:
    """Correlations of one frame at each lag, in float32.

    Attributes
    ----------
    modulus : ndarray, shape (2, 2, lags)
        ``modulus[i, j, reach + k]`` = \\|Σ_n R_i[n] · E_j[n + k]\\|; k is the delay of the estimate in samples.
    error : ndarray, shape (2, 2, lags), or None
        What the products across the middle of the frame can change at most, while they are not in `modulus`.
    """

    def __init__(
        self,
        values: Float32,
        error: Float32 | None = None,
        missing: Callable[[], Float32] = lambda: np.zeros(1, np.float32),
    ) -> None:
        self._values, self.error, self._missing = values, error, missing
        self.modulus = np.abs(values)

    def complete(self) -> None:
        """Add the products across the middle of the frame."""
        self.modulus, self.error = np.abs(self._values + self._missing()), None


@dataclass(frozen=True)
class Correlation:
    """Cross-correlation of every reference channel with every estimate channel of one frame.

    The search uses float32 transforms to select the few lags that can be the maximum. Their correlations are
    computed again as float64 inner products, so that the result is exact. Correlations are the largest cost of
    a frame, and this takes half the time of float64 transforms.

    Attributes
    ----------
    r, e : lists of Channel
    reach : int
        Largest lag.
    lags : Lags
    gain : float
        Factor that was applied to `r`, but not to `lags`.
    """

    r: list[Channel]
    e: list[Channel]
    reach: int
    lags: Lags
    gain: float = 1.0

    @classmethod
    def of(cls, r: Float64, e: Float64, reach: int, lags: Lags, gain: float = 1.0) -> Correlation:
        """Of signals of shape (2, samples)."""
        return cls([Channel(x) for x in r], [Channel(x) for x in e], reach, lags, gain)

    def within(self, reach: int) -> Correlation:
        """Return the same correlation for fewer lags."""
        return replace(self, reach=reach)

    def after_gain(self, r: Float64, gain: float) -> Correlation:
        """Return the correlation for `r`, which is the former one multiplied by `gain`."""
        return replace(
            self, r=[Channel(x, gain * gain * c.energy) for x, c in zip(r, self.r, strict=True)], gain=gain
        )

    def first_maxima(self, order: Callable[[int], Any]) -> list[list[int]]:
        """Return the lag of the largest modulus of channels [i][j], 0 if either is silent.

        Of equal maxima, the first in the order of the sort key `order` counts.
        """
        found = [[0, 0], [0, 0]]
        for (i, j), candidates in self._candidates().items():
            if len(candidates) == 1:
                found[i][j] = candidates[0]
                continue
            candidates.sort(key=order)
            exact = np.abs([self._exact(i, j, lag) for lag in candidates])
            ties = exact >= exact.max() - _ROUNDING * math.sqrt(self.r[i].energy * self.e[j].energy)
            found[i][j] = candidates[int(np.argmax(ties))]
        return found

    def _candidates(self) -> dict[tuple[int, int], list[int]]:
        """Lags that can have the largest modulus, of each pair of channels that are not silent."""
        norms = [[math.sqrt(r.energy * e.energy) for e in self.e] for r in self.r]
        silent = [[r.silent or e.silent for e in self.e] for r in self.r]
        zero, error = self.lags.modulus.shape[-1] // 2, self.lags.error
        inside = slice(zero - self.reach, zero + self.reach + 1)
        modulus = high = low = self.lags.modulus[..., inside]
        if error is not None:
            high, low = modulus + error[..., inside], modulus - error[..., inside]
        least = np.where(
            silent, np.inf, low.max(axis=-1) - 2 * _ROUNDING_32 / abs(self.gain) * np.array(norms)
        )
        possible = high >= least.astype(np.float32)[..., None]
        if error is not None and np.count_nonzero(possible, axis=-1).max() > _FEW:
            self.lags.complete()
            return self._candidates()
        found: dict[tuple[int, int], list[int]] = {}
        for at in np.flatnonzero(possible).tolist():
            pair, lag = divmod(at, modulus.shape[-1])
            found.setdefault(divmod(pair, 2), []).append(lag - self.reach)
        return found

    def _exact(self, i: int, j: int, lag: int) -> float:
        r, e = self.r[i].x, self.e[j].x
        early, late = max(0, -lag), max(0, lag)
        return inner(r[early : len(r) - late], e[late : len(e) - early])
