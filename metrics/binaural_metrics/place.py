"""Share of a stem's sound that stays in its place, judged in time and frequency.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. A *cell* is one band of one frame. Frames are Hann windows of
50 ms, every 25 ms. Bands are triangles on the ERB-number scale [1]_, one ERB apart and two ERB wide, from 100 Hz to
16 kHz. A cell of the reference is *audible* if its energy is at most 40 dB below the loudest band of the frame
(bands below 100 Hz included) and its frame at most 60 dB below the loudest frame. Cells are weighted by their loudness,
energy to the power of 0.23 [2]_.

Metrics
-------
in_place       %, 0 to 100. Weight of the cells whose interaural cues are within two just-noticeable differences (JNDs)
               of the reference's, relative to the weight of the cells that are not missing. ILDs (limited to
               ±60 dB) are compared in all cells. ITDs are compared below 1400 Hz where the reference's interaural
               coherence is at least 0.8. The JNDs are 1 dB + 5 % of the ILD, and 20 µs + 5 % of the ITD [3]_.
missing        %, 0 to 100. Weight of the cells in which the estimate is more than 60 dB below the reference.
cue_error_jnd  0 to 40. Weighted median of the larger one of both errors in JNDs, over the same cells as `in_place`.

Notes
-----
The ITD of a cell is the lag within ±1 ms, on a grid of 10 µs with a parabola through the peak, of the largest real
part of the band's cross-correlation. Delays of envelopes above 1400 Hz are not judged. Spectra are in float32.

References
----------
.. [1] B. R. Glasberg and B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data,"
   Hearing Research, vol. 47, no. 1-2, pp. 103-138, 1990.
.. [2] H. Fastl and E. Zwicker, "Psychoacoustics: Facts and Models," 3rd ed., Springer, 2007.
.. [3] R. M. Hershkowitz and N. I. Durlach, "Interaural time and amplitude jnds for a 500-Hz tone," J. Acoust.
   Soc. Am., vol. 46, no. 6B, pp. 1464-1467, 1969.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.signal import get_window

from .arrays import Arrays, current
from .bands import AUDIBLE, LOUDNESS_EXPONENT, LOWEST_HZ, MISSING, Steering, ild_of, triangular_bands
from .hrir import Cue
from .reuse import NO_CACHE, ReferenceCache
from .signals import (
    BoolArray,
    Float64,
    FloatArray,
    aggregate_frames,
    binary_exponent,
    check_pair,
    load_scaled,
    power_ratio,
)
from .threads import one_blas_thread, threaded

JNDS = (1, 2, 4)
"""Tolerances of `in_place` in JNDs."""

TOLERANCE_JND = 2
ERROR_LIMIT_JND = 40.0
AUDIBLE_FRAME = 1e-6
_ITD_HZ = 1400.0
_COHERENT = 0.8
_LAG_S, _REACH = 1e-5, 100  # ±1 ms in steps of 10 µs
_CHUNK = 80  # frames per task: 2 s fit in the processor's cache


@dataclass(frozen=True)
class Place:
    """Place of one stem.

    Attributes
    ----------
    in_place : dict of int to Cue
        In %, by tolerance in JNDs; its frames are seconds, with their weights.
    missing, cue_error_jnd : Cue
        In %, and in JNDs.
    bands : list of [float, float, float]
        Centre in Hz, `in_place` in % (tolerance of 2 JNDs) and share of the weight in % of each audible band.
    """

    in_place: dict[int, Cue]
    missing: Cue
    cue_error_jnd: Cue
    bands: list[list[float]]


@one_blas_thread
def place(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    reference_gain: float = 1.0,
    workers: int | None = None,
    cache: ReferenceCache = NO_CACHE,
) -> Place:
    """Compute how much of a stem is still heard where it was.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter.
    sample_rate : int
        In Hz.
    reference_gain : float
        Factor applied to the reference. It has an influence on the missing cells only.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.
    cache : ReferenceCache, optional
        Keeps what depends on the reference alone, for further estimates of it.

    Returns
    -------
    Place

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    if not 0.5 * sample_rate > 2 * LOWEST_HZ:
        return _undefined(f"a sample rate of {sample_rate} Hz holds no band above {LOWEST_HZ:.0f} Hz")
    on = current()
    grid, chunk = _grid(sample_rate, on), on.chunk * _CHUNK
    frames = (ref.shape[1] - grid.length) // grid.hop + 1
    if frames < 1:
        return _undefined("shorter than one frame of 50 ms")
    exponents = binary_exponent(ref), binary_exponent(est)

    def spectra(x: FloatArray, exponent: int, first: int) -> Any:
        return _spectra(x, exponent, first, min(first + chunk, frames), grid)

    def cells() -> _Cells:
        starts = range(0, frames, chunk)

        def of_reference() -> _ReferenceCells:
            parts = threaded(
                lambda i: _ReferenceCells.of(spectra(ref, exponents[0], i), grid), starts, workers
            )
            return _joined(list(parts))

        true = cache.get([ref], ("place", sample_rate), of_reference)
        parts = threaded(
            lambda i: _cells(true.part(i, i + chunk), spectra(est, exponents[1], i), grid), starts, workers
        )
        return _joined(list(parts))

    ratio = power_ratio(*exponents) / reference_gain**2
    return _summary(cells(), ratio, np.arange(frames) * grid.hop // sample_rate, grid)


def _undefined(reason: str, missing: Cue | None = None, total: int = 0) -> Place:
    none = Cue.undefined(reason, total)
    return Place(dict.fromkeys(JNDS, none), missing or none, none, [])


def _spectra(x: FloatArray, exponent: int, first: int, last: int, grid: _Grid) -> Any:
    """Spectra of the frames `first` to `last`, shape (2, frames, bins)."""
    samples = grid.on.put(load_scaled(x, first * grid.hop, (last - 1) * grid.hop + grid.length, exponent))
    windows = grid.on.windows(samples, grid.length, grid.hop)
    return grid.on.rfft(windows * grid.window, grid.size)[..., : grid.bins]


@dataclass(frozen=True)
class _Cells:
    """Energies and errors; arrays of shape (frames, bands)."""

    energy: FloatArray  # of both ears of the reference
    estimate: FloatArray  # the same of the estimate
    audible: BoolArray  # within the frame
    error: Float64  # in JNDs


@dataclass(frozen=True)
class _ReferenceCells:
    """Cells of the reference; arrays of shape (frames, bands)."""

    energy: FloatArray  # of both ears
    audible: BoolArray  # within the frame
    ild: Float64
    itd: Float64  # of each band below 1400 Hz; NaN where the ears are not coherent

    def part(self, first: int, last: int) -> _ReferenceCells:
        """The frames `first` to `last`."""
        return _ReferenceCells(*(column[first:last] for column in vars(self).values()))

    @classmethod
    def of(cls, spectra: Any, grid: _Grid) -> _ReferenceCells:
        p = _energies(spectra, grid)
        energy = p[0] + p[1]
        loudest = energy.max(axis=1, keepdims=True).astype(np.float64)
        audible = energy[:, : grid.bands] > AUDIBLE * loudest
        p64 = p[..., : grid.bands].astype(np.float64)
        cross, itds = _cross(spectra, grid), np.full((len(energy), len(grid.steering)), np.nan)
        for b, shape in enumerate(grid.steering):
            rows = np.flatnonzero(audible[:, b])
            itd, peak = _lags(cross, rows, shape, grid.on)
            norm = np.sqrt(p64[0, rows, b] * p64[1, rows, b])
            coherent = (peak >= _COHERENT * norm) & (norm > 0.0)
            itds[rows[coherent], b] = itd[coherent]
        return cls(energy[:, : grid.bands], audible, ild_of(p64), itds)


_Columns = TypeVar("_Columns", _Cells, _ReferenceCells)


def _joined(parts: list[_Columns]) -> _Columns:
    """Cells of successive frames."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return type(parts[0])(*(np.concatenate(column) for column in columns))


def _energies(spectra: Any, grid: _Grid) -> FloatArray:
    """Energies of the ears, shape (2, frames, bands and those below)."""
    xp = grid.on.xp
    return grid.on.get((xp.real(spectra) ** 2 + xp.imag(spectra) ** 2) @ grid.weights)


def _cross(spectra: Any, grid: _Grid) -> Any:
    low = slice(0, grid.steering[-1].bins.stop if grid.steering else 0)
    return spectra[0, :, low] * grid.on.xp.conj(spectra[1, :, low])


def _cells(true: _ReferenceCells, spectra: Any, grid: _Grid) -> _Cells:
    """Cells from those of the reference, and the spectra of the estimate."""
    q = _energies(spectra, grid)[..., : grid.bands]
    error = np.abs(ild_of(q.astype(np.float64)) - true.ild) / (1.0 + 0.05 * np.abs(true.ild))
    cross = _cross(spectra, grid)
    for b, shape in enumerate(grid.steering):
        rows = np.flatnonzero(np.isfinite(true.itd[:, b]))
        itd = true.itd[rows, b]
        moved = np.abs(_lags(cross, rows, shape, grid.on)[0] - itd) / (20e-6 + 0.05 * np.abs(itd))
        error[rows, b] = np.maximum(error[rows, b], moved)
    return _Cells(true.energy, q[0] + q[1], true.audible, error)


def _lags(cross: Any, rows: npt.NDArray[np.intp], shape: Steering, on: Arrays) -> tuple[Float64, Float64]:
    """Lag in s of the peak of the band's correlation, and its height, of the frames `rows`."""
    part = on.interleaved(on.rows(cross[:, shape.bins], rows))
    correlation = part @ shape.matrix
    peak = on.get(on.xp.argmax(correlation, axis=1))
    inner = np.clip(peak, 1, 2 * _REACH - 1)
    before, at, after = (on.columns(correlation, inner + k).astype(np.float64) for k in (-1, 0, 1))
    curvature = before - 2.0 * at + after
    use = (inner == peak) & (curvature < 0.0)
    step = np.divide(0.5 * (before - after), curvature, out=np.zeros(len(rows)), where=use)
    height = np.where(peak < inner, before, np.where(peak > inner, after, at))
    return _LAG_S * (peak - _REACH + np.clip(step, -0.5, 0.5)), height


def _summary(cells: _Cells, ratio: float, second: npt.NDArray[np.int64], grid: _Grid) -> Place:
    """`ratio` makes energies of the estimate those of the reference's scale; `second` is that of each frame."""
    weight = cells.energy.astype(np.float64)
    frame = weight.sum(axis=1)
    audible = cells.audible & (frame > AUDIBLE_FRAME * frame.max())[:, None]
    missing = audible & (ratio * cells.estimate.astype(np.float64) < MISSING * weight)
    if not audible.any():
        return _undefined(
            "the reference is silent" if frame.max() == 0.0 else "the reference has no audible band"
        )
    weight **= LOUDNESS_EXPONENT
    weight[~audible] = 0.0
    lost = _share(weight, missing, second)
    used = np.where(missing, 0.0, weight)
    if not used.any():
        return _undefined(
            "the estimate is missing wherever the reference is audible", lost, int(second[-1]) + 1
        )
    error = np.minimum(cells.error, ERROR_LIMIT_JND, out=cells.error)
    flat = audible & ~missing
    median = aggregate_frames(error[flat], "median", used[flat])
    heard = used.sum(axis=0)
    kept = np.where(error <= TOLERANCE_JND, used, 0.0).sum(axis=0)
    bands = [
        [round(float(x), 3) for x in (hz, 100 * k / h, 100 * h / heard.sum())]
        for hz, k, h in zip(grid.centres_hz, kept, heard, strict=True)
        if h > 0.0
    ]
    shares = {jnd: _share(used, error <= jnd, second) for jnd in JNDS}
    return Place(shares, lost, Cue(median, total=int(second[-1]) + 1), bands)


def _share(weight: Float64, chosen: BoolArray, second: npt.NDArray[np.int64]) -> Cue:
    """Share of the weight of the chosen cells in %, of the track and of each second with weight."""
    total = np.asarray(np.bincount(second, weight.sum(axis=1)), np.float64)
    part = np.asarray(np.bincount(second, np.where(chosen, weight, 0.0).sum(axis=1)), np.float64)
    # Sums over all cells of a track differ from those over chosen cells by rounding alone where all are chosen.
    if np.all(chosen | (weight == 0.0)):
        part = total
    counted = np.flatnonzero(total > 0.0)
    values = 100.0 * np.minimum(part[counted] / total[counted], 1.0)
    value = 100.0 * min(float(part.sum() / total.sum()), 1.0)
    return Cue(value, "", counted.astype(np.float64), values, total[counted], int(second[-1]) + 1)


# ------------------------------------------------------------------------------------------------ the grid


@dataclass(frozen=True)
class _Grid:
    on: Arrays  # of window, weights and steering
    length: int
    hop: int
    size: int
    window: Any
    bins: int  # of the transform, that are in a band
    weights: Any  # (bins, bands and those below 100 Hz)
    bands: int
    centres_hz: Float64
    steering: list[Steering]  # of the bands below 1400 Hz


@lru_cache(maxsize=4)
def _grid(sample_rate: int, on: Arrays) -> _Grid:
    length = round(0.05 * sample_rate)
    size = 1 << math.ceil(math.log2(1.8 * length))
    frequency = np.arange(size // 2 + 1) * sample_rate / size
    hz, weights = triangular_bands(frequency)
    bins = int(np.flatnonzero(weights.any(axis=1))[-1]) + 1
    lags: Float64 = _LAG_S * np.arange(-_REACH, _REACH + 1).astype(np.float64)
    steering = [Steering.of(weight, frequency, lags).on(on) for weight in weights.T[: len(hz)][hz < _ITD_HZ]]
    window = get_window("hann", length).astype(np.float32)
    return _Grid(
        on,
        length,
        length - length // 2,
        size,
        on.put(window),
        bins,
        on.put(weights[:bins].astype(np.float32)),
        len(hz),
        hz,
        steering,
    )
