"""Responses between the measured directions of an HRIR set.

The responses of the neighbours are aligned in time, weighted and summed, and delayed by the weighted mean of their
delays. Without the alignment, the sum of a response and a later one would be a comb filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from mssbench_service.errors import BadInput
from scipy.spatial import ConvexHull, KDTree, QhullError

from .hrir import HrirSet
from .measured import Float64Array

LARGEST_GAP = 45.0
"""Neighbours farther apart than this angle, degrees, enclose a part of the sphere that the set does not have."""

EARLY = 32
"""Samples: room for the ringing of fractional delays before the first sample of a response."""

_FINER = 4  # correlations are computed at this multiple of the sample rate
_BLOCK = 256  # responses
_CANDIDATES = 24  # triangles around a direction

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Weights:
    """Neighbours of T directions: `indices` into the set and `weights` that sum to 1, each of shape (T, 3)."""

    indices: Indices
    weights: Float64Array


class Interpolator:
    """Finds the neighbours of directions in the triangulation of a set.

    Parameters
    ----------
    hrir : HrirSet
        On the sphere, or on the horizontal plane.

    Raises
    ------
    BadInput
        The set is one of room responses, or its directions do not surround the head.
    """

    def __init__(self, hrir: HrirSet) -> None:
        if hrir.room:
            raise BadInput(f"{hrir.name} is a set of room responses, which cannot be interpolated")
        self.hrir = hrir
        self.delays = delays(hrir.irs)
        if hrir.elevations is None:
            return
        self._points = unit_vectors(hrir.azimuths, hrir.elevations)
        try:
            triangles = ConvexHull(self._points).simplices
        except QhullError:
            raise BadInput(f"the directions of {hrir.name} do not surround the head") from None
        corners = self._points[triangles]
        solid = np.abs(np.linalg.det(corners)) > 1e-9
        self._triangles, corners = triangles[solid], corners[solid]
        self._inverse = np.linalg.inv(corners)
        sides = np.einsum("nij,nij->ni", corners, np.roll(corners, 1, axis=1)).min(axis=1)
        self._gap = np.degrees(np.arccos(np.clip(sides, -1.0, 1.0)))
        centres = corners.mean(axis=1)
        self._centres = KDTree(centres / np.linalg.norm(centres, axis=1, keepdims=True))

    def neighbours(self, azimuths: npt.ArrayLike, elevations: npt.ArrayLike) -> Weights:
        """Neighbours of directions in degrees, each argument of shape (T,).

        Raises
        ------
        BadInput
            The set does not reach a direction, which is named.
        """
        azimuths = np.atleast_1d(np.asarray(azimuths, dtype=np.float64)) % 360.0
        elevations = np.broadcast_to(np.asarray(elevations, dtype=np.float64), azimuths.shape)
        if self.hrir.elevations is None:
            found, gaps = self._on_the_circle(azimuths, elevations)
        else:
            found, gaps = self._on_the_sphere(azimuths, elevations)
        outside = gaps > LARGEST_GAP
        if outside.any():
            azimuth, elevation = azimuths[outside][0], elevations[outside][0]
            _, apart = self.hrir.nearest(azimuth, elevation)
            raise BadInput(
                f"{self.hrir.name} does not reach azimuth {azimuth:g}°, elevation {elevation:g}°; "
                f"its nearest direction is {apart:.0f}° away"
            )
        return found

    def at(self, azimuth: float, elevation: float = 0.0) -> Float64Array:
        """The response at a direction in degrees, shape (2, K)."""
        found = self.neighbours([azimuth], [elevation])
        exact = found.weights[0] > 1 - 1e-9
        if exact.any():
            return np.asarray(self.hrir.irs[found.indices[0][exact][0]])
        return Spectra(self, found, 2 * self.hrir.irs.shape[2]).responses()

    def _on_the_circle(
        self, azimuths: Float64Array, elevations: Float64Array
    ) -> tuple[Weights, Float64Array]:
        stored = self.hrir.azimuths
        after = np.searchsorted(stored, azimuths, side="right") % stored.size
        before = (after - 1) % stored.size
        gaps = (stored[after] - stored[before]) % 360.0
        gaps[gaps == 0.0] = 360.0
        share = (azimuths - stored[before]) % 360.0 / gaps
        weights = np.stack([1 - share, share, 0 * share], axis=1)
        gaps = np.where(np.minimum(share, 1 - share) < 1e-9, 0.0, gaps)  # at a stored azimuth
        gaps[np.abs(elevations) > 1e-6] = 360.0
        return Weights(np.stack([before, after, after], axis=1), weights), gaps

    def _on_the_sphere(
        self, azimuths: Float64Array, elevations: Float64Array
    ) -> tuple[Weights, Float64Array]:
        points = unit_vectors(azimuths, elevations)
        near = self._centres.query(points, k=min(_CANDIDATES, len(self._triangles)))[1]
        triangle, weights = self._enclosing(points, near.reshape(len(points), -1))
        # Long triangles have centres far away from their corners.
        for index in np.flatnonzero(weights.min(axis=1) < -1e-6).tolist():
            every = np.arange(len(self._triangles))[None]
            triangle[[index]], weights[[index]] = self._enclosing(points[[index]], every)
        weights = np.clip(weights, 0.0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        gaps = np.where(weights.max(axis=1) > 1 - 1e-9, 0.0, self._gap[triangle])
        return Weights(self._triangles[triangle], weights), gaps

    def _enclosing(self, points: Float64Array, candidates: Indices) -> tuple[Indices, Float64Array]:
        weights = np.einsum("ti,tcij->tcj", points, self._inverse[candidates])
        best = np.argmax(weights.min(axis=2), axis=1)
        rows = np.arange(len(points))
        return candidates[rows, best], weights[rows, best]


class Spectra:
    """Spectra of interpolated responses, `EARLY` samples late; `length` is that of the transform."""

    def __init__(self, source: Interpolator, neighbours: Weights, length: int) -> None:
        self._taps = source.hrir.irs.shape[2]
        self.length = scipy.fft.next_fast_len(length + 2 * EARLY, real=True)
        used, self._indices = np.unique(neighbours.indices, return_inverse=True)
        self._indices = self._indices.reshape(neighbours.indices.shape)
        self._weights = neighbours.weights
        delays = source.delays[used]
        self._phase = -2j * np.pi * np.arange(self.length // 2 + 1) / self.length
        spectra = scipy.fft.rfft(source.hrir.irs[used], self.length)
        self._aligned = spectra * np.exp(-self._phase * delays[..., None])
        self._delays = np.einsum("tn,tne->te", self._weights, delays[self._indices]) + EARLY

    def __getitem__(self, rows: slice) -> npt.NDArray[np.complex128]:
        """Spectra of these directions, shape (T, 2, F)."""
        weights, indices = self._weights[rows], self._indices[rows]
        mixed = weights[:, 0, None, None] * self._aligned[indices[:, 0]]
        for corner in (1, 2):
            if weights[:, corner].any():
                mixed += weights[:, corner, None, None] * self._aligned[indices[:, corner]]
        mixed *= np.exp(self._phase * self._delays[rows, :, None])
        if self.length % 2 == 0:
            mixed[..., -1] = mixed[..., -1].real
        return np.asarray(mixed)

    def responses(self) -> Float64Array:
        """The response at the only direction, shape (2, K)."""
        return np.asarray(scipy.fft.irfft(self[:1][0], self.length)[:, EARLY : EARLY + self._taps])


def unit_vectors(azimuths: npt.ArrayLike, elevations: npt.ArrayLike) -> Float64Array:
    """Vectors of shape (T, 3) to directions in degrees: x front, y left, z up."""
    azimuth, elevation = np.radians(azimuths), np.radians(elevations)
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=-1)


def delays(irs: Float64Array) -> Float64Array:
    """Delays of responses: where each is most like its minimum-phase version.

    Parameters
    ----------
    irs : array, shape (A, 2, K)

    Returns
    -------
    array, shape (A, 2)
        Samples, with fractions.

    References
    ----------
    Nam, Abel & Smith, "A method for estimating interaural time difference for binaural synthesis", AES 125, 2008.
    """
    return np.concatenate([_delays(irs[start : start + _BLOCK]) for start in range(0, len(irs), _BLOCK)])


def _delays(irs: Float64Array) -> Float64Array:
    length = scipy.fft.next_fast_len(4 * irs.shape[2], real=True)
    length += length % 2
    spectra = scipy.fft.rfft(irs, length)
    level = np.abs(spectra)
    level = np.maximum(level, 1e-5 * level.max(axis=2, keepdims=True))
    # The phase of a minimum-phase system is the Hilbert transform of its level: fold the cepstrum.
    cepstrum = scipy.fft.irfft(np.log(level), length)
    cepstrum[..., 1 : length // 2] *= 2.0
    cepstrum[..., length // 2 + 1 :] = 0.0
    phase = scipy.fft.rfft(cepstrum, length).imag
    correlation = scipy.fft.irfft(spectra * level * np.exp(-1j * phase), _FINER * length)
    correlation[..., _FINER * irs.shape[2] :] = -np.inf
    peak = np.clip(np.argmax(correlation, axis=2), 1, _FINER * irs.shape[2] - 2)[..., None]
    before, here, after = (
        np.take_along_axis(correlation, peak + step, axis=2)[..., 0] for step in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.asarray((peak[..., 0] + np.clip(shift, -0.5, 0.5)) / _FINER)
