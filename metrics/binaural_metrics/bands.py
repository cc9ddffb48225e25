"""Interaural level difference, coherence and azimuth from frequency bands; see :mod:`binaural_metrics.cues`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import get_window

from .arrays import Arrays, current
from .hrir import Cue, HrirSet
from .reuse import ReferenceCache
from .signals import (
    ACTIVITY_RANGE_DB,
    BoolArray,
    Float32,
    Float64,
    FloatArray,
    InputError,
    aggregate_frames,
    binary_exponent,
    block_length,
    load_scaled,
    power_ratio,
)
from .threads import threaded

REACH_S = 1e-3
BANDS_HZ = (200.0, 16000.0)
LOWEST_HZ = 100.0
"""Start of the triangular bands, which the other metrics use."""

ILD_LIMIT_DB = 60.0
AUDIBLE = 1e-4
"""Smallest energy of an audible band relative to the loudest band of its frame."""

MISSING = 1e-6
"""Energy of an estimate's band relative to the reference's, below which the estimate lacks the band."""

LOUDNESS_EXPONENT = 0.23
SHALLOW = 0.5
"""A minimum of the cross-relation above this share of its median over the HRIR set gives no azimuth."""

_FRAME_BLOCKS, _HOP_BLOCKS = 20, 10
_CHUNK_BLOCKS = 40  # blocks per task: 2 s fit in the processor's cache
_QUIET = 10 ** (-ACTIVITY_RANGE_DB / 10)


@dataclass(frozen=True)
class _Spectra:
    """Energies of the ears and IC per frame and band, and spectra summed over the active frames."""

    energies: Float64  # (2, frames, bands and those below 200 Hz)
    coherence: Float64  # (frames, bands)
    auto: Float64  # (2, bins), power spectra of the ears
    cross: npt.NDArray[np.complex128]  # (bins,), left times conjugate right


@dataclass(frozen=True)
class BandCues:
    """Errors of the interaural differences in bands, and the azimuth of the estimate with its error."""

    d_ild_db: Cue
    d_ild_db_flat: Cue
    d_ic: Cue
    azimuth_deg: Cue
    azimuth_error_deg: Cue


def band_distances(
    ref: FloatArray,
    est: FloatArray,
    sample_rate: int,
    energies: Float64,
    hrir: HrirSet | None,
    aggregate: str,
    reference_gain: float,
    workers: int | None,
    cache: ReferenceCache,
) -> BandCues:
    """Compute the cues of the bands; `energies` are those of the reference's blocks."""
    frames = (len(energies) - _FRAME_BLOCKS) // _HOP_BLOCKS + 1
    if frames < 1:
        return BandCues(*[Cue.undefined("shorter than one frame of 1 s")] * 5)
    starts = _HOP_BLOCKS * np.arange(frames)
    frame_energy = np.array([energies[i : i + _FRAME_BLOCKS].sum() for i in starts])
    active = frame_energy > _QUIET * frame_energy.max()
    exponents = binary_exponent(ref), binary_exponent(est)
    first = cache.get(
        [ref], ("bands", sample_rate), lambda: _spectra(ref, sample_rate, exponents[0], active, workers)
    )
    second = _spectra(est, sample_rate, exponents[1], active, workers)
    bands = first.coherence.shape[1]
    whole = first.energies.sum(axis=0)
    p, q = first.energies[..., :bands], second.energies[..., :bands]
    loudness, heard = whole[:, :bands], q.sum(axis=0)
    audible = active[:, None] & (loudness > AUDIBLE * whole.max(axis=1, keepdims=True))
    ratio = power_ratio(*exponents) / reference_gain**2
    cells = audible & (ratio * heard >= MISSING * loudness)
    any_place = active[:, None] & (loudness > _QUIET * loudness.max(initial=0.0)) & (heard > 0.0)
    weights = loudness**LOUDNESS_EXPONENT

    def track(values: Float64, chosen: BoolArray, of_bands: Float64, of_frames: Float64) -> Cue:
        return _track(values, np.where(chosen, of_bands, 0.0), of_frames, starts, sample_rate, aggregate)

    moved, flat, once = np.abs(ild_of(q) - ild_of(p)), np.ones_like(weights), np.ones(frames)
    both_ears = (p > 0.0).all(axis=0) & (q > 0.0).all(axis=0)
    coherence = np.abs(second.coherence - first.coherence)
    cues = (
        track(moved, cells, weights, frame_energy),
        track(moved, any_place, flat, frame_energy),
        track(coherence, cells & both_ears, weights, once),
    )
    if hrir is None:
        return BandCues(*cues, *[Cue.undefined("no HRIR set was given")] * 2)
    return BandCues(*cues, *_azimuth_distance(first, second, hrir, sample_rate, frames))


