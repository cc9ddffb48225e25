"""Statistics over tracks: medians with intervals, paired tests, and corrections for many of them.

Conventions
-----------
The unit of observation is the *track*. The stems of one track are dependent (they shared a mixture), so
whatever pools stems resamples, and tests, whole tracks.

Values are arrays of shape ``(tracks,)`` or ``(tracks, stems)`` with NaN where there is no value. NaN is left
out, never replaced; every result says how many values and tracks it rests on.

References
----------
* Intervals: percentile bootstrap; Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993; resampling
  whole clusters: Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8.
* Signed ranks with zeros: Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures", 1959.
* Rank-biserial correlation: Kerby, "The simple difference formula", 2014.
* Many tests: Holm, "A simple sequentially rejective multiple test procedure", 1979.
* Shares: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int32]

RESAMPLES = 10_000
LEVEL = 0.95

_DECIMALS = 9
"""Of differences that are ranked: more than any metric has, fewer than rounding disturbs. The paper's ΔITD is a
whole number of samples, and 3 − 2 of them, in microseconds, is not to the last bit 2 − 1 of them."""

_CHUNK = 4_000_000
"""Elements that one step of a bootstrap may hold; bounds memory for very many tracks."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval; NaN where there is none.

    `n` counts values, `tracks` those with at least one. With fewer than two tracks there is no interval.
    """

    value: float
    low: float
    high: float
    n: int
    tracks: int


@dataclass(frozen=True)
class SignedRank:
    """A two-sided signed-rank test of "the differences are symmetric about 0".

    `effect` is the matched-pairs rank-biserial correlation, −1 … 1: the share of the rank sum in favour of
    positive differences minus that of negative ones.
    """

    n: int
    zeros: int
    positive: float
    negative: float
    p: float
    effect: float


@dataclass(frozen=True)
class Paired:
    """First minus second on their common tracks."""

    difference: Estimate
    test: SignedRank


def median(values: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Median over all values with a bootstrap interval that resamples tracks.

    Parameters
    ----------
    values : array, shape (tracks,) or (tracks, stems)
    resamples : int
    seed : int

    Returns
    -------
    Estimate
    """
    table = validate(values)
    table = table[~np.isnan(table).all(axis=1)]
    track, stem = np.nonzero(~np.isnan(table))
    found = table[track, stem]
    if found.size == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    value = float(np.median(found))
    tracks = len(table)
    if tracks < 2:
        return Estimate(value, np.nan, np.nan, found.size, tracks)
    medians = _resampled_medians(found, track, _counts(tracks, resamples, seed))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), found.size, tracks)


def paired(first: npt.ArrayLike, second: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Compare two sets of values on what both have: the median of ``first − second`` and its test.

    A stem counts where both have a value. With several stems per track, the test takes each track's median
    difference, so that a track is one observation.
    """
    one, two = validate(first), validate(second)
    if one.shape != two.shape:
        raise ValueError(f"shapes {one.shape} and {two.shape} differ; expected the same tracks and stems")
    differences = one - two
    return Paired(median(differences, resamples, seed), signed_rank(_by_track(differences)))


def signed_rank(differences: npt.ArrayLike) -> SignedRank:
    """Wilcoxon's signed-rank test, two-sided, zeros by Pratt, exact also with ties and zeros.

    Pratt: rank the absolute differences *with* the zeros, then leave the zeros' ranks out. Given the ranks,
    every sign is as likely as the other under the hypothesis, so the distribution of the rank sum is a
    convolution over the ranks that are left. No normal approximation: a run may have four tracks.
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    values = np.round(values[~np.isnan(values)], _DECIMALS)
    n, zeros = len(values), int(np.sum(values == 0))
    if n == zeros:  # nothing differs, or nothing is there
        return SignedRank(n, zeros, 0.0, 0.0, 1.0 if n else np.nan, 0.0 if n else np.nan)
    # Midranks are multiples of one half: doubled, they are integers and the sums are exact.
    ranks = np.rint(2 * stats.rankdata(np.abs(values))).astype(np.int64)
    positive, negative = int(ranks[values > 0].sum()), int(ranks[values < 0].sum())
    total = positive + negative
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for rank in ranks[values != 0]:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: len(chance) - rank]
        chance = 0.5 * (chance + moved)
    p = min(1.0, 2 * float(chance[max(positive, negative) :].sum()))
    return SignedRank(n, zeros, positive / 2, negative / 2, p, (positive - negative) / total)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Holm's adjusted p values over one family; NaN (no test) stays NaN and does not count."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted


def fewest_tracks(tests: int, level: float = 1 - LEVEL) -> int:
    """How many tracks a signed-rank test needs before it can be significant among `tests` under Holm.

    With n tracks that all point one way, the two-sided p is 2^(1 − n); Holm multiplies the smallest by `tests`.
    """
    return 1 + math.ceil(math.log2(max(tests, 1) / level))


def share_above(values: npt.ArrayLike, limit: float) -> Estimate:
    """Share of tracks whose value lies above `limit`, with Wilson's interval. One value per track."""
    found = np.asarray(values, dtype=np.float64).ravel()
    found = found[~np.isnan(found)]
    n = len(found)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    above = int(np.sum(found > limit))
    interval = stats.binomtest(above, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(above / n, float(interval.low), float(interval.high), n, n)


def validate(values: npt.ArrayLike) -> FloatArray:
    """As (tracks, stems); ValueError where that is not possible or a value is infinite."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, np.newaxis]
    if table.ndim != 2:
        raise ValueError(f"values have shape {table.shape}; expected (tracks,) or (tracks, stems)")
    if np.isinf(table).any():
        raise ValueError("values are infinite; expected finite numbers, or NaN where there is none")
    return table


@lru_cache(maxsize=8)
def _counts(tracks: int, resamples: int, seed: int) -> CountArray:
    """How often each track is drawn in each resample, shape (resamples, tracks).

    Equal tracks, equal draws: intervals in one report share their resamples, which also makes it fast.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(tracks, np.full(tracks, 1 / tracks), size=resamples).astype(np.int32)


def _resampled_medians(values: FloatArray, track: npt.NDArray[np.intp], counts: CountArray) -> FloatArray:
    """Median of each resample, shape (resamples,), without building any: values sorted once, then counted."""
    order = np.argsort(values, kind="stable")
    ascending, owner = values[order], track[order]
    medians = np.empty(len(counts))
    step = max(1, _CHUNK // len(values))
    for start in range(0, len(counts), step):
        below = np.cumsum(counts[start : start + step, owner], axis=1, dtype=np.int32)
        size = below[:, -1:]
        # The k-th smallest (from 0) is the first value with more than k draws up to and with it.
        lower = np.sum(below <= (size - 1) // 2, axis=1)
        upper = np.sum(below <= size // 2, axis=1)
        medians[start : start + step] = (ascending[lower] + ascending[upper]) / 2
    return medians


def _by_track(differences: FloatArray) -> FloatArray:
    """Each track's median over its stems; tracks without a value left out."""
    some = differences[~np.isnan(differences).all(axis=1)]
    if len(some) == 0:
        return np.empty(0)
    return np.asarray(np.nanmedian(some, axis=1))
