"""Interaural cues that mean what they say (corrected profile).

How far a separated stem has moved from where its reference is heard: in time between the ears, in level, in
coherence, and in azimuth.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Azimuths are degrees counter-clockwise, 0 = front,
90 = left. The clock of all cues is a block of 50 ms: an ITD frame is one block, a band frame twenty blocks
(1 s), of which one begins every ten. A frame counts only where the *reference* is above −60 dB relative to
its own loudest frame, and a band of a frame only where the reference is above −60 dB relative to its loudest
band of any frame. A signal with a silent channel has no cue.

Metrics
-------
d_itd_us           µs, 0 to 2000. Zero-phase band-pass 100-1500 Hz (linear-phase FIR of 40 ms), normalised
                   cross-correlation of each frame within ±1 ms, signed and not whitened, its peak
                   interpolated by a parabola. ITD of a signal: median over frames weighted by energy × IC⁴ of
                   the *reference* [1]_, IC being the height of the peak. The absolute difference of the two.
d_ild_db           dB, 0 to 120. Mean over ERB-spaced bands, 200 Hz-16 kHz, of the absolute difference of
                   interaural level differences (each limited to ±60 dB); median over frames weighted by the
                   reference's energy.
d_ic               0 to 2. Mean over the same bands of the absolute difference of interaural coherences, the
                   maximum of the band's normalised cross-correlation within ±1 ms; median over frames.
azimuth_error_deg  degrees, 0 to 180. Angle between the azimuth at which the estimate is heard and the one at
                   which the reference is: the azimuth θ of an HRIR set that minimises the cross-relation [3]_
                   ‖L∗h_R(θ) − R∗h_L(θ)‖² / (‖L∗h_R(θ)‖² + ‖R∗h_L(θ)‖²) over the active frames. Its
                   resolution is that of the set.

Notes
-----
The correlation of a frame reaches beyond it into the track, once for each ear, and is normalised by the
energies of the samples it met. A frame padded with zeros would pull every peak towards zero lag, by 50 µs for
a bass.

Bands are raised cosines on the ERB-number scale [2]_, one ERB apart and each two wide, so that they add up to
one (half-cosine filters, as in [4]_), applied to Welch spectra (sections of 100 ms, Hann, half overlapping).
SciPy's gammatone filters lose all their digits to rounding at 200 Hz in recursive form.

Frames of a second leave a bias: of two signals, the maximum over lags of a band with few degrees of freedom
is above their coherence. An IC of 0.5 reads 0.52 on average over the bands.

Only the frontal half of an HRIR set is searched: a sphere cannot tell front from back, a head hardly. The
azimuth is None where the minimum is shallow, less than 3 dB below the median over the set.

References
----------
.. [1] C. Faller and J. Merimaa, "Source localization in complex listening situations: Selection of binaural
   cues based on interaural coherence," J. Acoust. Soc. Am., vol. 116, no. 5, pp. 3075-3089, 2004.
.. [2] B. R. Glasberg and B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data,"
   Hearing Research, vol. 47, no. 1-2, pp. 103-138, 1990.
.. [3] J. A. MacDonald, "A localization algorithm based on head-related transfer functions," J. Acoust. Soc.
   Am., vol. 123, no. 6, pp. 4290-4296, 2008.
.. [4] J. H. McDermott and E. P. Simoncelli, "Sound texture perception via statistics of the auditory
   periphery: evidence from sound synthesis," Neuron, vol. 71, no. 5, pp. 926-940, 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import firwin, get_window, oaconvolve

from .signals import (
    ACTIVITY_RANGE_DB,
    BoolArray,
    Float64,
    FloatArray,
    InputError,
    active_blocks,
    aggregate_frames,
    block_energies,
    block_length,
    check_pair,
    load,
    silent_channels,
)
from .threads import one_blas_thread, threaded

ITD_BAND_HZ = (100.0, 1500.0)
ITD_FILTER_S = 0.04
REACH_S = 1e-3
BANDS_HZ = (200.0, 16000.0)
ILD_LIMIT_DB = 60.0
SHALLOW = 0.5
"""A minimum above this share of the median over the HRIR set says nothing about direction."""

_Sections = TypeVar("_Sections", Float64, npt.NDArray[np.complex128])
_FRAME_BLOCKS, _HOP_BLOCKS = 20, 10
_CHUNK_BLOCKS = 40  # 2 s at a time stay in the cache
_QUIET = 10 ** (-ACTIVITY_RANGE_DB / 10)


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


@dataclass(frozen=True)
class Cues:
    """All cues of one stem; ``azimuth_deg`` is where the estimate is heard."""

    d_itd_us: Cue
    d_ild_db: Cue
    d_ic: Cue
    azimuth_deg: Cue
    azimuth_error_deg: Cue


@one_blas_thread
def interaural_cues(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    hrir: HrirSet | None = None,
    aggregate: str = "median",
    workers: int | None = None,
) -> Cues:
    """Distances between the interaural cues of a stem and those of its reference.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; trimmed to the shorter. Their levels do not matter.
    sample_rate : int
        Hz.
    hrir : HrirSet, optional
        The set that the track was rendered with, at `sample_rate`; without it there is no azimuth.
    aggregate : {"median", "mean"}
        How frames become the track's value.
    workers : int, optional
        Threads; every core of this process by default.

    Returns
    -------
    Cues

    Raises
    ------
    InputError
        Unusable signals (:func:`~binaural_metrics.signals.check_signal`) or HRIR set.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    if hrir is not None:
        check_hrirs(hrir, sample_rate)
    reason = "; ".join(filter(None, (silent_channels(ref, "reference"), silent_channels(est, "estimate"))))
    if reason:
        return Cues(*[Cue.undefined(reason)] * 5)
    energies = block_energies(ref, sample_rate)
    itd = _itd_distance(ref, est, sample_rate, energies, aggregate, workers)
    ild, ic, azimuth, error = _band_distances(ref, est, sample_rate, energies, hrir, aggregate, workers)
    return Cues(itd, ild, ic, azimuth, error)


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


