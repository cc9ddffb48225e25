"""What every metric expects of its input.

Conventions
-----------
A signal is a NumPy array of floating point numbers, shape (2, samples), full scale ±1, channel 0 = left ear.
Any floating dtype, memory layout and write protection will do; arithmetic is in float64 unless a metric
says otherwise. Reference and estimate are compared over the length of the shorter one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
AGGREGATES = ("median", "mean")


class InputError(ValueError):
    """Signals or options that no metric can be computed from; the message says what was found and expected."""


CHANNELS = 2
MAX_LEVEL = 1e6
"""Largest sample accepted, +120 dB re full scale: beyond it a model has diverged and squares may overflow."""

DB_CLIP = 80.0
"""SPAUQ's ratios are clipped to ±80 dB."""

_BLOCK = 1 << 20  # samples looked at together where an array is only scanned


def db(numerator: float, denominator: float) -> float:
    """10·log10 of the power ratio, clipped to ±80 dB.

    Parameters
    ----------
    numerator, denominator : float
        Energies or mean squares over equally many samples.

    Returns
    -------
    float
        dB. Both zero: 0; only the denominator zero: +80; only the numerator zero: −80.
    """
    if denominator == 0.0:
        return 0.0 if numerator == 0.0 else DB_CLIP
    if numerator == 0.0:
        return -DB_CLIP
    # As a difference of logarithms: the quotient of a tiny and a large energy may leave float64's range.
    level = 10.0 * (math.log10(numerator) - math.log10(denominator))
    return min(max(level, -DB_CLIP), DB_CLIP)


def check_sample_rate(sample_rate: int) -> int:
    """`sample_rate` as an int.

    Raises
    ------
    InputError
        Not a positive whole number of Hz.
    """
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, (int, np.integer)) or sample_rate < 2:
        raise InputError(
            f"sample rate {sample_rate!r} is not a whole number of Hz; expected for example 44100"
        )
    return int(sample_rate)


def check_signal(signal: npt.ArrayLike, name: str) -> FloatArray:
    """`signal` as an array that every metric can take, not copied unless its dtype is rare.

    Parameters
    ----------
    signal : array_like, shape (2, samples)
    name : str
        How the message calls it, "estimate" for example.

    Returns
    -------
    ndarray, shape (2, samples), float32 or float64

    Raises
    ------
    InputError
        Not two channels, empty, not floating point (integers have no agreed full scale), NaN or infinite
        samples, or samples beyond ±1e6.
    """
    x = np.asarray(signal)
    if x.ndim != 2:
        raise InputError(f"{name} has {x.ndim} dimension(s), shape {x.shape}; expected (channels, samples)")
    if x.shape[0] != CHANNELS:
        raise InputError(f"{name} has {x.shape[0]} channel(s), shape {x.shape}; expected two, left and right")
    if x.shape[1] == 0:
        raise InputError(f"{name} holds no samples")
    if not np.issubdtype(x.dtype, np.floating):
        raise InputError(f"{name} holds {x.dtype} samples; expected floating point with full scale ±1")
    if x.dtype not in (np.float32, np.float64):
        _check_range(x, name)  # before it is narrowed, which might overflow
        x = x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    else:
        _check_range(x, name)
    return x


def _check_range(x: FloatArray, name: str) -> None:
    for start in range(0, x.shape[1], _BLOCK):
        block = x[:, start : start + _BLOCK]
        low, high = float(block.min()), float(block.max())
        # Written so that NaN, which compares false with everything, fails too.
        if not (low >= -MAX_LEVEL and high <= MAX_LEVEL):
            if math.isfinite(low) and math.isfinite(high):
                peak = max(-low, high)
                raise InputError(
                    f"{name} peaks at {peak:.3g}; expected full scale ±1, at most ±{MAX_LEVEL:.0e}"
                )
            raise InputError(f"{name} holds samples that are NaN or infinite")


def check_pair(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int
) -> tuple[FloatArray, FloatArray, int]:
    """Both signals checked and trimmed to the shorter, and the sample rate.

    Raises
    ------
    InputError
        See :func:`check_signal` and :func:`check_sample_rate`.
    """
    sample_rate = check_sample_rate(sample_rate)
    ref, est = check_signal(reference, "reference"), check_signal(estimate, "estimate")
    samples = min(ref.shape[1], est.shape[1])
    return ref[:, :samples], est[:, :samples], sample_rate


