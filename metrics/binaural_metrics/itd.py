"""Interaural time difference of each frame; see :mod:`binaural_metrics.cues`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import fft
from scipy.signal import firwin, oaconvolve

from .arrays import Arrays, current
from .bands import REACH_S
from .follow import follow
from .hrir import Cue, HrirSet
from .reuse import NO_CACHE, ReferenceCache
from .signals import BoolArray, Float64, FloatArray, active_blocks, aggregate_frames, block_length, load
from .threads import threaded

ITD_BAND_HZ = (100.0, 1500.0)
ITD_FILTER_S = 0.04
ITD_LIMIT_S = 850e-6
"""Largest ITD that is searched for without an HRIR set."""

MOVED_US = 100.0
_LEAST_ITD_S = 1e-6  # a set has delays, and not rounding errors
_PHASE_HZ = (200.0, 600.0)
_TIE = 10**-0.05  # 0.5 dB
_TELLING_ILD = 10**0.1  # 1 dB, a just noticeable difference
_LEAST_ENERGY, _LEAST_COHERENCE = 1e-3, 0.5
_CHUNK_BLOCKS = 20  # blocks per task: 1 s fits in the processor's cache
_AMBIGUOUS = (
    "ambiguous: several maxima of nearly the same height, and no level difference that tells the side"
)
_NO_DELAY = (
    "the correlation of the estimate's ears has no maximum at the delays of a head between 100 and 1500 Hz"
)


@dataclass(frozen=True)
class _Lags:
    """Values per 50 ms frame.

    Attributes
    ----------
    itd : ndarray, shape (frames, candidates)
        ITD in samples (positive = left later) of each maximum that is nearly the highest; NaN elsewhere.
    ic : ndarray, shape (frames,)
        Height of the highest maximum; 0 where there is none.
    energy : ndarray, shape (2, frames)
        Band energy of each ear.
    """

    itd: Float64
    ic: Float64
    energy: Float64

    @property
    def audible(self) -> BoolArray:
        """Frames whose ears are both above −120 dB relative to their loudest frame.

        Below this level is the rounding error of the filters.
        """
        loud = self.energy > 1e-12 * self.energy.max(axis=1, keepdims=True)
        return np.asarray(loud.all(axis=0))

    def on_the_louder_side(self) -> Float64:
        """Candidates; where there are several, only those on the side of the louder ear."""
        left, right = self.energy
        tells = np.maximum(left, right) > _TELLING_ILD * np.minimum(left, right)
        side = np.where(tells, np.sign(right - left), 0.0)  # the louder ear is earlier
        several = np.isfinite(self.itd).sum(axis=1) > 1
        return np.where(several[:, None] & ~(self.itd * side[:, None] > 0.0), np.nan, self.itd)


def itd_distance(
    ref: FloatArray,
    est: FloatArray,
    sample_rate: int,
    energies: Float64,
    limit_s: float,
    aggregate: str,
    workers: int | None,
    moving: bool = False,
    cache: ReferenceCache = NO_CACHE,
) -> tuple[Cue, Cue, Cue]:
    """d_itd_us, itd_moved and itd_lag_ms; `energies` are those of the reference's blocks, `limit_s` the largest ITD.

    Of a moving source, d_itd_us compares frames; that of others compares the two signals' aggregated values.
    """
    total = len(energies)

    def undefined(reason: str) -> tuple[Cue, Cue, Cue]:
        nothing = Cue.undefined(reason, total)
        return nothing, nothing, nothing

    if ITD_BAND_HZ[1] >= 0.45 * sample_rate:
        return undefined(f"a sample rate of {sample_rate} Hz holds no band up to {ITD_BAND_HZ[1]:.0f} Hz")
    if not total:
        return undefined("shorter than one frame of 50 ms")
    key = "itd", sample_rate, limit_s
    first = cache.get([ref], key, lambda: _lags(ref, sample_rate, limit_s, workers))
    second = _lags(est, sample_rate, limit_s, workers)
    active, energy = active_blocks(energies), first.energy.sum(axis=0)
    if not energy[active].sum() > _LEAST_ENERGY * energies[active].sum():
        return undefined("the reference holds less than −30 dB of its energy between 100 and 1500 Hz")
    if energy[active] @ first.ic[active] < _LEAST_COHERENCE * energy[active].sum():
        return undefined(
            "the ears of the reference are not coherent between 100 and 1500 Hz (mean IC below 0.5, at delays of up to "
            f"{1e6 * limit_s:.0f} µs)"
        )
    weights = energy * first.ic**4
    heard = active & first.audible & second.audible & (weights > 0.0)
    if not heard.any():
        return undefined("no active frame has energy between 100 and 1500 Hz in both ears of both signals")
    itd, found = _resolved(first.on_the_louder_side(), second.on_the_louder_side())
    without = heard & (second.ic == 0.0)  # the ears are most alike at a delay that no head has
    known = heard & ~without & np.isfinite(found)
    start = np.arange(total) * block_length(sample_rate) / sample_rate
    difference = (found - itd) * (1e6 / sample_rate)
    moved = np.where(without | (np.abs(difference) > MOVED_US), 100.0, 0.0)

    def is_most(some: BoolArray, every: BoolArray) -> bool:
        return bool(weights[some].sum() > 0.5 * weights[every].sum())

    counted = known | without
    share = Cue.undefined(_AMBIGUOUS, total)
    if is_most(counted, heard):
        value = 100.0 * float(weights[counted & (moved > 0.0)].sum() / weights[counted].sum())
        share = Cue(value, "", start[counted], moved[counted], weights[counted], total)
    if not is_most(known, heard & ~without):
        nothing = Cue.undefined(_AMBIGUOUS if (heard & ~without).any() else _NO_DELAY, total)
        return nothing, share, nothing
    itd, found, weight, difference = (x[known] for x in (itd, found, weights, difference))
    to_us = 1e6 / sample_rate
    distance = (
        abs(aggregate_frames(found, aggregate, weight) - aggregate_frames(itd, aggregate, weight)) * to_us
    )
    lag = Cue.undefined("the source does not move", total)
    if moving:
        distance = aggregate_frames(np.abs(difference), aggregate, weight)
        lag = follow(
            np.flatnonzero(known),
            itd * to_us,
            found * to_us,
            weight,
            total,
            block_length(sample_rate) / sample_rate,
        )
    return Cue(distance, "", start[known], difference, weight, total), share, lag


def _resolved(first: Float64, second: Float64) -> tuple[Float64, Float64]:
    """ITD of each frame of the reference and of the estimate, NaN where it is ambiguous.

    Of the candidates of the estimate, the one nearest the reference's counts.
    """
    one = np.isfinite(first).sum(axis=1) == 1
    itd = np.where(one, np.nan_to_num(first).sum(axis=1), np.nan)
    distance = np.where(np.isfinite(second), np.abs(second - itd[:, None]), np.inf)
    nearest = np.take_along_axis(second, np.argmin(distance, axis=1)[:, None], axis=1)[:, 0]
    return itd, np.where(one, nearest, np.nan)


def largest_itd(hrir: HrirSet, sample_rate: int) -> float:
    """Largest ITD of an HRIR set in s, by the cross-correlation of :func:`itd_distance` and by low-frequency phase."""
    if ITD_BAND_HZ[1] >= 0.45 * sample_rate:
        return ITD_LIMIT_S
    reach = int(REACH_S * sample_rate)
    band = oaconvolve(np.asarray(hrir.irs, np.float64), _band_pass(sample_rate)[None, None], axes=2)
    size = int(fft.next_fast_len(band.shape[2] + reach, real=True))
    left, right = np.moveaxis(fft.rfft(band, size), 1, 0)
    cross = left * np.conj(right)
    itd, height = _maxima(fft.irfft(cross, size)[:, np.arange(-reach, reach + 1)])
    highest = np.where(height > 0.0, height == height.max(axis=1, keepdims=True), False)
    # Delays are longer at low frequencies, where the phase is unique up to half a period.
    frequency = np.arange(size // 2 + 1) * sample_rate / size
    low = (frequency >= _PHASE_HZ[0]) & (frequency <= _PHASE_HZ[1])
    phase = np.abs(np.angle(cross[:, low])) / (2 * np.pi * frequency[low])
    delays = np.concatenate([np.abs(itd[highest]) / sample_rate, phase.ravel()])
    largest = min(float(delays.max(initial=0.0)), REACH_S)
    return largest if largest > _LEAST_ITD_S else ITD_LIMIT_S


def _lags(x: FloatArray, sample_rate: int, limit_s: float, workers: int | None) -> _Lags:
    block, reach = block_length(sample_rate), int(REACH_S * sample_rate)
    taps, on = _band_pass(sample_rate), current()
    half, blocks = len(taps) // 2 + reach, on.chunk * _CHUNK_BLOCKS

    def chunk(first: int) -> _Lags:
        last = min(first + blocks, x.shape[1] // block)
        context = load(x, first * block - half, last * block + half)
        # "valid" keeps `reach` samples on both sides of the chunk, for the lags of its first and last frames.
        band = on.filtered(on.put(context), on.put(taps))
        rho, energy = _correlations(band, block, reach, on)
        itd, height = _maxima(rho)
        height = np.where(np.abs(itd) <= limit_s * sample_rate, height, 0.0)
        highest = height.max(axis=1, keepdims=True)
        itd = np.where((height >= _TIE * highest) & (height > 0.0), itd, np.nan)
        itd.sort(axis=1)  # NaN is last
        most = max(1, int(np.count_nonzero(np.isfinite(itd), axis=1).max()))
        return _Lags(itd[:, :most].copy(), np.minimum(highest[:, 0], 1.0), energy)

    parts = list(threaded(chunk, range(0, x.shape[1] // block, blocks), workers))
    most = max(part.itd.shape[1] for part in parts)
    gaps = [((0, 0), (0, most - part.itd.shape[1])) for part in parts]
    return _Lags(
        np.concatenate(
            [np.pad(p.itd, gap, constant_values=np.nan) for p, gap in zip(parts, gaps, strict=True)]
        ),
        np.concatenate([part.ic for part in parts]),
        np.concatenate([part.energy for part in parts], axis=1),
    )


def _maxima(rho: Float64) -> tuple[Float64, Float64]:
    """Lag in samples by a parabola, and height, of each inner maximum; NaN and 0 elsewhere.

    Parameters
    ----------
    rho : ndarray, shape (frames, 2·reach + 1)
        Correlation at the lags −reach … reach.

    Returns
    -------
    lags, heights : ndarray, shape (frames, 2·reach − 1)
    """
    before, at, after = rho[:, :-2], rho[:, 1:-1], rho[:, 2:]
    curvature = before - 2.0 * at + after
    is_maximum = (at > before) & (at >= after) & (curvature < 0.0)
    offset = np.divide(0.5 * (before - after), curvature, out=np.zeros_like(at), where=is_maximum)
    reach = rho.shape[1] // 2
    lags = np.arange(1 - reach, reach) + offset
    return np.where(is_maximum, lags, np.nan), np.where(is_maximum, np.maximum(at, 0.0), 0.0)


def _correlations(band: Any, block: int, reach: int, on: Arrays) -> tuple[Float64, Float64]:
    """Normalised correlation at the lags −reach … reach, shape (frames, lags), and energies of the ears (2, frames).

    `band` has the shape (2, frames·block + 2·reach).
    """
    size = int(fft.next_fast_len(block + 2 * reach, real=True))
    wide = on.windows(band, block + 2 * reach, block)
    core = wide[..., reach : reach + block]
    wide_spectra, core_spectra = on.rfft(wide, size), on.rfft(core, size)
    # Σ L[n+k]·R[n], first with n in the frame (wide L, core R), then with n + k in the frame (core L, wide R).
    of_right, of_left = (
        on.get(
            on.irfft(wide_spectra[i, ...] * on.xp.conj(core_spectra[1 - i, ...]), size)[:, : 2 * reach + 1]
        )
        for i in range(2)
    )
    energy = on.get(on.energy(core))
    # Energies of the 2·reach + 1 segments of `block` samples, one per lag.
    enters, leaves = on.get(wide[..., block:]) ** 2, on.get(wide[..., : 2 * reach]) ** 2
    start = on.get(on.energy(wide[..., :block]))[..., None]
    segments = np.concatenate([start, start + np.cumsum(enters - leaves, axis=-1)], axis=-1)
    floor = 1e-12 * (start + np.sum(enters, axis=-1, keepdims=True))
    rho = np.zeros_like(of_right)
    for numerator, segment_energy, least, core_energy in (
        (of_right, segments[0], floor[0], energy[1]),
        (of_left[:, ::-1], segments[1, :, ::-1], floor[1], energy[0]),
    ):
        norm = np.sqrt(np.maximum(segment_energy, least) * core_energy[:, None])
        rho += 0.5 * np.divide(numerator, norm, out=np.zeros_like(numerator), where=norm > 0.0)
    return rho, energy


@lru_cache(maxsize=4)
def _band_pass(sample_rate: int) -> Float64:
    taps: Float64 = firwin(
        2 * int(ITD_FILTER_S * sample_rate / 2) + 1, ITD_BAND_HZ, pass_zero=False, fs=sample_rate
    )
    taps.flags.writeable = False
    return taps
