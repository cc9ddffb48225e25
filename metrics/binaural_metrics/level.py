"""Fitted level and SI-SDR of a stem, with one gain for both ears.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Both ears count as one long signal: with a gain per ear, the
fit would hide an error of the interaural level difference.

Metrics
-------
level_db  dB. 20·log10(⟨ŝ, s⟩ / ⟨s, s⟩), the level of the reference that fits the estimate best. A diagnostic value:
          0 if the model keeps the level of the stem. None if the estimate is out of phase.
SI_SDR    dB, ±100. ‖αs‖² / ‖ŝ − αs‖² with α = ⟨ŝ, s⟩ / ⟨s, s⟩ [1]_; the mean is not removed.

References
----------
.. [1] J. Le Roux, S. Wisdom, H. Erdogan and J. R. Hershey, "SDR - half-baked or well done?," IEEE
   International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy.typing as npt

from .signals import check_pair, db, load
from .threads import one_blas_thread

LIMIT_DB = 100.0
_STEP = 1 << 15  # samples processed at a time: they fit in the processor's cache


@dataclass(frozen=True)
class Level:
    """Fitted level and SI-SDR of a stem.

    Attributes
    ----------
    level_db, si_sdr_db : float or None
        In dB.
    level_reason, si_sdr_reason : str
        Why the value is None; empty otherwise.
    """

    level_db: float | None
    si_sdr_db: float | None
    level_reason: str = ""
    si_sdr_reason: str = ""


@one_blas_thread
def level(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, reference_gain: float = 1.0
) -> Level:
    """Compute the fitted level and SI-SDR of one stem.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter.
    sample_rate : int
        In Hz. It is checked, but has no influence on the values.
    reference_gain : float
        Factor applied to the reference. It changes the level, but not SI-SDR.

    Returns
    -------
    Level

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    ref, est, _ = check_pair(reference, estimate, sample_rate)
    starts = range(0, ref.shape[1], _STEP)
    inner = own = 0.0
    for start in starts:
        s, e = load(ref, start, start + _STEP).ravel(), load(est, start, start + _STEP).ravel()
        inner, own = inner + float(s @ e), own + float(s @ s)
    if own == 0.0:
        return Level(None, None, "the reference is silent", "the reference is silent")
    scale = inner / own
    residual = energy = 0.0
    for start in starts:
        s, e = load(ref, start, start + _STEP).ravel(), load(est, start, start + _STEP).ravel()
        e -= scale * s
        residual, energy = residual + float(e @ e), energy + float(s @ s) * scale * scale
    if residual == energy == 0.0:
        return Level(None, None, "the estimate is silent", "the estimate is silent")
    ratio = db(energy, residual, LIMIT_DB)
    relative = scale / reference_gain
    if relative <= 0.0:
        return Level(None, ratio, "the estimate is not in phase with the reference")
    return Level(20.0 * math.log10(relative), ratio)