def _track(
    values: Float64,
    of_bands: Float64,
    of_frames: Float64,
    starts: npt.NDArray[np.int64],
    sample_rate: int,
    aggregate: str,
) -> Cue:
    """Cue from values of shape (frames, bands): their mean weighted by `of_bands`, aggregated over frames."""
    total = of_bands.sum(axis=1)
    counted = np.flatnonzero((total > 0.0) & (of_frames > 0.0))
    if not len(counted):
        return Cue.undefined(
            "no active frame has a band above 200 Hz that is audible in both signals", len(starts)
        )
    frames = (values * of_bands).sum(axis=1)[counted] / total[counted]
    weights = of_frames[counted]
    start = starts[counted] * block_length(sample_rate) / sample_rate
    return Cue(aggregate_frames(frames, aggregate, weights), "", start, frames, weights, len(starts))


def ild_of(energies: Float64) -> Float64:
    """ILD in dB, limited to ±60, from energies of shape (2, frames, bands); 0 where both ears are silent."""
    floor = 10 ** (-ILD_LIMIT_DB / 10) * energies[::-1]
    left, right = np.maximum(energies, floor)
    audible = (left > 0.0) & (right > 0.0)
    ones = np.ones_like(left)
    level = np.log10(left, out=ones.copy(), where=audible) - np.log10(right, out=ones, where=audible)
    return np.asarray(np.where(audible, 10.0 * level, 0.0))


def _spectra(
    x: FloatArray, sample_rate: int, exponent: int, active: BoolArray, workers: int | None
) -> _Spectra:
    block = block_length(sample_rate)
    window = get_window("hann", 2 * block).astype(np.float32)
    weights, shapes = _bands(sample_rate)
    on = current()
    window, weights, shapes = on.put(window), on.put(weights), [shape.on(on) for shape in shapes]
    step = on.chunk * _CHUNK_BLOCKS // _HOP_BLOCKS

    def chunk(first: int) -> tuple[Float64, Float64, Float64, npt.NDArray[np.complex128]]:
        last = min(first + step, len(active))
        stop = ((last - 1) * _HOP_BLOCKS + _FRAME_BLOCKS) * block
        samples = load_scaled(x, first * _HOP_BLOCKS * block, stop, exponent)
        spectra = on.rfft(on.windows(on.put(samples), 2 * block, block) * window)
        left, right = spectra[0, ...], spectra[1, ...]
        auto = on.xp.stack([_frame_sums(on.xp.real(s) ** 2 + on.xp.imag(s) ** 2, on) for s in (left, right)])
        cross = _frame_sums(left * on.xp.conj(right), on)
        energies = on.get(auto @ weights).astype(np.float64)
        norm = np.sqrt(energies[0] * energies[1])
        coherence = np.zeros((last - first, len(shapes)))
        for b, shape in enumerate(shapes):
            peak = on.get(on.xp.max(on.interleaved(cross[:, shape.bins]) @ shape.matrix, axis=1))
            np.divide(peak, norm[:, b], out=coherence[:, b], where=norm[:, b] > 0.0)
        use = active[first:last]
        auto, cross = on.get(auto), on.get(cross)
        return energies, coherence, auto[:, use].sum(1, np.float64), cross[use].sum(0, np.complex128)

    energies, coherence = [], []
    auto, cross = np.zeros((2, block + 1)), np.zeros(block + 1, np.complex128)
    for part in threaded(chunk, range(0, len(active), step), workers):
        energies.append(part[0])
        coherence.append(part[1])
        auto += part[2]
        cross += part[3]
    return _Spectra(
        np.concatenate(energies, axis=1), np.clip(np.concatenate(coherence), -1.0, 1.0), auto, cross
    )


def _frame_sums(sections: Any, on: Arrays) -> Any:
    """Sums over the 19 sections inside each frame of 20 blocks; a frame starts every 10 blocks."""
    sum_of, frames = on.xp.sum, sections.shape[0] // _HOP_BLOCKS
    whole, rest = sections[: frames * _HOP_BLOCKS, :], sections[frames * _HOP_BLOCKS :, :]
    groups = on.xp.reshape(whole, (frames, _HOP_BLOCKS, -1))
    nine = on.concat([sum_of(groups[:, :-1, :], axis=1), sum_of(rest, axis=0, keepdims=True)])
    # Nine sections of one hop, the section across the boundary, nine sections of the next hop.
    return nine[:-1, :] + groups[:, -1, :] + nine[1:, :]


@dataclass(frozen=True)
class Steering:
    """Bins of a band, and the matrix from their interleaved real and imaginary parts to the correlation at each lag."""

    bins: slice
    matrix: Any

    @classmethod
    def of(cls, weight: Float64, frequency: Float64, lags: Float64) -> Steering:
        """Weight and frequency of each bin in Hz, and lags in s."""
        inside = np.flatnonzero(weight)
        angle, part = 2 * np.pi * np.outer(frequency[inside], lags), weight[inside, None]
        matrix = np.stack([part * np.cos(angle), -part * np.sin(angle)], axis=1).reshape(-1, len(lags))
        return cls(slice(int(inside[0]), int(inside[-1]) + 1), matrix.astype(np.float32))

    def on(self, arrays: Arrays) -> Steering:
        """The same with the matrix among `arrays`."""
        return Steering(self.bins, arrays.put(self.matrix))