# -------------------------------------------------------------------------------------------------- ITD


@dataclass(frozen=True)
class _Lags:
    """Per 50 ms frame: ITD in samples (positive = left later), peak height, band energy of each ear."""

    itd: Float64
    ic: Float64
    energy: Float64  # (2, frames)

    @property
    def heard(self) -> BoolArray:
        """Where both ears are above −120 dB relative to their loudest frame: above what filters round."""
        return np.asarray((self.energy > 1e-12 * self.energy.max(axis=1, keepdims=True)).all(axis=0))


def _itd_distance(
    ref: FloatArray,
    est: FloatArray,
    sample_rate: int,
    energies: Float64,
    aggregate: str,
    workers: int | None,
) -> Cue:
    total = len(energies)
    if ITD_BAND_HZ[1] >= 0.45 * sample_rate:
        return Cue.undefined(
            f"a sample rate of {sample_rate} Hz holds no band up to {ITD_BAND_HZ[1]:.0f} Hz", total
        )
    active = active_blocks(energies)
    if not total:
        return Cue.undefined("shorter than one frame of 50 ms")
    first, second = _lags(ref, sample_rate, workers), _lags(est, sample_rate, workers)
    weights = first.energy.sum(axis=0) * np.maximum(first.ic, 0.0) ** 4
    counted = np.flatnonzero(active & first.heard & second.heard & (weights > 0.0))
    if not len(counted):
        return Cue.undefined(
            "no active frame has energy between 100 and 1500 Hz in both ears of both signals", total
        )
    weights = weights[counted]
    here, there = first.itd[counted], second.itd[counted]
    to_us = 1e6 / sample_rate
    distance = abs(aggregate_frames(there, aggregate, weights) - aggregate_frames(here, aggregate, weights))
    start = counted * block_length(sample_rate) / sample_rate
    return Cue(distance * to_us, "", start, (there - here) * to_us, weights, total)


