"""Interaural cues of the corrected metrics: errors of time difference, level difference, coherence and azimuth.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Azimuths are degrees counter-clockwise, 0 = front,
90 = left. Signals are cut into blocks of 50 ms. An ITD frame is one block. A band frame is twenty blocks (1 s),
and one starts every ten blocks. A frame counts only if the *reference* is above −60 dB relative to its loudest
frame. A band of a frame counts only if the reference is above −60 dB relative to its loudest band of any frame.
A signal with a silent channel has no cue.

Metrics
-------
d_itd_us           µs, 0 to 2000. Zero-phase band-pass 100-1500 Hz (linear-phase FIR of 40 ms), normalised
                   cross-correlation of each frame within ±1 ms, signed and not whitened, its peak
                   interpolated by a parabola. ITD of a signal: median over frames weighted by energy × IC⁴ of
                   the *reference* [1]_, where IC is the height of the peak. The cue is the absolute difference
                   of both ITDs.
d_ild_db           dB, 0 to 120. Mean over ERB-spaced bands, 200 Hz-16 kHz, of the absolute difference of
                   interaural level differences (each limited to ±60 dB); median over frames weighted by the
                   reference's energy.
d_ic               0 to 2. Mean over the same bands of the absolute difference of interaural coherences, the
                   maximum of the band's normalised cross-correlation within ±1 ms; median over frames.
azimuth_error_deg  degrees, 0 to 180. Angle between the azimuths of estimate and reference. The azimuth of a
                   signal is the azimuth θ of an HRIR set that minimises the cross-relation [3]_
                   ‖L∗h_R(θ) − R∗h_L(θ)‖² / (‖L∗h_R(θ)‖² + ‖R∗h_L(θ)‖²) over the active frames. Its
                   resolution is that of the set.

Notes
-----
The correlation of a frame uses samples outside the frame, once for each ear, and is normalised by the energies of
the samples used. With zero-padded frames, every peak would be biased towards zero lag, by 50 µs for a bass.

Bands are raised cosines on the ERB-number scale [2]_. They are one ERB apart and two ERB wide, so that they sum to
one (half-cosine filters, as in [4]_). They are applied to Welch spectra (Hann windows of 100 ms, half overlapping).
SciPy's gammatone filters are not used: in recursive form, their rounding error at 200 Hz exceeds the signal.

The IC has a bias. In a frame of one second, a band has few degrees of freedom, and the maximum of the
correlation over lags is above the coherence. An IC of 0.5 is measured as 0.52 on average over the bands.

Only the frontal half of an HRIR set is searched, because the cues of a sphere are the same in front and behind,
and those of a head are similar. The azimuth is None if the minimum is less than 3 dB below the median over the set.

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

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import firwin, oaconvolve

from .bands import REACH_S, band_distances
from .hrir import Cue, Hrirs, HrirSet, check_hrirs
from .signals import (
    BoolArray,
    Float64,
    FloatArray,
    active_blocks,
    aggregate_frames,
    block_energies,
    block_length,
    check_pair,
    load,
    silent_channels,
)
from .threads import one_blas_thread, threaded

__all__ = ["Cue", "Cues", "HrirSet", "Hrirs", "check_hrirs", "interaural_cues"]

ITD_BAND_HZ = (100.0, 1500.0)
ITD_FILTER_S = 0.04
_CHUNK_BLOCKS = 40  # blocks per task: 2 s fit in the processor's cache


@dataclass(frozen=True)
class Cues:
    """All cues of one stem; ``azimuth_deg`` is the azimuth of the estimate."""

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
    """Compute the differences between the interaural cues of an estimate and those of its reference.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter. Their levels have no influence.
    sample_rate : int
        In Hz.
    hrir : HrirSet, optional
        Impulse responses that the track was rendered with, at `sample_rate`. Without them, the azimuth is None.
    aggregate : {"median", "mean"}
        How the values of frames are aggregated.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.

    Returns
    -------
    Cues

    Raises
    ------
    InputError
        A signal (:func:`~binaural_metrics.signals.check_signal`) or the HRIR set is unusable.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    if hrir is not None:
        check_hrirs(hrir, sample_rate)
    reason = "; ".join(filter(None, (silent_channels(ref, "reference"), silent_channels(est, "estimate"))))
    if reason:
        return Cues(*[Cue.undefined(reason)] * 5)
    energies = block_energies(ref, sample_rate)
    itd = _itd_distance(ref, est, sample_rate, energies, aggregate, workers)
    ild, ic, azimuth, error = band_distances(ref, est, sample_rate, energies, hrir, aggregate, workers)
    return Cues(itd, ild, ic, azimuth, error)


