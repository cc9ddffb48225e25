"""Checks of signals, and helpers that all metrics share.

Conventions
-----------
A signal is a NumPy array of floating point numbers, shape (2, samples), full scale ±1, channel 0 = left ear.
Any floating dtype and memory layout is accepted, and read-only arrays too. Arithmetic is in float64 unless a metric
states otherwise. Reference and estimate are compared over the length of the shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
AGGREGATES = ("median", "mean")


class InputError(ValueError):
    """Unusable signals or options; the message states what was found and what is expected."""


CHANNELS = 2
MAX_LEVEL = 1e6
"""Largest modulus of a sample, +120 dB re full scale. Above it, a model has diverged, and squares can overflow."""

DB_CLIP = 80.0
"""Ratios of SPAUQ are clipped to plus and minus this value in dB."""

_BLOCK = 1 << 15  # samples processed at a time: they fit in the processor's cache


def db(numerator: float, denominator: float, limit: float = DB_CLIP) -> float:
    """Return 10·log10 of a power ratio, clipped to ±`limit` dB.

    Parameters
    ----------
    numerator, denominator : float
        Energies, or mean squares, of the same number of samples.

    Returns
    -------
    float
        In dB. 0 if both are zero, `limit` if only the denominator is zero, −`limit` if only the numerator is zero.

    Examples
    --------
    >>> db(100.0, 1.0), db(0.0, 0.0), db(1.0, 0.0)
    (20.0, 0.0, 80.0)
    """
    if denominator == 0.0:
        return 0.0 if numerator == 0.0 else limit
    if numerator == 0.0:
        return -limit
    # A difference of logarithms, because the quotient of a tiny and a large energy can exceed the range of float64.
    level = 10.0 * (math.log10(numerator) - math.log10(denominator))
    return min(max(level, -limit), limit)


def check_sample_rate(sample_rate: int) -> int:
    """Return `sample_rate`, in Hz, as an int.

    Raises
    ------
    InputError
        It is not an integer of at least 2.
    """
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, (int, np.integer)) or sample_rate < 2:
        raise InputError(
            f"sample rate {sample_rate!r} is not a whole number of Hz; expected for example 44100"
        )
    return int(sample_rate)


def check_signal(signal: npt.ArrayLike, name: str) -> FloatArray:
    """Return `signal` as an array that every metric accepts.

    Parameters
    ----------
    signal : array_like, shape (2, samples)
        Floating point, full scale ±1.
    name : str
        Name of the signal in messages, "estimate" for example.

    Returns
    -------
    ndarray, shape (2, samples), float32 or float64
        Not a copy if `signal` is an array of one of these types.

    Raises
    ------
    InputError
        The signal does not have two channels, is empty, is not floating point (the full scale of integers is not
        defined), or has samples that are NaN, infinite or beyond ±1e6.

    Examples
    --------
    >>> check_signal(np.zeros((2, 44100), np.int16), "estimate")
    Traceback (most recent call last):
        ...
    binaural_metrics.signals.InputError: estimate holds int16 samples; expected floating point with full scale ±1
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
    _check_range(x, name)  # before a conversion, which can overflow
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float32 if x.dtype.itemsize < 4 else np.float64)
    return x


def check_dry(dry: npt.ArrayLike) -> FloatArray:
    """Return a dry stem with a leading axis of length 1, checked as :func:`check_signal` does."""
    x = np.asarray(dry)
    if x.ndim != 1:
        raise InputError(f"dry stem of shape {x.shape}; expected (samples,)")
    return check_signal(np.broadcast_to(x, (2, *x.shape)), "dry stem")[:1]


def _check_range(x: FloatArray, name: str) -> None:
    for block in blocks(x):
        low, high = float(block.min()), float(block.max())
        # Every comparison with NaN is false, so this condition also detects NaN.
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
    """Return reference and estimate, checked and trimmed to the shorter one, and the sample rate.

    Raises
    ------
    InputError
        See :func:`check_signal` and :func:`check_sample_rate`.
    """
    sample_rate = check_sample_rate(sample_rate)
    ref, est = check_signal(reference, "reference"), check_signal(estimate, "estimate")
    samples = min(ref.shape[1], est.shape[1])
    return ref[:, :samples], est[:, :samples], sample_rate


def blocks(x: FloatArray) -> Iterator[FloatArray]:
    """Views of successive samples that fit in the processor's cache."""
    return (x[:, start : start + _BLOCK] for start in range(0, x.shape[1], _BLOCK))


def inner(x: Float64, y: Float64) -> float:
    """Inner product of two vectors. Unlike ``x @ y``, ``np.dot`` releases the interpreter's lock for threads."""
    return float(np.dot(x, y))


