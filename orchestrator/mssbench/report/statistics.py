"""Statistics over tracks: medians with intervals, paired tests, and corrections for multiple tests.

Conventions
-----------
The unit of observation is the *track*. The stems of one track are dependent, because they come from one mixture.
Statistics over several stems therefore resample and test whole tracks.

Values are arrays of shape ``(tracks,)`` or ``(tracks, stems)`` with NaN where there is no value. NaN is ignored,
never replaced. Each result has the number of values and tracks that it is based on.

References
----------
* Percentile bootstrap: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993; resampling of whole
  clusters: Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8.
* Signed ranks with zeros: Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures", 1959.
* Rank-biserial correlation: Kerby, "The simple difference formula", 2014.
* Multiple tests: Holm, "A simple sequentially rejective multiple test procedure", 1979.
* Interval of a share: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

FloatArray = npt.NDArray[np.float64]
CountArray = npt.NDArray[np.int32]

RESAMPLES = 10_000
"""Default number of bootstrap resamples."""

LEVEL = 0.95
"""Level of all intervals."""

_DECIMALS = 9
"""Differences are rounded to this many decimals before they are ranked, so that rounding errors do not break ties.
The paper's ΔITD is a whole number of samples: in microseconds, 3 − 2 samples differs from 2 − 1 in the last bit."""

_CHUNK = 4_000_000
"""Largest number of array elements in one step of the bootstrap; limits memory for many tracks."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval.

    Attributes
    ----------
    value : float
        NaN where there is no value.
    low, high : float
        Limits of the interval; NaN with fewer than two tracks.
    n, tracks : int
        Number of values, and of tracks with at least one value.
    """

    value: float
    low: float
    high: float
    n: int
    tracks: int


@dataclass(frozen=True)
class SignedRank:
    """Result of a two-sided signed-rank test of the hypothesis that differences are symmetric about 0.

    Attributes
    ----------
    n, zeros : int
        Number of differences, and of those that are 0.
    positive, negative : float
        Sum of the ranks of positive and of negative differences.
    p : float
        Exact p value; NaN without a difference.
    effect : float
        Matched-pairs rank-biserial correlation from −1 to 1: (positive − negative) / (positive + negative).
    """

    n: int
    zeros: int
    positive: float
    negative: float
    p: float
    effect: float


@dataclass(frozen=True)
class Paired:
    """Median of first minus second on their common tracks, and its test."""

    difference: Estimate
    test: SignedRank