def inner(x: Float64, y: Float64) -> float:
    """Σ x·y of two vectors. (``x @ y`` would hold the interpreter's lock; threads would wait in line.)"""
    return float(np.dot(x, y))


def channel_energies(x: FloatArray) -> tuple[float, float]:
    """Sum of squares of the left and of the right channel, in float64."""
    sums = [0.0, 0.0]
    for start in range(0, x.shape[1], _BLOCK):
        block = x[:, start : start + _BLOCK].astype(np.float64)
        for c in range(CHANNELS):
            sums[c] += float(block[c] @ block[c])
    return sums[0], sums[1]


def silent_channels(x: FloatArray, name: str) -> str:
    """Which channels have no sample other than zero, as a reason; empty where both sound."""
    silent = [
        side for side, energy in zip(("left", "right"), channel_energies(x), strict=True) if energy == 0.0
    ]
    return f"the {name}'s {' and '.join(silent)} channel is silent" if silent else ""


def load(x: FloatArray, start: int, stop: int) -> Float64:
    """Samples `start` to `stop` as float64, of which those beyond the signal's ends are zero."""
    inside = x[:, max(start, 0) : max(stop, 0)].astype(np.float64)
    before = min(max(-start, 0), stop - start)
    after = stop - start - before - inside.shape[1]
    return np.pad(inside, ((0, 0), (before, after))) if before or after else inside


# ------------------------------------------------------------------------------- activity, in blocks of 50 ms

BLOCK_S = 0.05
ACTIVITY_RANGE_DB = 60.0
SILENCE = 1e-8
"""Standard deviation below which a channel is silent."""


def block_length(sample_rate: int) -> int:
    """Samples of one block."""
    return max(1, int(BLOCK_S * sample_rate))


def block_energies(x: FloatArray, sample_rate: int) -> Float64:
    """Energy of both ears together in each block, shape (blocks,); what is left over is dropped."""
    samples = block_length(sample_rate)
    count = x.shape[1] // samples
    energies = np.zeros(count)
    step = max(1, _BLOCK // samples)
    for first in range(0, count, step):
        last = min(first + step, count)
        blocks = x[:, first * samples : last * samples].astype(np.float64).reshape(CHANNELS, -1, samples)
        energies[first:last] = np.einsum("cfn,cfn->f", blocks, blocks)
    return energies


def active_blocks(energies: Float64) -> BoolArray:
    """Where a block is above −60 dB relative to the loudest; nowhere in an all-zero signal."""
    loudest = float(energies.max(initial=0.0))
    return np.asarray((energies > loudest * 10 ** (-ACTIVITY_RANGE_DB / 10)) & (loudest > 0.0))


def is_silent_where(x: FloatArray, blocks: BoolArray, sample_rate: int) -> bool:
    """Whether both channels are silent (standard deviation below 1e-8) in every one of those blocks."""
    samples = block_length(sample_rate)
    return all(
        float(np.std(x[:, i * samples : (i + 1) * samples].astype(np.float64), axis=1).max()) < SILENCE
        for i in np.flatnonzero(blocks)
    )


# ------------------------------------------------------------------------------------------------ aggregation


def aggregate_frames(values: Float64, aggregate: str, weights: Float64 | None = None) -> float:
    """One value out of the values of frames.

    Parameters
    ----------
    values : ndarray, shape (frames,), at least one
    aggregate : {"median", "mean"}
    weights : ndarray, shape (frames,), optional
        Positive. The weighted median is the value at which half of the weight lies on either side; between
        two values where the halves part exactly there, their mean.
    """
    if weights is None:
        return float(np.median(values) if aggregate == "median" else np.mean(values))
    if aggregate == "mean":
        return float(values @ weights / weights.sum())
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    half = 0.5 * below[-1]
    low = int(np.searchsorted(below, half, side="left"))
    high = min(int(np.searchsorted(below, half, side="right")), len(values) - 1)
    return float(0.5 * (values[order[low]] + values[order[high]]))
