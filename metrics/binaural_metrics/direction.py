"""The direction of an HRIR set that is nearest a pair of ear responses.

Conventions
-----------
Azimuths are degrees counter-clockwise, 0 = front, 90 = left; elevations are degrees above the horizontal plane. The
*lateral* angle is that to the median plane (90 = left), the *polar* angle that around the interaural axis (0 = front,
90 = above, 180 = behind).

Definition
----------
The cues of a band are its interaural level difference (ILD), below 1400 Hz its interaural phase difference (IPD), and
the level of each ear after removal of a gain common to all bands and ears. Each difference from a direction's cue is
expressed in units: 1 dB for ILDs and levels; 20 µs, or 0.05 rad if that is more, for phases; and limited to 10 units.
The distance is the mean of the squares, weighted by the loudness of the bands.

1. The interaural cues alone give the lateral angle: that of the nearest direction.
2. Of the directions within 10° of this lateral angle, the one counts whose distance of interaural cues plus that of the
   levels of the ears is smallest: the spectrum tells front from behind and above from below.

A minimum is *clear* if it is below that of all directions farther than 30° (of lateral angle in 1., of arc in 2.) by 1
and by a quarter of itself. Of a set whose directions in front and behind have the same responses, such as a rigid
sphere, only the frontal half is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .arrays import current
from .hrir import LEVEL_DEG, HrirSet, elevations_of
from .signals import BoolArray, Float64

LIMIT = 10.0
"""Largest difference of a cue in units."""

CONE_DEG, APART_DEG = 10.0, 30.0
SIDE_DEG = 75.0
"""Lateral angle beyond which directions around the interaural axis nearly coincide."""

_PHASE_HZ = 1400.0
_CLEAR, _CLEAR_SHARE = 1.0, 0.25
_BEHIND = np.sin(np.deg2rad(10.0))
_CHUNK = 256  # directions
_FLOOR = 1e-30

_NO_BAND = "no audible band is coherent with the dry stem at both ears"
_UNCLEAR = "no direction of the HRIR set is clearly nearest"
_CONE = "front and behind, or above and below, cannot be told apart"


@dataclass(frozen=True)
class Cues:
    """Energies of both ears, shape (2, n, bands), and cross-spectrum of the ears (n, bands), of n responses."""

    energies: Float64
    cross: npt.NDArray[np.complex128]

    @property
    def levels(self) -> Float64:
        """Level of each ear in dB."""
        return np.asarray(10.0 * np.log10(np.maximum(self.energies, _FLOOR)))


@dataclass(frozen=True)
class Direction:
    """Index of a direction, None if there is none; and what is not clear about it."""

    index: int | None
    reason: str = ""


@dataclass(frozen=True)
class Directions:
    """The directions of an HRIR set that are searched.

    Attributes
    ----------
    azimuths, elevations, lateral_deg, polar_deg : ndarray, shape (directions,)
    responses : ndarray, shape (directions, 2, taps), float32
    tells_behind : bool
        Whether the set tells directions in front from those behind.
    """

    azimuths: Float64
    elevations: Float64
    lateral_deg: Float64
    polar_deg: Float64
    vectors: Float64
    responses: npt.NDArray[np.float32]
    tells_behind: bool
    size: int
    bins: int

    @classmethod
    def of(cls, hrir: HrirSet, size: int, bins: int, weights: Float64) -> Directions:
        """Directions of `hrir`, for transforms of `size` samples of which the first `bins` bins are in bands."""
        azimuths = np.asarray(hrir.azimuths, np.float64) % 360.0
        elevations = elevations_of(hrir)
        azimuth, elevation = np.deg2rad(azimuths), np.deg2rad(elevations)
        level = np.cos(elevation)
        vectors = np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)
        responses = np.asarray(hrir.irs, np.float32)[..., :size]
        every = cls(
            azimuths,
            elevations,
            np.rad2deg(np.arcsin(np.clip(vectors[:, 1], -1.0, 1.0))),
            np.rad2deg(np.arctan2(vectors[:, 2], vectors[:, 0])),
            vectors,
            responses,
            True,
            size,
            bins,
        )
        front = vectors[:, 0] >= -1e-6
        if not front.any() or every._differs_behind(weights):
            return every
        return every._only(front)

    @property
    def has_elevations(self) -> bool:
        return bool(np.any(np.abs(self.elevations) > LEVEL_DEG))

    def _only(self, chosen: BoolArray) -> Directions:
        names = ("azimuths", "elevations", "lateral_deg", "polar_deg", "vectors", "responses")
        return replace(self, tells_behind=False, **{name: getattr(self, name)[chosen] for name in names})

    def _differs_behind(self, weights: Float64) -> bool:
        """Whether directions behind have other responses than those that mirror them in front."""
        behind, front = (np.flatnonzero(side * self.vectors[:, 0] > _BEHIND) for side in (-1.0, 1.0))
        if not len(behind) or not len(front):
            return False
        behind = behind[:: max(1, len(behind) // 64)]
        mirrored = self.vectors[behind] * [-1.0, 1.0, 1.0]
        cosine = mirrored @ self.vectors[front].T
        pairs = cosine.max(axis=1) > np.cos(np.deg2rad(2.0))
        if not pairs.any():
            return True
        twins = front[np.argmax(cosine, axis=1)]
        flat = [weights]
        one, other = (self._cues(index[pairs], flat)[0].levels for index in (behind, twins))
        apart = np.sqrt(np.mean((one - other) ** 2, axis=(0, 2)))
        return bool(np.median(apart) > 0.5)

    def _cues(self, index: npt.NDArray[np.intp], spectra: Sequence[Float64]) -> list[Cues]:
        """Cues of directions, for each spectrum of the source, shape (bins, bands)."""
        on = current()
        response = on.rfft(on.put(self.responses[index]), self.size)[..., : self.bins]
        power = on.double(on.xp.moveaxis(on.xp.real(response) ** 2 + on.xp.imag(response) ** 2, 1, 0))
        cross = on.double(response[:, 0, :] * on.xp.conj(response[:, 1, :]))
        return [
            Cues(on.get(power @ on.put(x)), on.get(cross @ on.put(x.astype(np.complex128)))) for x in spectra
        ]

    def nearest(
        self, cues: Sequence[Cues], spectra: Sequence[Float64], weight: Float64, centres_hz: Float64
    ) -> list[Direction]:
        """The direction nearest each of `cues`.

        Parameters
        ----------
        cues : sequence of Cues
            Each of one response.
        spectra : sequence of ndarray, shape (bins, bands)
            Spectrum of the source in each band, in the bins from which the cues were computed.
        weight : ndarray, shape (bands,)
            Loudness; 0 for bands that do not count.
        centres_hz : ndarray, shape (bands,)
        """
        weights = [np.where((one.energies > 0.0).all(axis=(0, 1)), weight, 0.0) for one in cues]
        count = len(self.azimuths)
        interaural, levels = (np.empty((len(cues), count)) for _ in range(2))
        for start in range(0, count, _CHUNK):
            index = np.arange(start, min(start + _CHUNK, count))
            for i, candidates in enumerate(self._cues(index, spectra)):
                if weights[i].any():
                    interaural[i, index], levels[i, index] = _distances(
                        cues[i], candidates, weights[i], centres_hz
                    )
        return [
            self._choose(interaural[i], levels[i]) if weights[i].any() else Direction(None, _NO_BAND)
            for i in range(len(cues))
        ]

    def _choose(self, interaural: Float64, levels: Float64) -> Direction:
        at = int(np.argmin(interaural))
        sideways = np.abs(self.lateral_deg - self.lateral_deg[at])
        if not _clear(interaural, at, sideways > APART_DEG + 1e-6):
            return Direction(None, _UNCLEAR)
        cone = sideways <= CONE_DEG
        distance = np.where(cone, interaural + levels, np.inf)
        best = int(np.argmin(distance))
        far = cone & (self.vectors @ self.vectors[best] < np.cos(np.deg2rad(APART_DEG)))
        return Direction(best, "" if _clear(distance, best, far) else _CONE)

    def polar_apart(self, one: int, other: int) -> float | None:
        """Difference of the polar angles in degrees; None for different directions at the side."""
        if one == other:
            return 0.0
        if max(abs(self.lateral_deg[one]), abs(self.lateral_deg[other])) > SIDE_DEG:
            return None
        return abs(float((self.polar_deg[one] - self.polar_deg[other] + 180.0) % 360.0 - 180.0))

    def front_back(self, one: int, other: int) -> int:
        """1 if one direction is in front and the other behind, by more than 10° each, else 0."""
        x, y = self.vectors[one, 0], self.vectors[other, 0]
        return int(x * y < 0.0 and min(abs(x), abs(y)) > _BEHIND)


def _distances(one: Cues, many: Cues, weight: Float64, centres_hz: Float64) -> tuple[Float64, Float64]:
    """Distances of interaural cues and of levels, shape (n,)."""
    level, levels = one.levels, many.levels
    use = weight > 0.0
    ild = _units((levels[0] - levels[1]) - (level[0] - level[1]), 1.0)
    low = np.where(centres_hz < _PHASE_HZ, weight, 0.0)
    phase = np.angle(many.cross * np.conj(one.cross))
    ipd = _units(phase, np.maximum(2 * np.pi * centres_hz * 20e-6, 0.05))
    interaural = (ild @ weight + ipd @ low) / (weight.sum() + low.sum())
    difference = levels - level
    gain = (difference.sum(axis=0) @ weight)[None, :, None] / (2.0 * weight.sum())
    spectral = (_units(np.where(use, difference - gain, 0.0), 1.0) @ weight).sum(axis=0) / (
        2.0 * weight.sum()
    )
    return interaural, spectral


def _units(difference: Float64, unit: Float64 | float) -> Float64:
    return np.asarray(np.minimum(np.abs(difference) / unit, LIMIT) ** 2)


def _clear(distance: Float64, at: int, far: BoolArray) -> bool:
    if not far.any():
        return True
    margin = float(distance[far].min() - distance[at])
    return margin > max(_CLEAR, _CLEAR_SHARE * float(distance[at]))