def median(values: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Compute the median over all values with a bootstrap interval that resamples whole tracks.

    Parameters
    ----------
    values : array_like, shape (tracks,) or (tracks, stems)
        NaN where there is no value.
    resamples : int
        Number of resamples.
    seed : int
        Seed of the random generator.

    Returns
    -------
    Estimate
        In the unit of `values`.

    Raises
    ------
    ValueError
        `values` has another shape, or infinite values.

    Examples
    --------
    >>> found = median([1.0, 2.0, 3.0, 4.0, np.nan])
    >>> found.value, found.low, found.high, found.tracks
    (2.5, 1.0, 4.0, 4)
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
    counts, resample = _counts(tracks, resamples, seed)
    medians = _resampled_medians(found, track, counts)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(medians[resample], [tail, 1 - tail])
    return Estimate(value, float(low), float(high), found.size, tracks)


def paired(first: npt.ArrayLike, second: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Compare two sets of values of the same tracks: median of ``first − second``, and its signed-rank test.

    Stems without a value in either set are ignored. With several stems per track, the test uses the median
    difference of each track, so that a track is one observation.

    Parameters
    ----------
    first, second : array_like, shape (tracks,) or (tracks, stems)
        NaN where there is no value.
    resamples, seed : int
        As for :func:`median`.

    Returns
    -------
    Paired

    Raises
    ------
    ValueError
        The shapes differ, or values are infinite.

    Examples
    --------
    >>> found = paired([5.0, 6.0, 7.0, 9.0], [4.0, 4.0, 4.0, 4.0])
    >>> found.difference.value, found.test.p
    (2.5, 0.125)
    """
    one, two = validate(first), validate(second)
    if one.shape != two.shape:
        raise ValueError(f"shapes {one.shape} and {two.shape} differ; expected the same tracks and stems")
    differences = one - two
    return Paired(median(differences, resamples, seed), signed_rank(track_medians(differences)))


def signed_rank(differences: npt.ArrayLike) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test with Pratt's treatment of zeros, exact also with ties and zeros.

    Pratt's method ranks the absolute differences including zeros, then drops the ranks of the zeros. Under the
    hypothesis both signs of each rank are equally likely, so the distribution of the rank sum is a convolution
    over the remaining ranks. There is no normal approximation, because a run may have only a few tracks.

    Parameters
    ----------
    differences : array_like
        One value per track; NaN is ignored.

    Returns
    -------
    SignedRank

    Examples
    --------
    >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0]).p
    0.0625
    """
    values = np.asarray(differences, dtype=np.float64).ravel()
    values = np.round(values[~np.isnan(values)], _DECIMALS)
    n, zeros = len(values), int(np.sum(values == 0))
    if n == zeros:  # all differences are 0, or there is none
        return SignedRank(n, zeros, 0.0, 0.0, 1.0 if n else np.nan, 0.0 if n else np.nan)
    # Mid-ranks are multiples of 0.5: doubled, they are integers, and their sums are exact.
    _, group, sizes = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(sizes) - sizes + 1)[group]
    positive, negative = int(ranks[values > 0].sum()), int(ranks[values < 0].sum())
    total = positive + negative
    probability = np.zeros(total + 1)
    probability[0] = 1.0
    for rank in ranks[values != 0]:
        shifted = np.zeros_like(probability)
        shifted[rank:] = probability[: len(probability) - rank]
        probability = 0.5 * (probability + shifted)
    p = min(1.0, 2 * float(probability[max(positive, negative) :].sum()))
    return SignedRank(n, zeros, positive / 2, negative / 2, p, (positive - negative) / total)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjust the p values of one family of tests by Holm's method; NaN (no test) is ignored and stays NaN.

    Parameters
    ----------
    p_values : array_like, shape (tests,)

    Returns
    -------
    array, shape (tests,)
        Adjusted p values.

    Examples
    --------
    >>> holm([0.01, 0.02, 0.2]).tolist()
    [0.03, 0.04, 0.2]
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted


def fewest_tracks(tests: int, level: float = 1 - LEVEL) -> int:
    """Return the smallest number of tracks with which one of `tests` signed-rank tests can be significant.

    With n differences of the same sign, the two-sided p is 2^(1 − n); Holm's method multiplies the smallest p
    by `tests`.

    Examples
    --------
    >>> fewest_tracks(1), fewest_tracks(24)
    (6, 10)
    """
    return 1 + math.ceil(math.log2(max(tests, 1) / level))


def share_above(values: npt.ArrayLike, limit: float) -> Estimate:
    """Compute the share of tracks whose value is larger than `limit`, with Wilson's interval.

    Parameters
    ----------
    values : array_like, shape (tracks,)
        One value per track; NaN is ignored.
    limit : float
        In the unit of `values`.

    Returns
    -------
    Estimate
        Share from 0 to 1.

    Examples
    --------
    >>> share_above([10.0, 60.0, 70.0, 20.0], limit=50.0).value
    0.5
    """
    found = np.asarray(values, dtype=np.float64).ravel()
    found = found[~np.isnan(found)]
    n = len(found)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    above = int(np.sum(found > limit))
    # scipy.stats has this interval too, but its import takes longer than all statistics of a report.
    z, share = float(ndtri(0.5 + 0.5 * LEVEL)), above / n
    centre = (2 * n * share + z**2) / (2 * (n + z**2))
    half = z / (2 * (n + z**2)) * math.sqrt(4 * n * share * (1 - share) + z**2)
    return Estimate(share, centre - half if above else 0.0, centre + half if above < n else 1.0, n, n)


def validate(values: npt.ArrayLike) -> FloatArray:
    """Return `values` with shape (tracks, stems); ValueError for another shape or infinite values."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, np.newaxis]
    if table.ndim != 2:
        raise ValueError(f"values have shape {table.shape}; expected (tracks,) or (tracks, stems)")
    if np.isinf(table).any():
        raise ValueError("values are infinite; expected finite numbers, or NaN where there is none")
    return table


@lru_cache(maxsize=8)
def _counts(tracks: int, resamples: int, seed: int) -> tuple[CountArray, npt.NDArray[np.intp]]:
    """Return how often each track is drawn, shape (different resamples, tracks), and the row of each resample.

    All intervals over the same number of tracks share their resamples, and few tracks have few different ones: 35 with
    four tracks. Both make a report fast.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(tracks, np.full(tracks, 1 / tracks), size=resamples).astype(np.int32)
    counts, resample = np.unique(drawn, axis=0, return_inverse=True)
    return counts, resample.ravel()  # NumPy 2.0 gives it the number of axes of its input


def _resampled_medians(values: FloatArray, track: npt.NDArray[np.intp], counts: CountArray) -> FloatArray:
    """Return the median of each row of `counts`, shape (rows,), from cumulated counts of the sorted values."""
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


def track_medians(values: FloatArray) -> FloatArray:
    """Return the median over the stems of each track, shape (tracks,); NaN for tracks without a value."""
    medians = np.full(len(values), np.nan)
    some = ~np.isnan(values).all(axis=1)
    if some.any():
        medians[some] = np.nanmedian(values[some], axis=1)
    return medians
