"""Interaural cues of the corrected metrics: errors of time difference, level difference, coherence and azimuth.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Azimuths are degrees counter-clockwise, 0 = front, 90 =
left. Signals are cut into blocks of 50 ms. An ITD frame is one block. A band frame is twenty blocks (1 s), and one
starts every ten blocks. A frame counts only if the *reference* is above −60 dB relative to its loudest frame. A band
of a frame counts only if the reference is above −40 dB relative to the loudest band of the frame (bands below 200 Hz
included), and the estimate above −60 dB relative to the reference. Loudness is energy to the power of 0.23. A signal
with a silent channel has no cue.

Metrics
-------
d_itd_us           µs, 0 to 2000. Zero-phase band-pass 100-1500 Hz (linear-phase FIR of 40 ms), normalised
                   cross-correlation of each frame, signed and not whitened. The ITD of a frame is the largest inner
                   maximum within the largest ITD of the HRIR set + 10 % (850 µs without a set), interpolated by a
                   parabola. ITD of a signal: median over frames weighted by energy × IC⁴ of the *reference* [1]_,
                   where IC is the height of the peak. The cue is the absolute difference of both ITDs.
itd_moved          %, 0 to 100. Weight of the frames whose ITD differs from the reference's by more than 100 µs.
d_ild_db           dB, 0 to 120. Mean over ERB-spaced bands, 200 Hz-16 kHz, of the absolute difference of
                   interaural level differences (each limited to ±60 dB), weighted by loudness; median over
                   frames weighted by the reference's energy.
d_ild_db_flat      dB, 0 to 120. The same, with equal weights for all bands in which the reference is above −60 dB
                   relative to its loudest band of any frame and the estimate is not zero.
d_ic               0 to 2. Mean over the same bands of the absolute difference of interaural coherences, the
                   maximum of the band's normalised cross-correlation within ±1 ms, weighted by loudness; median
                   over frames.
azimuth_error_deg  degrees, 0 to 180. Angle between the azimuths of estimate and reference. The azimuth of a
                   signal is the azimuth θ of an HRIR set that minimises the cross-relation [3]_
                   ‖L∗h_R(θ) − R∗h_L(θ)‖² / (‖L∗h_R(θ)‖² + ‖R∗h_L(θ)‖²) over the active frames. Its
                   resolution is that of the set.

Notes
-----
The correlation of a frame uses samples outside the frame, once for each ear, and is normalised by the energies of
the samples used. With zero-padded frames, every peak would be biased towards zero lag, by 50 µs for a bass.

A narrow-band sound has maxima of nearly the same height, one period apart. If several are within 0.5 dB of the
highest, the one on the side of the louder ear counts, and of several of the estimate the one that is nearest the
reference's. A frame whose level difference (below 1 dB) does not tell the side does not count. `d_itd_us` is None if
these are most frames, if the band holds less than −30 dB of the reference's energy, or if the reference's mean IC,
weighted by energy, is below 0.5. A frame in which the correlation of the estimate has no inner maximum has no ITD; it
counts as moved.

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

from dataclasses import dataclass, fields

import numpy.typing as npt

from .bands import band_distances
from .hrir import Cue, Hrirs, HrirSet, check_hrirs, horizontal
from .itd import ITD_LIMIT_S, itd_distance, largest_itd
from .reuse import NO_CACHE, ReferenceCache
from .signals import block_energies, channel_energies, check_pair, silent_channels
from .threads import one_blas_thread

__all__ = ["Cue", "Cues", "HrirSet", "Hrirs", "check_hrirs", "interaural_cues"]


@dataclass(frozen=True)
class Cues:
    """All cues of one stem; ``azimuth_deg`` is the azimuth of the estimate."""

    d_itd_us: Cue
    itd_moved: Cue
    itd_lag_ms: Cue
    d_ild_db: Cue
    d_ild_db_flat: Cue
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
    reference_gain: float = 1.0,
    workers: int | None = None,
    moving: bool = False,
    cache: ReferenceCache = NO_CACHE,
) -> Cues:
    """Compute the differences between the interaural cues of an estimate and those of its reference.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter. Their levels have no influence, except that the estimate
        lacks a band in which it is more than 60 dB below the reference.
    sample_rate : int
        In Hz.
    hrir : HrirSet, optional
        Impulse responses that the track was rendered with, at `sample_rate`. Without them, the azimuth is None.
    aggregate : {"median", "mean"}
        How the values of frames are aggregated.
    reference_gain : float
        Factor applied to the reference. It has an influence only on which bands the estimate lacks.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.
    moving : bool
        Whether the source moves. `d_itd_us` then compares frame by frame, and there is `itd_lag_ms`.
    cache : ReferenceCache, optional
        Keeps what depends on the reference alone, for further estimates of it.

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
        hrir = horizontal(check_hrirs(hrir, sample_rate))
    pair = {"reference": ref, "estimate": est}
    reason = "; ".join(filter(None, (silent_channels(channel_energies(x), name) for name, x in pair.items())))
    if reason:
        return Cues(*[Cue.undefined(reason)] * len(fields(Cues)))
    energies = block_energies(ref, sample_rate)
    limit = ITD_LIMIT_S if hrir is None else 1.1 * largest_itd(hrir, sample_rate)
    itd, moved, lag = itd_distance(ref, est, sample_rate, energies, limit, aggregate, workers, moving, cache)
    bands = band_distances(ref, est, sample_rate, energies, hrir, aggregate, reference_gain, workers, cache)
    return Cues(d_itd_us=itd, itd_moved=moved, itd_lag_ms=lag, **vars(bands))
