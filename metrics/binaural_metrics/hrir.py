"""Head-related impulse responses, and the cue of a stem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .signals import Float64, InputError, block_length


class HrirSet(Protocol):
    """Head-related impulse responses of the horizontal plane.

    ``azimuths``: degrees, shape (A,); ``irs``: shape (A, 2, taps), left ear first; ``sample_rate``: Hz.
    """

    @property
    def azimuths(self) -> Float64: ...
    @property
    def irs(self) -> Float64: ...
    @property
    def sample_rate(self) -> int: ...


@dataclass(frozen=True)
class Hrirs:
    """The plainest :class:`HrirSet`."""

    azimuths: Float64
    irs: Float64
    sample_rate: int


@dataclass(frozen=True)
class Cue:
    """One cue of one stem.

    Attributes
    ----------
    value : float or None
    reason : str
        Why there is no value; empty otherwise.
    start_s, frames, weights : ndarray, shape (counted frames,)
        When each counted frame begins, its value and its weight. For ITD the frames hold the estimate's
        ITD minus the reference's, of which the cue is not the median but nearly.
    total : int
        Frames there are.
    """

    value: float | None
    reason: str
    start_s: Float64
    frames: Float64
    weights: Float64
    total: int

    @classmethod
    def undefined(cls, reason: str, total: int = 0) -> Cue:
        nothing = np.empty(0)
        return cls(None, reason, nothing, nothing, nothing, total)


def check_hrirs(hrir: HrirSet, sample_rate: int) -> None:
    """Raise InputError unless `hrir` can be used at `sample_rate`."""
    if not all(hasattr(hrir, name) for name in ("azimuths", "irs", "sample_rate")):
        raise InputError(
            f"{type(hrir).__name__} is no HRIR set; expected azimuths, irs and sample_rate (Hrirs)"
        )
    azimuths, irs = np.asarray(hrir.azimuths), np.asarray(hrir.irs)
    if hrir.sample_rate != sample_rate:
        raise InputError(f"the HRIR set is at {hrir.sample_rate} Hz; expected the track's {sample_rate} Hz")
    if azimuths.ndim != 1 or irs.ndim != 3 or irs.shape[:2] != (len(azimuths), 2) or irs.size == 0:
        raise InputError(f"HRIR set of shapes {azimuths.shape} and {irs.shape}; expected (A,) and (A, 2, K)")
    if not (np.isfinite(azimuths).all() and np.isfinite(irs).all()):
        raise InputError("the HRIR set holds values that are NaN or infinite")
    if irs.shape[2] > 2 * block_length(sample_rate):
        raise InputError(
            f"HRIRs of {irs.shape[2]} taps; expected at most {2 * block_length(sample_rate)} (100 ms)"
        )