def channel_energies(x: FloatArray) -> tuple[float, float]:
    """Sum of squares of the left and of the right channel, in float64."""
    sums = [0.0, 0.0]
    for part in blocks(x):
        block = part.astype(np.float64)
        for c in range(CHANNELS):
            sums[c] += float(block[c] @ block[c])
    return sums[0], sums[1]


def silent_channels(energies: tuple[float, float], name: str) -> str:
    """Reason that names the channels without energy; empty if there is none."""
    silent = [side for side, energy in zip(("left", "right"), energies, strict=True) if energy == 0.0]
    return f"the {name}'s {' and '.join(silent)} channel is silent" if silent else ""


def load(x: FloatArray, start: int, stop: int) -> Float64:
    """Samples `start` to `stop` as float64; samples before the start and after the end of the signal are zero."""
    inside = x[:, max(start, 0) : max(stop, 0)].astype(np.float64)
    before = min(max(-start, 0), stop - start)
    after = stop - start - before - inside.shape[1]
    return np.pad(inside, ((0, 0), (before, after))) if before or after else inside


def binary_exponent(x: FloatArray) -> int:
    """Exponent by which :func:`load_scaled` divides, so that float32 holds the squares; 0 for usual levels."""
    peak = max(float(x.max()), -float(x.min()))
    return 0 if 1e-6 < peak < 1e6 else math.frexp(peak)[1]


def load_scaled(x: FloatArray, start: int, stop: int, exponent: int) -> Float32:
    """Samples `start` to `stop`, divided by 2 to the power of `exponent`, as float32."""
    samples = x[:, start:stop]
    if exponent:
        # Two factors, because one alone can be beyond the range of float64.
        half = -exponent // 2
        samples = samples.astype(np.float64) * 2.0**half * 2.0 ** (-exponent - half)
    return samples.astype(np.float32, copy=False)


def power_ratio(first: int, second: int) -> float:
    """Factor for energies of signals that were scaled by `second`, to compare them with those scaled by `first`."""
    return 4.0 ** min(max(second - first, -400), 400)


# ------------------------------------------------------------------------------- activity, in blocks of 50 ms

BLOCK_S = 0.05
ACTIVITY_RANGE_DB = 60.0
SILENCE = 1e-8
"""Standard deviation below which a channel is silent."""


def block_length(sample_rate: int) -> int:
    """Number of samples of one block."""
    return max(1, int(BLOCK_S * sample_rate))


def block_energies(x: FloatArray, sample_rate: int) -> Float64:
    """Summed energy of both ears in each block, shape (blocks,); an incomplete last block is dropped."""
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
    """Whether each block is above −60 dB relative to the loudest block; False throughout for an all-zero signal."""
    loudest = float(energies.max(initial=0.0))
    return np.asarray((energies > loudest * 10 ** (-ACTIVITY_RANGE_DB / 10)) & (loudest > 0.0))


def is_silent_where(x: FloatArray, blocks: BoolArray, sample_rate: int) -> bool:
    """Whether both channels are silent (standard deviation below 1e-8) in all selected blocks."""
    samples = block_length(sample_rate)
    return all(
        float(np.std(x[:, i * samples : (i + 1) * samples].astype(np.float64), axis=1).max()) < SILENCE
        for i in np.flatnonzero(blocks)
    )


# ------------------------------------------------------------------------------------------------ aggregation


def aggregate_frames(values: Float64, aggregate: str, weights: Float64 | None = None) -> float:
    """Return the median or mean of the values of frames.

    Parameters
    ----------
    values : ndarray, shape (frames,)
        At least one value.
    aggregate : {"median", "mean"}
    weights : ndarray, shape (frames,), optional
        Positive. The weighted median is the value with half of the weight on either side. If exactly half of the
        weight is below a value, it is the mean of that value and the one before.

    Returns
    -------
    float

    Examples
    --------
    >>> aggregate_frames(np.array([1.0, 2.0, 9.0]), "median", np.array([1.0, 1.0, 8.0]))
    9.0
    """
    if weights is None:
        return float(np.median(values) if aggregate == "median" else np.mean(values))
    if aggregate == "mean":
        return float(values @ weights / weights.sum())
    order = np.argsort(values, kind="stable")
    below = weights[order]
    np.cumsum(below, out=below)
    half = 0.5 * below[-1]
    low = int(np.searchsorted(below, half, side="left"))
    high = min(int(np.searchsorted(below, half, side="right")), len(values) - 1)
    return float(0.5 * (values[order[low]] + values[order[high]]))
