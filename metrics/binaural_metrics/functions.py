"""Single metrics of one stem.

Conventions
-----------
Signals have the shape (2, samples) or (samples, 2), left channel first, floating point with full scale ±1; reference
and estimate have the same length, of one second at least. Every function returns a float, or NaN if the metric has no
value for the signals (the result of :func:`binaural_metrics.score` has the reason). Unusable arguments raise
``ValueError``. `axis` is the axis of the channels, by default the only axis of length two. `mixture_gain` multiplies
the reference.

Metrics
-------
* :func:`ssr`, :func:`srr`: SPAUQ by its equations [1]_
* :func:`in_place`: share of the sound that stays in place
* :func:`itd_difference`, :func:`ild_difference`, :func:`ic_difference`, :func:`azimuth_error`: interaural cues
* :func:`level_difference`, :func:`si_sdr`: level and what is left of it [2]_
* :func:`paper_ssr`, :func:`paper_srr`, :func:`paper_itd_difference`, :func:`paper_ild_difference`: as in [3]_

BSS Eval needs all stems of a track: :func:`binaural_metrics.bss_eval`.

References
----------
.. [1] K. N. Watcharasupat and A. Lerch, "Quantifying Spatial Audio Quality Impairment," IEEE International
   Conference on Acoustics, Speech and Signal Processing (ICASSP), 2024. arXiv:2306.08053.
.. [2] J. Le Roux, S. Wisdom, H. Erdogan and J. R. Hershey, "SDR - half-baked or well done?," IEEE
   International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2019.
.. [3] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
   Information in Binaural Audio?," International Society for Music Information Retrieval Conference
   (ISMIR), 2025. arXiv:2507.00155.
"""

from __future__ import annotations

import numpy.typing as npt

from .cues import HrirSet, check_hrirs
from .registry import metrics
from .shapes import check_pairs
from .signals import InputError
from .spauq import check_gain
from .stem import Options, Stem
from .threads import one_blas_thread


@one_blas_thread
def _compute(
    column: str,
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    axis: int | None,
    mixture_gain: float = 1.0,
    hrir: HrirSet | None = None,
) -> float:
    true, found, rate = check_pairs(reference, estimate, sample_rate, axis)
    if list(true) != ["stem"]:
        raise InputError(f"{len(true)} stems; expected one reference and one estimate")
    (metric,) = (metric for metric in metrics() if metric.column == column)
    options = Options(
        rate, frozenset(metric.sets), check_gain(mixture_gain), "median", hrir, bsseval=False, workers=None
    )
    stem = Stem("stem", true["stem"], found["stem"], options)
    if "corrected" in stem.sets and stem.estimate_is_silent():
        return float("nan")
    value = metric.compute(stem)
    return float("nan") if value is None or not isinstance(value.value, (int, float)) else float(value.value)


def ssr(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Signal to spatial distortion ratio in dB, −80 to 80, higher is better; the median over frames of 1 s.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
    sample_rate : int
        In Hz.
    mixture_gain : float
        Multiplies the reference.
    axis : int, optional
        Axis of the channels.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Unusable signals.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.ssr(reference, reference[::-1], 44100), 1)
    -3.0
    """
    return _compute("SSR", reference, estimate, sample_rate, axis, mixture_gain)


def srr(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Signal to residual distortion ratio in dB, −80 to 80, higher is better; parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((4, 44100))
    >>> round(bm.srr(noise[:2], noise[:2] + 0.1 * noise[2:], 44100), 1)
    20.0
    """
    return _compute("SRR", reference, estimate, sample_rate, axis, mixture_gain)


def in_place(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Share of the sound that is still heard where it was, in %, 0 to 100, higher is better.

    A sound in a band and a moment counts if its interaural differences are within two just-noticeable differences
    (:mod:`binaural_metrics.place`). Parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> bm.in_place(reference, 0.5 * reference, 44100)
    100.0
    >>> ahead = np.stack([reference[0], reference[0]])
    >>> bm.in_place(ahead, ahead * [[1.0], [0.5]], 44100)
    0.0
    """
    return _compute("in_place", reference, estimate, sample_rate, axis)


def itd_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Difference of the interaural time differences in µs, 0 to 2000, lower is better.

    Between 100 and 1500 Hz, weighted by energy and coherence (:mod:`binaural_metrics.cues`). Parameters as of
    :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> source = 0.1 * np.random.default_rng(0).standard_normal(44100)
    >>> ahead = np.stack([source, source])
    >>> aside = np.stack([source, np.roll(source, 10)])
    >>> round(bm.itd_difference(ahead, aside, 44100))
    227
    """
    return _compute("d_itd_us", reference, estimate, sample_rate, axis)


def ild_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Difference of the interaural level differences in dB, 0 to 120, lower is better.

    Mean over ERB-spaced bands from 200 Hz to 16 kHz (:mod:`binaural_metrics.cues`). Parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.ild_difference(reference, reference * [[1.0], [0.5]], 44100), 2)
    6.02
    """
    return _compute("d_ild_db", reference, estimate, sample_rate, axis)


def ic_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Difference of the interaural coherences, 0 to 2, lower is better; parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> bm.ic_difference(reference, 0.5 * reference, 44100)
    0.0
    """
    return _compute("d_ic", reference, estimate, sample_rate, axis)


def azimuth_error(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    hrir: HrirSet,
    *,
    axis: int | None = None,
) -> float:
    """Angle between the azimuths of reference and estimate in degrees, 0 to 180, lower is better.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
    sample_rate : int
        In Hz.
    hrir : HrirSet
        Impulse responses that the stem was rendered with, at `sample_rate`, for example :class:`Hrirs`.
    axis : int, optional
        Axis of the channels.

    Returns
    -------
    float
        NaN where no azimuth is clearly more likely than the others.

    Raises
    ------
    ValueError
        Unusable signals or HRIR set.
    """
    hrir = check_hrirs(hrir, sample_rate)
    return _compute("azimuth_error_deg", reference, estimate, sample_rate, axis, hrir=hrir)


def level_difference(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Level of the reference that fits the estimate best, in dB; 0 where the level is kept.

    Parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.level_difference(reference, 2 * reference, 44100), 2)
    6.02
    """
    return _compute("level_db", reference, estimate, sample_rate, axis, mixture_gain)


def si_sdr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Scale-invariant SDR in dB, −100 to 100, higher is better, with one scale for both channels.

    Parameters as of :func:`ssr`.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((4, 44100))
    >>> round(bm.si_sdr(noise[:2], 2 * noise[:2] + 0.2 * noise[2:], 44100), 1)
    20.0
    """
    return _compute("SI_SDR", reference, estimate, sample_rate, axis)


def paper_ssr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """SSR in dB as the released SPAUQ software computes it; parameters as of :func:`ssr`.

    It does not detect swapped channels:

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> source = np.random.default_rng(0).standard_normal((2, 44100))
    >>> bm.paper_ssr(source, source[::-1], 44100) > bm.ssr(source, source[::-1], 44100)
    True
    """
    return _compute("paper_SSR", reference, estimate, sample_rate, axis)


def paper_srr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """SRR in dB as the released SPAUQ software computes it; parameters as of :func:`ssr`."""
    return _compute("paper_SRR", reference, estimate, sample_rate, axis)


def paper_itd_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Difference of the interaural time differences in µs by GCC-PHAT; parameters as of :func:`ssr`."""
    return _compute("paper_diff_ITD", reference, estimate, sample_rate, axis)


def paper_ild_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Difference of the broadband interaural level differences in dB; parameters as of :func:`ssr`."""
    return _compute("paper_diff_ILD", reference, estimate, sample_rate, axis)
