"""Head-related impulse responses (HRIRs), and the value of an interaural cue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .signals import BoolArray, Float64, InputError, block_length

LEVEL_DEG = 0.5
"""Largest modulus of the elevation of a direction of the horizontal plane."""


class HrirSet(Protocol):
    """Head-related impulse responses.

    A set may have ``elevations`` as well, shape (A,), in degrees, 90 = above. Without them, its directions are those of
    the horizontal plane.

    Attributes
    ----------
    azimuths : ndarray, shape (A,)
        In degrees counter-clockwise, 0 = front, 90 = left.
    irs : ndarray, shape (A, 2, taps)
        Impulse responses, left ear first.
    sample_rate : int
        In Hz.
    """

    @property
    def azimuths(self) -> Float64: ...
    @property
    def irs(self) -> Float64: ...
    @property
    def sample_rate(self) -> int: ...


@dataclass(frozen=True)
class Hrirs:
    """HRIR set made of arrays; see :class:`HrirSet` for their shapes and units."""

    azimuths: Float64
    irs: Float64
    sample_rate: int
    elevations: Float64 | None = None


def elevations_of(hrir: HrirSet) -> Float64:
    """Elevations of the directions of a set in degrees, shape (A,)."""
    found = getattr(hrir, "elevations", None)
    return np.zeros(len(hrir.azimuths)) if found is None else np.asarray(found, np.float64)


def horizontal(hrir: HrirSet) -> HrirSet | None:
    """The directions of the horizontal plane; None if there is none."""
    level = np.abs(elevations_of(hrir)) <= LEVEL_DEG
    if level.all():
        return hrir
    return _part(hrir, level) if level.any() else None


def _part(hrir: HrirSet, chosen: BoolArray) -> Hrirs:
    """The chosen directions of a set."""
    irs, elevations = np.asarray(hrir.irs), elevations_of(hrir)
    return Hrirs(np.asarray(hrir.azimuths)[chosen], irs[chosen], hrir.sample_rate, elevations[chosen])


@dataclass(frozen=True)
class Cue:
    """One cue of one stem.

    Attributes
    ----------
    value : float or None
    reason : str
        Why the value is None; empty otherwise.
    start_s, frames, weights : ndarray, shape (counted frames,)
        Start in seconds, value and weight of each counted frame. For ITD, the value of a frame is the ITD of the
        estimate minus that of the reference. The cue is the difference of two medians, which is close to the
        median of these values, but not equal.
    total : int
        Number of all frames.
    """

    value: float | None
    reason: str = ""
    start_s: Float64 = field(default_factory=lambda: np.empty(0))
    frames: Float64 = field(default_factory=lambda: np.empty(0))
    weights: Float64 = field(default_factory=lambda: np.empty(0))
    total: int = 0

    @classmethod
    def undefined(cls, reason: str, total: int = 0) -> Cue:
        return cls(None, reason, total=total)


def check_hrirs(hrir: HrirSet, sample_rate: int) -> HrirSet:
    """Return the directions of `hrir` with a response of both ears.

    SOFA files have rows of zeros for directions that were not measured. Such a row would have the interaural cues of a
    source in front.

    Raises
    ------
    InputError
        The set cannot be used at `sample_rate` (in Hz), or no direction is left.
    """
    if not all(hasattr(hrir, name) for name in ("azimuths", "irs", "sample_rate")):
        raise InputError(
            f"{type(hrir).__name__} is not an HRIR set; expected azimuths, irs and sample_rate (Hrirs)"
        )
    azimuths, irs = np.asarray(hrir.azimuths), np.asarray(hrir.irs)
    if hrir.sample_rate != sample_rate:
        raise InputError(f"the HRIR set is at {hrir.sample_rate} Hz; expected the track's {sample_rate} Hz")
    if azimuths.ndim != 1 or irs.ndim != 3 or irs.shape[:2] != (len(azimuths), 2) or irs.size == 0:
        raise InputError(f"HRIR set of shapes {azimuths.shape} and {irs.shape}; expected (A,) and (A, 2, K)")
    if np.shape(elevations := elevations_of(hrir)) != azimuths.shape:
        raise InputError(f"HRIR set with elevations of shape {elevations.shape}; expected {azimuths.shape}")
    if not all(np.isfinite(x).all() for x in (azimuths, elevations, irs)):
        raise InputError("the HRIR set holds values that are NaN or infinite")
    if irs.shape[2] > 2 * block_length(sample_rate):
        raise InputError(
            f"HRIRs of {irs.shape[2]} taps; expected at most {2 * block_length(sample_rate)} (100 ms)"
        )
    measured = np.asarray((irs != 0.0).any(axis=2).all(axis=1))
    if not measured.any():
        raise InputError("an ear of the HRIR set is silent at every direction")
    return hrir if measured.all() else _part(hrir, measured)