def _lags(x: FloatArray, sample_rate: int, workers: int | None) -> _Lags:
    block, reach = block_length(sample_rate), int(REACH_S * sample_rate)
    taps = _band_pass(sample_rate)
    half = len(taps) // 2 + reach

    def chunk(first: int) -> _Lags:
        last = min(first + _CHUNK_BLOCKS, x.shape[1] // block)
        context = load(x, first * block - half, last * block + half)
        # "valid" leaves `reach` samples around the chunk, which the lags of its frames extend into.
        band = oaconvolve(context, taps[None], mode="valid", axes=1)
        return _frame_lags(band, last - first, block, reach)

    parts = threaded(chunk, range(0, x.shape[1] // block, _CHUNK_BLOCKS), workers)

    def joined(name: str) -> Float64:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    return _Lags(joined("itd"), joined("ic"), joined("energy"))


def _frame_lags(band: Float64, frames: int, block: int, reach: int) -> _Lags:
    """`band` has the shape (2, frames·block + 2·reach)."""
    size = int(fft.next_fast_len(block + 2 * reach, real=True))
    wide = np.lib.stride_tricks.sliding_window_view(band, block + 2 * reach, axis=1)[:, ::block]
    core = wide[..., reach : reach + block]
    wide_spectra, core_spectra = fft.rfft(wide, size), fft.rfft(core, size)
    # Σ L[n+k]·R[n] with n in the frame: L wide against R; then with n + k in the frame: L against R wide.
    of_right = fft.irfft(wide_spectra[0] * np.conj(core_spectra[1]), size)[:, : 2 * reach + 1]
    of_left = fft.irfft(wide_spectra[1] * np.conj(core_spectra[0]), size)[:, 2 * reach :: -1]
    # Energies of the 2·reach + 1 stretches of `block` samples that the lags meet.
    squares = np.cumsum(np.concatenate([np.zeros((2, frames, 1)), wide**2], axis=-1), axis=-1)
    stretches = squares[..., block:] - squares[..., : 2 * reach + 1]
    energy = np.einsum("cfn,cfn->cf", core, core)
    floor = 1e-12 * squares[..., -1:]
    rho = np.zeros_like(of_right)
    for numerator, met, still in (
        (of_right, stretches[0], energy[1]),
        (of_left, stretches[1, :, ::-1], energy[0]),
    ):
        ear = 0 if numerator is of_right else 1
        norm = np.sqrt(np.maximum(met, floor[ear]) * still[:, None])
        rho += 0.5 * np.divide(numerator, norm, out=np.zeros_like(numerator), where=norm > 0.0)
    peak = np.argmax(rho, axis=1)
    rows = np.arange(frames)
    height = rho[rows, peak]
    left, right = rho[rows, np.maximum(peak - 1, 0)], rho[rows, np.minimum(peak + 1, 2 * reach)]
    curvature = left - 2 * height + right
    inner = (peak > 0) & (peak < 2 * reach) & (curvature < 0.0)
    offset = np.divide(0.5 * (left - right), curvature, out=np.zeros(frames), where=inner)
    return _Lags(peak - reach + offset, np.minimum(height, 1.0), energy)


@lru_cache(maxsize=4)
def _band_pass(sample_rate: int) -> Float64:
    taps: Float64 = firwin(
        2 * int(ITD_FILTER_S * sample_rate / 2) + 1, ITD_BAND_HZ, pass_zero=False, fs=sample_rate
    )
    taps.flags.writeable = False
    return taps


# ----------------------------------------------------------------------------- level, coherence, direction


@dataclass(frozen=True)
class _Spectra:
    """Per band frame: energies of both ears and IC per band; over the active frames: the summed spectra."""

    energies: Float64  # (2, frames, bands)
    coherence: Float64  # (frames, bands)
    auto: Float64  # (2, bins)
    cross: npt.NDArray[np.complex128]  # (bins,), left times conjugate right


def _band_distances(
    ref: FloatArray,
    est: FloatArray,
    sample_rate: int,
    energies: Float64,
    hrir: HrirSet | None,
    aggregate: str,
    workers: int | None,
) -> tuple[Cue, Cue, Cue, Cue]:
    frames = (len(energies) - _FRAME_BLOCKS) // _HOP_BLOCKS + 1
    if frames < 1:
        short = Cue.undefined("shorter than one frame of 1 s")
        return short, short, short, short
    starts = _HOP_BLOCKS * np.arange(frames)
    frame_energy = np.array([energies[i : i + _FRAME_BLOCKS].sum() for i in starts])
    active = frame_energy > _QUIET * frame_energy.max()
    first, second = (_spectra(x, sample_rate, active, workers) for x in (ref, est))

    loudness = first.energies.sum(axis=0)
    cells = (
        active[:, None]
        & (loudness > _QUIET * loudness.max(initial=0.0))
        & (second.energies.sum(axis=0) > 0.0)
    )
    ild = _track(
        np.abs(_ild(second.energies) - _ild(first.energies)),
        cells,
        frame_energy,
        starts,
        sample_rate,
        aggregate,
    )
    both_ears = (first.energies > 0.0).all(axis=0) & (second.energies > 0.0).all(axis=0)
    difference = np.abs(second.coherence - first.coherence)
    ic = _track(difference, cells & both_ears, np.ones(frames), starts, sample_rate, aggregate)
    if hrir is None:
        nowhere = Cue.undefined("no HRIR set was given")
        return ild, ic, nowhere, nowhere
    return ild, ic, *_azimuth_distance(first, second, hrir, sample_rate, frames)


def _track(
    values: Float64,
    cells: BoolArray,
    weights: Float64,
    starts: npt.NDArray[np.int64],
    sample_rate: int,
    aggregate: str,
) -> Cue:
    """Mean over the bands that count, then over frames."""
    count = cells.sum(axis=1)
    counted = np.flatnonzero((count > 0) & (weights > 0.0))
    if not len(counted):
        return Cue.undefined("no active frame has energy in any band of both signals", len(starts))
    frames = np.where(cells, values, 0.0).sum(axis=1)[counted] / count[counted]
    weights = weights[counted]
    start = starts[counted] * block_length(sample_rate) / sample_rate
    return Cue(aggregate_frames(frames, aggregate, weights), "", start, frames, weights, len(starts))


def _ild(energies: Float64) -> Float64:
    """(2, frames, bands) -> dB within ±60; 0 where both ears are silent."""
    floor = 10 ** (-ILD_LIMIT_DB / 10) * energies[::-1]
    left, right = np.maximum(energies, floor)
    heard = (left > 0.0) & (right > 0.0)
    ones = np.ones_like(left)
    level = np.log10(left, out=ones.copy(), where=heard) - np.log10(right, out=ones, where=heard)
    return np.asarray(np.where(heard, 10.0 * level, 0.0))


def _spectra(x: FloatArray, sample_rate: int, active: BoolArray, workers: int | None) -> _Spectra:
    block = block_length(sample_rate)
    window = get_window("hann", 2 * block)[None, None]
    weights, shapes = _bands(sample_rate)
    step = _CHUNK_BLOCKS // _HOP_BLOCKS

    def chunk(first: int) -> tuple[Float64, Float64, Float64, npt.NDArray[np.complex128]]:
        last = min(first + step, len(active))
        samples = load(x, first * _HOP_BLOCKS * block, ((last - 1) * _HOP_BLOCKS + _FRAME_BLOCKS) * block)
        sections = np.lib.stride_tricks.sliding_window_view(samples, 2 * block, axis=1)[:, ::block]
        spectra = fft.rfft(sections * window)
        auto = np.stack([_frame_sums(s.real**2 + s.imag**2) for s in spectra])
        cross = _frame_sums(spectra[0] * np.conj(spectra[1]))
        energies = auto @ weights
        norm = np.sqrt(energies[0] * energies[1])
        coherence = np.zeros_like(norm)
        for b, shape in enumerate(shapes):
            part = cross[:, shape.bins]
            peak = (part.real @ shape.cosines + part.imag @ shape.sines).max(axis=1)
            np.divide(peak, norm[:, b], out=coherence[:, b], where=norm[:, b] > 0.0)
        use = active[first:last]
        return energies, coherence, auto[:, use].sum(axis=1), cross[use].sum(axis=0)

    parts = threaded(chunk, range(0, len(active), step), workers)
    energies, coherence, auto, cross = zip(*parts, strict=True)
    return _Spectra(
        np.concatenate(energies, axis=1), np.clip(np.concatenate(coherence), -1.0, 1.0), sum(auto), sum(cross)
    )


def _frame_sums(sections: _Sections) -> _Sections:
    """Sums over the 19 sections inside each frame of 20 blocks; frames begin every 10 blocks."""
    frames = len(sections) // _HOP_BLOCKS
    whole, rest = sections[: frames * _HOP_BLOCKS], sections[frames * _HOP_BLOCKS :]
    groups = whole.reshape(frames, _HOP_BLOCKS, -1)
    nine = np.concatenate([groups[:, :-1].sum(axis=1), rest.sum(axis=0, keepdims=True)])
    total: _Sections = nine[:-1] + groups[:, -1] + nine[1:]  # nine of a hop, the one across, nine of the next
    return total


@dataclass(frozen=True)
class _Shape:
    """One band: its bins, and what each of them (row) adds to the correlation at each lag (column)."""

    bins: slice
    cosines: Float64
    sines: Float64


@lru_cache(maxsize=2)
def _bands(sample_rate: int) -> tuple[Float64, list[_Shape]]:
    """Power weights, shape (bins, bands), and for each band the way from spectrum to correlation."""
    samples = 2 * block_length(sample_rate)
    frequency = np.arange(samples // 2 + 1) * sample_rate / samples
    low, high = _erb_number(np.array(BANDS_HZ))
    centres = np.arange(low, high + 1e-9)
    centres = centres[centres + 1.0 <= _erb_number(np.array(0.5 * sample_rate))]
    distance = np.abs(_erb_number(frequency)[:, None] - centres)
    weights = np.where(distance < 1.0, np.cos(0.5 * np.pi * np.minimum(distance, 1.0)) ** 2, 0.0)
    shapes = []
    for weight in weights.T:
        inside = np.flatnonzero(weight)
        bins = slice(int(inside[0]), int(inside[-1]) + 1)
        # Sixteen lags a period of the highest frequency: between two, the peak loses at most 2 %.
        half = int(np.ceil(16 * REACH_S * frequency[inside[-1]]))
        angle = 2 * np.pi * frequency[bins, None] * np.linspace(-REACH_S, REACH_S, 2 * half + 1)
        part = weight[bins, None]
        shapes.append(_Shape(bins, part * np.cos(angle), -part * np.sin(angle)))
    return weights, shapes


def _erb_number(frequency: Float64) -> Float64:
    """ERBs below a frequency in Hz [2]_."""
    return np.asarray(21.4 * np.log10(1.0 + 0.00437 * frequency))


def _azimuth_distance(
    first: _Spectra, second: _Spectra, hrir: HrirSet, sample_rate: int, frames: int
) -> tuple[Cue, Cue]:
    azimuths, responses = _frontal(hrir, sample_rate)
    here, there = (_azimuth(spectra, azimuths, responses) for spectra in (first, second))
    nothing = np.empty(0)
    if there is None:
        heard = Cue.undefined("the estimate's cross-relation has no clear minimum", frames)
    else:
        heard = Cue(there, "", nothing, nothing, nothing, frames)
    if here is None:
        return heard, Cue.undefined("the reference's cross-relation has no clear minimum", frames)
    if there is None:
        return heard, heard
    return heard, Cue(abs((there - here + 180.0) % 360.0 - 180.0), "", nothing, nothing, nothing, frames)


def _frontal(hrir: HrirSet, sample_rate: int) -> tuple[Float64, npt.NDArray[np.complex128]]:
    """Azimuths of the frontal half and their transfer functions, shape (A, 2, bins)."""
    azimuths = np.asarray(hrir.azimuths, np.float64) % 360.0
    front = np.cos(np.deg2rad(azimuths)) > -1e-6
    if not front.any():
        raise InputError("the HRIR set has no azimuth in the frontal half")
    irs = np.asarray(hrir.irs, np.float64)[front]
    return azimuths[front], np.asarray(fft.rfft(irs, 2 * block_length(sample_rate)))


def _azimuth(spectra: _Spectra, azimuths: Float64, responses: npt.NDArray[np.complex128]) -> float | None:
    """Where the cross-relation is smallest [3]_; None where that is nowhere in particular."""
    left, right = responses[:, 0], responses[:, 1]
    energy = np.abs(right) ** 2 @ spectra.auto[0] + np.abs(left) ** 2 @ spectra.auto[1]
    crossed = 2.0 * ((right * np.conj(left)) @ spectra.cross).real
    relation = np.maximum(energy - crossed, 0.0) / np.where(energy > 0.0, energy, 1.0)
    best = int(np.argmin(relation))
    if energy[best] <= 0.0 or relation[best] > SHALLOW * np.median(relation):
        return None
    return float(azimuths[best])
