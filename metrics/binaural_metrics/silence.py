"""Leakage where a stem is silent, where ratios of signals have no value.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Frames are blocks of 50 ms. The reference is silent in a
frame that is more than 60 dB below its own loudest frame.

Metrics
-------
silence_leak_db  dB, ±100. Energy of the estimate over that of the mixture, in the frames in which the reference is
                 silent. Not defined if there is no such frame, or if the mixture is silent in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .signals import (
    BoolArray,
    FloatArray,
    InputError,
    active_blocks,
    block_energies,
    block_length,
    check_pair,
    check_signal,
)
from .threads import one_blas_thread

LIMIT_DB = 100.0
_STEP = 40  # blocks at a time, to limit memory


@one_blas_thread
def silence_leak(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    mixture: Sequence[npt.ArrayLike],
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
) -> float | None:
    """Compute the level of an estimate in the frames in which its reference is silent.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; all signals are trimmed to the shortest.
    mixture : sequence of array_like, shape (2, samples)
        Signals whose sum is the mixture: all stems, or the mixture alone.
    sample_rate : int
        In Hz.
    mixture_gain : float
        Factor applied to `mixture`.

    Returns
    -------
    float or None
        In dB relative to the mixture. None if it is not defined.

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`).

    Examples
    --------
    >>> import numpy as np
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((2, 16000))
    >>> stem = noise * (np.arange(16000) < 8000)
    >>> round(silence_leak(stem, stem + 0.1 * noise, [noise], 8000), 2)
    -20.0
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    parts = [check_signal(x, "mixture") for x in mixture]
    if not parts:
        raise InputError("no mixture; expected it or the stems whose sum it is")
    samples = min(x.shape[1] for x in (ref, *parts))
    silent = ~active_blocks(block_energies(ref[:, :samples], sample_rate))
    leak, whole = 0.0, 0.0
    length = block_length(sample_rate)
    for first in range(0, len(silent), _STEP):
        chosen = silent[first : first + _STEP]
        if chosen.any():
            inside = slice(first * length, (first + len(chosen)) * length)
            leak += _energy([est[:, inside]], chosen)
            whole += _energy([x[:, inside] for x in parts], chosen)
    if whole == 0.0:
        return None
    if leak == 0.0:
        return -LIMIT_DB
    level = 10.0 * (math.log10(leak) - math.log10(whole)) - 20.0 * math.log10(abs(mixture_gain))
    return min(max(level, -LIMIT_DB), LIMIT_DB)


def _energy(parts: list[FloatArray], chosen: BoolArray) -> float:
    """Energy of the sum of the parts in the chosen blocks."""
    total = sum(x.reshape(2, len(chosen), -1)[:, chosen].astype(np.float64) for x in parts)
    return float(np.sum(np.square(total)))
