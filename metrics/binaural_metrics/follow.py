"""By how much the interaural time difference of an estimate follows that of a moving reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .hrir import Cue
from .signals import Float64

MOST_LAG_S = 1.0
"""Largest lag that is searched for."""

LEAST_MOTION_US = 50.0
"""Standard deviation of the reference's ITD from which its motion can be followed."""

LEAST_CORRELATION = 0.5


def follow(
    frames: npt.NDArray[np.intp],
    reference: Float64,
    estimate: Float64,
    weights: Float64,
    total: int,
    hop_s: float,
) -> Cue:
    """Find the lag of the highest correlation between two courses of the ITD.

    Parameters
    ----------
    frames : ndarray of int, shape (N,)
        Numbers of the frames that have a value, ascending.
    reference, estimate : ndarray, shape (N,)
        ITD of each in µs.
    weights : ndarray, shape (N,)
    total : int
        Number of all frames.
    hop_s : float
        Seconds between frames.

    Returns
    -------
    Cue
        In ms, positive where the estimate is late. A parabola through the maximum gives parts of a frame.
    """
    centre = np.average(reference, weights=weights)
    if np.sqrt(np.average((reference - centre) ** 2, weights=weights)) < LEAST_MOTION_US:
        return Cue.undefined("the ITD of the reference hardly changes", total)
    of_reference, of_estimate, weight = (np.full(total, np.nan), np.full(total, np.nan), np.zeros(total))
    of_reference[frames], of_estimate[frames], weight[frames] = reference, estimate, weights
    most = min(round(MOST_LAG_S / hop_s), total // 4)
    lags = np.arange(-most, most + 1)
    correlation = np.array([_correlation(of_reference, of_estimate, weight, lag) for lag in lags.tolist()])
    best = int(np.argmax(correlation))
    if correlation[best] < LEAST_CORRELATION:
        return Cue.undefined("the ITD of the estimate does not follow the reference's", total)
    if best in (0, len(lags) - 1):
        return Cue.undefined(f"the estimate follows later or earlier than by {most * hop_s:g} s", total)
    before, at, after = correlation[best - 1 : best + 2]
    bend = before - 2 * at + after
    part = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return Cue(float((lags[best] + part) * hop_s * 1e3), total=total)


def _correlation(reference: Float64, estimate: Float64, weight: Float64, lag: int) -> float:
    """Weighted correlation of the reference with the estimate `lag` frames later; −1 where it is unknown."""
    late, early = max(lag, 0), max(-lag, 0)
    count = len(reference) - late - early
    first, second = reference[early : early + count], estimate[late : late + count]
    common = np.minimum(weight[early : early + count], weight[late : late + count])
    known = common > 0.0
    if known.sum() < 3:
        return -1.0
    first, second, common = first[known], second[known], common[known]
    first = first - np.average(first, weights=common)
    second = second - np.average(second, weights=common)
    norm = np.sqrt((common @ first**2) * (common @ second**2))
    return float(common @ (first * second) / norm) if norm > 0.0 else -1.0
