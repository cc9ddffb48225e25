"""Interaural cues of the corrected metrics.

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
_CHUNK_BLOCKS = 40  # 2 s at a time fit in the cache


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
    ild, ic, azimuth, error = band_distances(ref, est, sample_rate, energies, hrir, aggregate, workers)
    return Cues(itd, ild, ic, azimuth, error)


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