@lru_cache(maxsize=2)
def _bands(sample_rate: int) -> tuple[Float32, list[Steering]]:
    """Power weights, shape (bins, bands and those below 200 Hz), and the steering of each band."""
    samples = 2 * block_length(sample_rate)
    frequency = np.arange(samples // 2 + 1) * sample_rate / samples
    low, high = erb_number(np.array(BANDS_HZ))
    centres = np.arange(low, high + 1e-9)
    centres = centres[centres + 1.0 <= erb_number(np.array(0.5 * sample_rate))]
    every = np.concatenate([centres, np.arange(low - 1.0, 0.3, -1.0)])
    distance = np.abs(erb_number(frequency)[:, None] - every)
    weights = np.where(distance < 1.0, np.cos(0.5 * np.pi * np.minimum(distance, 1.0)) ** 2, 0.0)
    shapes = []
    for weight in weights.T[: len(centres)]:
        # With 16 lags per period of the highest frequency, a peak between two lags is at most 2 % too low.
        half = int(np.ceil(16 * REACH_S * frequency[np.flatnonzero(weight)[-1]]))
        shapes.append(Steering.of(weight, frequency, np.linspace(-REACH_S, REACH_S, 2 * half + 1)))
    return weights.astype(np.float32), shapes


def erb_number(frequency: Float64) -> Float64:
    """ERB number of a frequency in Hz (Glasberg and Moore, 1990)."""
    return np.asarray(21.4 * np.log10(1.0 + 0.00437 * frequency))


def triangular_bands(frequency: Float64) -> tuple[Float64, Float64]:
    """Bands one ERB apart and two ERB wide, from 100 Hz to 16 kHz, at bins from 0 Hz to half the sample rate.

    Returns
    -------
    centres_hz : ndarray, shape (bands,)
    weights : ndarray, shape (bins, bands and those below 100 Hz)
    """
    low, high = erb_number(np.array([LOWEST_HZ, min(BANDS_HZ[1], frequency[-1])]))
    centres, below = np.arange(low, high, 1.0), np.arange(low - 1.0, 0.3, -1.0)
    distance = np.abs(erb_number(frequency)[:, None] - np.concatenate([centres, below]))
    return (10 ** (centres / 21.4) - 1.0) / 0.00437, np.maximum(1.0 - distance, 0.0)


def _azimuth_distance(
    first: _Spectra, second: _Spectra, hrir: HrirSet, sample_rate: int, frames: int
) -> tuple[Cue, Cue]:
    azimuths, responses = _frontal(hrir, sample_rate)
    reference, estimate = (_azimuth(spectra, azimuths, responses) for spectra in (first, second))
    if estimate is None:
        azimuth = Cue.undefined("the estimate's cross-relation has no clear minimum", frames)
    else:
        azimuth = Cue(estimate, total=frames)
    if reference is None:
        return azimuth, Cue.undefined("the reference's cross-relation has no clear minimum", frames)
    if estimate is None:
        return azimuth, azimuth
    error = abs((estimate - reference + 180.0) % 360.0 - 180.0)
    return azimuth, Cue(error, total=frames)


def _frontal(hrir: HrirSet, sample_rate: int) -> tuple[Float64, npt.NDArray[np.complex128]]:
    """Azimuths of the frontal half in degrees, shape (A,), and their transfer functions, shape (A, 2, bins)."""
    azimuths = np.asarray(hrir.azimuths, np.float64) % 360.0
    front = np.cos(np.deg2rad(azimuths)) > -1e-6
    if not front.any():
        raise InputError("the HRIR set has no azimuth in the frontal half")
    irs = np.asarray(hrir.irs, np.float64)[front]
    return azimuths[front], np.asarray(fft.rfft(irs, 2 * block_length(sample_rate)))


def _azimuth(spectra: _Spectra, azimuths: Float64, responses: npt.NDArray[np.complex128]) -> float | None:
    """Azimuth of the smallest cross-relation (MacDonald, 2008) in degrees; None if there is no clear minimum."""
    left, right = responses[:, 0], responses[:, 1]
    energy = np.abs(right) ** 2 @ spectra.auto[0] + np.abs(left) ** 2 @ spectra.auto[1]
    crossed = 2.0 * ((right * np.conj(left)) @ spectra.cross).real
    relation = np.maximum(energy - crossed, 0.0) / np.where(energy > 0.0, energy, 1.0)
    best = int(np.argmin(relation))
    if energy[best] <= 0.0 or relation[best] > SHALLOW * np.median(relation):
        return None
    return float(azimuths[best])