# -------------------------------------------------------------------------------------------------- ITD


@dataclass(frozen=True)
class _Lags:
    """Values per 50 ms frame: ITD in samples (positive = left later), peak height, band energy of each ear."""

    itd: Float64
    ic: Float64
    energy: Float64  # (2, frames)

    @property
    def audible(self) -> BoolArray:
        """Frames whose ears are both above −120 dB relative to their loudest frame.

        Below this level is the rounding error of the filters.
        """
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
    counted = np.flatnonzero(active & first.audible & second.audible & (weights > 0.0))
    if not len(counted):
        return Cue.undefined(
            "no active frame has energy between 100 and 1500 Hz in both ears of both signals", total
        )
    weights = weights[counted]
    reference_itd, estimate_itd = first.itd[counted], second.itd[counted]
    to_us = 1e6 / sample_rate
    distance = abs(
        aggregate_frames(estimate_itd, aggregate, weights)
        - aggregate_frames(reference_itd, aggregate, weights)
    )
    start = counted * block_length(sample_rate) / sample_rate
    return Cue(distance * to_us, "", start, (estimate_itd - reference_itd) * to_us, weights, total)


def _lags(x: FloatArray, sample_rate: int, workers: int | None) -> _Lags:
    block, reach = block_length(sample_rate), int(REACH_S * sample_rate)
    taps = _band_pass(sample_rate)
    half = len(taps) // 2 + reach

    def chunk(first: int) -> _Lags:
        last = min(first + _CHUNK_BLOCKS, x.shape[1] // block)
        context = load(x, first * block - half, last * block + half)
        # "valid" keeps `reach` samples on both sides of the chunk, for the lags of its first and last frames.
        band = oaconvolve(context, taps[None], mode="valid", axes=1)
        return _frame_lags(band, last - first, block, reach)

    parts = threaded(chunk, range(0, x.shape[1] // block, _CHUNK_BLOCKS), workers)

    def concatenated(name: str) -> Float64:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    return _Lags(concatenated("itd"), concatenated("ic"), concatenated("energy"))


def _frame_lags(band: Float64, frames: int, block: int, reach: int) -> _Lags:
    """`band` has the shape (2, frames·block + 2·reach)."""
    size = int(fft.next_fast_len(block + 2 * reach, real=True))
    wide = np.lib.stride_tricks.sliding_window_view(band, block + 2 * reach, axis=1)[:, ::block]
    core = wide[..., reach : reach + block]
    wide_spectra, core_spectra = fft.rfft(wide, size), fft.rfft(core, size)
    # Σ L[n+k]·R[n], first with n in the frame (wide L, core R), then with n + k in the frame (core L, wide R).
    of_right = fft.irfft(wide_spectra[0] * np.conj(core_spectra[1]), size)[:, : 2 * reach + 1]
    of_left = fft.irfft(wide_spectra[1] * np.conj(core_spectra[0]), size)[:, 2 * reach :: -1]
    # Energies of the 2·reach + 1 segments of `block` samples, one per lag.
    squares = np.cumsum(np.concatenate([np.zeros((2, frames, 1)), wide**2], axis=-1), axis=-1)
    segments = squares[..., block:] - squares[..., : 2 * reach + 1]
    energy = np.einsum("cfn,cfn->cf", core, core)
    floor = 1e-12 * squares[..., -1:]
    rho = np.zeros_like(of_right)
    for numerator, segment_energy, core_energy in (
        (of_right, segments[0], energy[1]),
        (of_left, segments[1, :, ::-1], energy[0]),
    ):
        ear = 0 if numerator is of_right else 1
        norm = np.sqrt(np.maximum(segment_energy, floor[ear]) * core_energy[:, None])
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
