"""Effective response: what a separator does to the place and the timbre of a stem, apart from leakage.

A rendered stem is a dry signal s through the responses of two ears. The response that an estimate ê still carries is
H_c = S(ê_c, s) / S(s, s). Other stems that leak are not correlated with s and average out.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear; the dry stem has the shape (samples,). Spectra are Welch's
[1]_: Hann windows of 4096 samples at 44.1 and 48 kHz (the nearest power of two to 93 ms at other rates), 75 % overlap.
A bin of an ear counts where the magnitude-squared coherence of the ear and s is at least 0.5 and S(s, s) within 60 dB
of its maximum. Bands are those of :mod:`binaural_metrics.place`. A band counts where the reference is within 40 dB of
its loudest band and a bin of both signals counts; it is weighted by the loudness of the reference. Within a band, bins
are weighted by S(s, s).

Metrics
-------
heard_azimuth_deg, heard_elevation_deg  direction of the HRIR set that is nearest the response
                                        (:mod:`binaural_metrics.direction`), degrees
lateral_error_deg  0 to 180. Difference of the angles to the median plane, estimate and reference
polar_error_deg    0 to 180. Difference of the angles around the interaural axis
front_back         1 if one is heard in front and the other behind, else 0
timbre_db          0 or more. Standard deviation over bands of the level of the estimate's response relative to the
                   reference's, mean of both ears

A reference of which the dry stem explains less than three quarters, in the mean over audible bands weighted by
loudness, has no single response. The directions of the estimate are compared with those found in the same way for the
reference, so that the resolution of the set and what it cannot tell apart cancel.

In a room, the place is that of the direct sound. With the direct sound of the reference, all responses, also those of
the set, are limited to it (:mod:`binaural_metrics.early`). There is no direction if the reference's is more than 10°
of lateral angle from that of its direct sound: reverberation hides it.

References
----------
.. [1] P. D. Welch, "The use of fast Fourier transform for the estimation of power spectra: a method based on time
   averaging over short, modified periodograms," IEEE Trans. Audio Electroacoust., vol. 15, no. 2, pp. 70-73, 1967.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.signal import get_window

from . import early
from .arrays import current
from .bands import AUDIBLE, LOUDNESS_EXPONENT, triangular_bands
from .direction import CONE_DEG, Cues, Direction, Directions
from .hrir import HrirSet, check_hrirs
from .reuse import NO_CACHE, ReferenceCache, digest
from .signals import (
    BoolArray,
    Float32,
    Float64,
    FloatArray,
    InputError,
    binary_exponent,
    check_dry,
    check_pair,
    load_scaled,
)
from .threads import one_blas_thread, threaded

COHERENT = 0.5
RANGE = 1e-6
EXPLAINED = 0.75
LEAST_FRAMES = 8
_TOLERANCE_S = 0.05
_WINDOW_S = 4096 / 44100
_CHUNK = 64  # frames per task
_SIDE = "at the side, where directions around the interaural axis nearly coincide"
_OTHER = (
    "the reference is not the dry stem through one short response: the source moves, the room reverberates, or the dry "
    "stem is another"
)
_HIDDEN = "reverberation hides the direct sound of the reference"


@dataclass(frozen=True)
class EffectiveResponse:
    """Place and timbre of one stem; None where undefined, with the reason by attribute."""

    heard_azimuth_deg: float | None = None
    heard_elevation_deg: float | None = None
    lateral_error_deg: float | None = None
    polar_error_deg: float | None = None
    front_back: int | None = None
    timbre_db: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    def reason(self, name: str) -> str:
        """Why the value called `name` is None; empty if it does not apply, or has a value."""
        return self.reasons.get(name, "")


DIRECTIONS = "heard_azimuth_deg", "heard_elevation_deg", "lateral_error_deg", "polar_error_deg", "front_back"


@one_blas_thread
def effective_response(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    dry: npt.ArrayLike,
    sample_rate: int,
    hrir: HrirSet | None = None,
    *,
    direct: npt.ArrayLike | None = None,
    workers: int | None = None,
    cache: ReferenceCache = NO_CACHE,
) -> EffectiveResponse:
    """Compute the place and the timbre of the response that an estimate carries.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter. Their levels have no influence.
    dry : array_like, shape (samples,)
        The signal that was rendered to the reference. It may be shorter, by the length of the response.
    sample_rate : int
        In Hz.
    hrir : HrirSet, optional
        Impulse responses that the reference was rendered with, at `sample_rate`. Without them there is only a timbre.
    direct : array_like, shape (2, samples), optional
        The direct sound of a reference in a room, whose place and timbre then count.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.
    cache : ReferenceCache, optional
        Keeps what depends on the reference, the dry stem and the direct sound alone, for further estimates.

    Returns
    -------
    EffectiveResponse

    Raises
    ------
    InputError
        A signal (:func:`~binaural_metrics.signals.check_signal`) or the HRIR set is unusable, or the dry stem is longer
        than the reference.
    """
    longest = np.shape(reference)[-1] if np.ndim(reference) else 0
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    source = check_dry(dry)
    if source.shape[1] > longest + _TOLERANCE_S * sample_rate:
        raise InputError(
            f"the dry stem has {source.shape[1]} samples and the reference {longest}; expected no more than those"
        )
    if hrir is not None:
        hrir = check_hrirs(hrir, sample_rate)
    grid = _grid(sample_rate)
    frames = (ref.shape[1] - grid.size) // grid.hop + 1
    if frames < LEAST_FRAMES or not grid.bands:
        least = (grid.size + (LEAST_FRAMES - 1) * grid.hop) / sample_rate
        return no_response(f"shorter than {least:.2f} s" if grid.bands else "no band above 100 Hz")
    others = [] if direct is None else [check_pair(direct, ref, sample_rate)[0]]
    found: list[_Spectra] = []

    def of_references() -> list[_Spectra]:
        found.extend(_spectra([est, ref, *others], source, grid, frames, workers))
        return found[1:]

    name = "response", sample_rate, *(digest(x) for x in (source, *others))
    first, *direct_sound = cache.get([ref], name, of_references)
    second = (found or _spectra([est], source, grid, frames, workers))[0]
    return _compare(first, second, grid, hrir, direct_sound[0] if direct_sound else None, frames)


def ear_ratio(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, dry: npt.ArrayLike, sample_rate: int
) -> npt.NDArray[np.complex128] | None:
    """Response of an estimate relative to its reference's, shape (2, bins), apart from a common gain.

    It is 1 in bins that do not count for both; None if no bin counts. The signals are those of
    :func:`effective_response`, which checks them.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    grid = _grid(sample_rate)
    frames = (ref.shape[1] - grid.size) // grid.hop + 1
    first, second = _spectra([ref, est], check_dry(dry), grid, frames, None)
    use = first.counted & second.counted
    if not use.any():
        return None
    gain = math.sqrt(float(np.sum(np.abs(second.cross[use]) ** 2) / np.sum(np.abs(first.cross[use]) ** 2)))
    ratio = np.ones((2, grid.size // 2 + 1), np.complex128)
    ratio[:, : grid.bins][use] = second.cross[use] / first.cross[use] / gain
    return ratio


def no_response(reason: str) -> EffectiveResponse:
    """A response without any value."""
    return EffectiveResponse(reasons=dict.fromkeys((*DIRECTIONS, "timbre_db"), reason))


@dataclass(frozen=True)
class _Spectra:
    """Welch spectra of a signal and the dry stem, in the bins of the bands."""

    dry: Float64  # (bins,)
    cross: npt.NDArray[np.complex128]  # (2, bins), of each ear and the dry stem
    own: Float64  # (2, bins)
    in_range: BoolArray  # (bins,)

    @property
    def counted(self) -> BoolArray:
        """Bins of each ear that count, shape (2, bins)."""
        least = COHERENT * self.own * self.dry
        return np.asarray((np.abs(self.cross) ** 2 >= least) & (least > 0.0) & self.in_range)

    def energies(self, counted: BoolArray, weights: Float64) -> Float64:
        """Energies of the ears in the bands, of the part that is coherent with the dry stem: shape (2, bands)."""
        coherent = np.abs(self.cross) ** 2 / np.where(self.dry > 0.0, self.dry, 1.0)
        return np.asarray(np.where(counted, coherent, 0.0) @ weights)

    def cues(self, counted: BoolArray, weights: Float64) -> Cues:
        """Cues in the bins that count for both ears."""
        left, right = self.cross
        safe = np.where(self.dry > 0.0, self.dry, 1.0)
        cross = (np.where(counted, left * np.conj(right) / safe, 0.0) @ weights).astype(np.complex128)
        energies = self.energies(counted, weights)
        return Cues(energies[:, None], cross[None])

    def early(self, direct: _Spectra, grid: _Grid, frames: int) -> _Spectra:
        """The same of the direct sound alone, whose spectra are `direct`. Bins that do not count are zero."""
        white = early.whitening(self.dry, grid.weights)
        at = early.time_of(direct.cross, white, grid.size)
        if self is not direct:
            at += early.delay_of(self.cross, direct.cross, white, grid.size)
        response, counted = early.early(
            self.cross, self.own, self.dry, white, at, frames, grid.size, grid.sample_rate
        )
        response = np.where(counted, response, 0.0)
        energies = np.asarray(response.real**2 + response.imag**2)
        return _Spectra(self.dry, response * self.dry, energies * self.dry, self.in_range)


def _spectra(
    binaural: Sequence[FloatArray], dry: FloatArray, grid: _Grid, frames: int, workers: int | None
) -> list[_Spectra]:
    signals = [*binaural, dry]
    exponents = [binary_exponent(x) for x in signals]
    on = current()
    step, window = on.chunk * _CHUNK, on.put(grid.window)

    def chunk(first: int) -> tuple[Float64, npt.NDArray[np.complex128]]:
        last = min(first + step, frames)
        start, stop = first * grid.hop, (last - 1) * grid.hop + grid.size
        parts = []
        for x, exponent in zip(signals, exponents, strict=True):
            samples = load_scaled(x, start, stop, exponent)
            samples = np.pad(samples, ((0, 0), (0, stop - start - samples.shape[1])))
            parts.append(on.rfft(on.windows(on.put(samples), grid.size, grid.hop) * window))
        spectra = on.concat(parts)  # (ears of all signals and the dry stem, frames, bins)
        squares = on.get(on.xp.sum(on.interleaved(spectra) ** 2, axis=1))
        cross = on.get(on.xp.sum(spectra[:-1, ...] * on.xp.conj(spectra[-1, ...]), axis=1))
        return squares.reshape(len(squares), -1, 2).sum(axis=2, dtype=np.float64), cross.astype(np.complex128)

    ears, bins = 2 * len(binaural), grid.size // 2 + 1
    own, cross = np.zeros((ears + 1, bins)), np.zeros((ears, bins), np.complex128)
    for squares, products in threaded(chunk, range(0, frames, step), workers):
        own += squares
        cross += products
    dry_energy = own[-1]
    in_range = (dry_energy >= RANGE * dry_energy.max()) & (dry_energy > 0.0)
    inside = slice(0, grid.bins)
    return [
        _Spectra(dry_energy[inside], cross[pair, inside], own[pair, inside], in_range[inside])
        for pair in (slice(2 * i, 2 * i + 2) for i in range(len(binaural)))
    ]


def _compare(
    first: _Spectra, second: _Spectra, grid: _Grid, hrir: HrirSet | None, direct: _Spectra | None, frames: int
) -> EffectiveResponse:
    if not first.dry.any():
        return no_response("the dry stem is silent")
    short = first if direct is None else direct
    whole = short.own.sum(axis=0) @ grid.weights
    if not (first.own.any() and whole.any()):
        return no_response("the reference is silent")
    explained = short.energies(np.ones_like(first.counted), grid.weights).sum(axis=0)
    loud = _loudness(whole)
    weight = np.divide(loud, whole, out=np.zeros_like(whole), where=loud > 0.0)
    if explained @ weight < EXPLAINED * loud.sum():
        return no_response(_OTHER)
    if direct is not None:
        first, second, direct = (one.early(direct, grid, frames) for one in (first, second, direct))
    true, found = first.counted, second.counted
    energies = first.energies(true, grid.weights)
    weight = _loudness(energies.sum(axis=0))
    timbre = _timbre(first, second, true & found, weight, grid)
    name = "estimate" if energies.any(axis=1).all() else "reference"
    lost = f"no audible band of the {name} has the dry stem at both ears"
    reasons = {} if timbre is not None else {"timbre_db": lost}
    if hrir is None:
        return EffectiveResponse(timbre_db=timbre, reasons=reasons)
    both = [np.asarray(one.all(axis=0)) for one in (true, found)]
    responses = [first, second]
    if direct is not None:
        hrir = early.cut(hrir, grid.sample_rate)
        responses.append(direct)
        both.append(np.asarray(direct.counted.all(axis=0)))
    directions = Directions.of(hrir, grid.size, grid.bins, grid.weights)
    spectra = [np.where(counted, first.dry, 0.0)[:, None] * grid.weights for counted in both]
    cues = [one.cues(counted, grid.weights) for one, counted in zip(responses, both, strict=True)]
    reference, estimate, *true_place = directions.nearest(cues, spectra, weight, grid.centres_hz)
    for place in true_place:
        if reference.index is not None and place.index is not None:
            apart = directions.lateral_deg[reference.index] - directions.lateral_deg[place.index]
            if abs(apart) > CONE_DEG:
                reference = Direction(None, _HIDDEN)
    return _errors(reference, estimate, directions, timbre, reasons)


def _loudness(energy: Float64) -> Float64:
    """Loudness of bands, 0 of those that are not audible."""
    return np.asarray(np.where(energy > AUDIBLE * energy.max(), energy, 0.0) ** LOUDNESS_EXPONENT)


def _timbre(
    first: _Spectra, second: _Spectra, counted: BoolArray, weight: Float64, grid: _Grid
) -> float | None:
    true, found = (one.energies(counted, grid.weights) for one in (first, second))
    spreads = []
    for p, q in zip(true, found, strict=True):
        use = (p > 0.0) & (q > 0.0) & (weight > 0.0)
        if not use.any():
            return None
        level, w = 10.0 * (np.log10(q[use]) - np.log10(p[use])), weight[use]
        mean = level @ w / w.sum()
        spreads.append(math.sqrt((level - mean) ** 2 @ w / w.sum()))
    return sum(spreads) / 2


def _errors(
    reference: Direction,
    estimate: Direction,
    directions: Directions,
    timbre: float | None,
    reasons: dict[str, str],
) -> EffectiveResponse:
    unclear = {
        name: f"the {name}'s response: {found.reason}"
        for name, found in (("reference", reference), ("estimate", estimate))
        if found.reason
    }
    values: dict[str, float | int | None] = {}
    if reference.index is not None and estimate.index is not None:
        true, heard = reference.index, estimate.index
        values["lateral_error_deg"] = abs(float(directions.lateral_deg[heard] - directions.lateral_deg[true]))
        if "estimate" not in unclear:
            values["heard_azimuth_deg"] = float(directions.azimuths[heard])
            values["heard_elevation_deg"] = float(directions.elevations[heard])
        if not unclear:
            values["polar_error_deg"] = directions.polar_apart(true, heard)
            values["front_back"] = directions.front_back(true, heard)
    applicable = [
        name
        for name in DIRECTIONS
        if (directions.tells_behind or name != "front_back")
        and (directions.has_elevations or name not in ("heard_elevation_deg", "polar_error_deg"))
    ]
    values = {name: values.get(name) for name in applicable}
    why = next(iter(unclear.values()), _SIDE)
    for name in [name for name in applicable if values[name] is None]:
        reasons = reasons | {name: unclear.get("estimate", why) if name.startswith("heard") else why}
    return EffectiveResponse(**values, timbre_db=timbre, reasons=reasons)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the grid


@dataclass(frozen=True)
class _Grid:
    sample_rate: int
    size: int
    hop: int
    window: Float32
    bins: int  # of the transform, up to the last one in a band
    weights: Float64  # (bins, bands)
    bands: int
    centres_hz: Float64


@lru_cache(maxsize=4)
def _grid(sample_rate: int) -> _Grid:
    size = 1 << max(3, round(math.log2(_WINDOW_S * sample_rate)))
    frequency = np.arange(size // 2 + 1) * sample_rate / size
    hz, weights = triangular_bands(frequency)
    weights = np.ascontiguousarray(weights[:, : len(hz)])
    inside = np.flatnonzero(weights.any(axis=1))
    bins = int(inside[-1]) + 1 if len(inside) else 0
    window = get_window("hann", size).astype(np.float32)
    return _Grid(sample_rate, size, size // 4, window, bins, weights[:bins], len(hz) if bins else 0, hz)
