"""Single metrics of one stem.

Signals have the shape (2, samples) or (samples, 2), left channel first, floating point with full scale ±1. They are one
second long at least. Every function returns a float, or NaN if the metric is undefined for the signals (the result of
:func:`binaural_metrics.score` has the reason).

BSS Eval needs all stems of a track: :func:`binaural_metrics.bss_eval`. The metrics of the paper are in
:mod:`binaural_metrics.paper_functions`.

References
----------
.. [1] K. N. Watcharasupat and A. Lerch, "Quantifying Spatial Audio Quality Impairment," IEEE International
   Conference on Acoustics, Speech and Signal Processing (ICASSP), 2024. arXiv:2306.08053.
.. [2] J. Le Roux, S. Wisdom, H. Erdogan and J. R. Hershey, "SDR - half-baked or well done?," IEEE
   International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2019.
"""

from __future__ import annotations

import numpy.typing as npt

from .cues import HrirSet, check_hrirs
from .single import single_metric


def ssr(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Compute the signal to spatial distortion ratio (SSR) by the equations of SPAUQ [1]_.

    It is the median over frames of 1 s.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    mixture_gain : float
        Factor applied to the reference.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In dB, −80 to 80, higher is better. NaN if all frames are silent.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.ssr(reference, reference[::-1], 44100), 1)
    -3.0
    """
    return single_metric("SSR", reference, estimate, sample_rate, axis, mixture_gain)


def srr(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Compute the signal to residual distortion ratio (SRR) by the equations of SPAUQ [1]_.

    It is the median over frames of 1 s.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    mixture_gain : float
        Factor applied to the reference.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In dB, −80 to 80, higher is better. NaN if all frames are silent.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((4, 44100))
    >>> round(bm.srr(noise[:2], noise[:2] + 0.1 * noise[2:], 44100), 1)
    20.0
    """
    return single_metric("SRR", reference, estimate, sample_rate, axis, mixture_gain)


def in_place(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the share of the sound that is still heard where it was.

    A sound in a band and a moment counts if its interaural differences are within two just-noticeable differences
    (:mod:`binaural_metrics.place`, with the sources).

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In %, 0 to 100, higher is better. NaN if it is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

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
    return single_metric("in_place", reference, estimate, sample_rate, axis)


def itd_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the difference of the interaural time differences (ITD).

    ITDs are measured between 100 and 1500 Hz, and weighted by energy and coherence (:mod:`binaural_metrics.cues`, with
    the sources).

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In µs, 0 to 2000, lower is better. NaN if an ITD is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

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
    return single_metric("d_itd_us", reference, estimate, sample_rate, axis)


def ild_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the difference of the interaural level differences (ILD).

    It is the mean over ERB-spaced bands from 200 Hz to 16 kHz, weighted by loudness (:mod:`binaural_metrics.cues`, with
    the sources).

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In dB, 0 to 120, lower is better. NaN if it is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.ild_difference(reference, reference * [[1.0], [0.5]], 44100), 2)
    6.02
    """
    return single_metric("d_ild_db", reference, estimate, sample_rate, axis)


def ic_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the difference of the interaural coherences (IC).

    It is the mean over the bands of :func:`ild_difference`.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        0 to 2, lower is better. NaN if it is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> bm.ic_difference(reference, 0.5 * reference, 44100)
    0.0
    """
    return single_metric("d_ic", reference, estimate, sample_rate, axis)


def azimuth_error(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    hrir: HrirSet,
    *,
    axis: int | None = None,
) -> float:
    """Compute the angle between the azimuths of reference and estimate.

    Azimuths are found by the cross-relation of the ears (:mod:`binaural_metrics.cues`, with the source).

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    hrir : HrirSet
        Impulse responses that the stem was rendered with, at `sample_rate`, for example :class:`Hrirs`.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In degrees, 0 to 180, lower is better. NaN where no azimuth is clearly more likely than the others.

    Raises
    ------
    ValueError
        A signal or the HRIR set is unusable.
    """
    hrir = check_hrirs(hrir, sample_rate)
    return single_metric("azimuth_error_deg", reference, estimate, sample_rate, axis, hrir=hrir)


def level_difference(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    mixture_gain: float = 1.0,
    axis: int | None = None,
) -> float:
    """Compute the level of the reference that fits the estimate best.

    It is ⟨estimate, reference⟩ / ⟨reference, reference⟩, with both channels as one signal.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    mixture_gain : float
        Factor applied to the reference.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In dB, 0 if the level is kept. NaN if it is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(bm.level_difference(reference, 2 * reference, 44100), 2)
    6.02
    """
    return single_metric("level_db", reference, estimate, sample_rate, axis, mixture_gain)


def si_sdr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the scale-invariant signal to distortion ratio (SI-SDR) [2]_, with one scale for both channels.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples) or (samples, 2)
        Signals of one stem. They have the same length.
    sample_rate : int
        In Hz.
    axis : int, optional
        Axis of the channels. By default, it is the only axis of length two.

    Returns
    -------
    float
        In dB, −100 to 100, higher is better. NaN if it is undefined.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal((4, 44100))
    >>> round(bm.si_sdr(noise[:2], 2 * noise[:2] + 0.2 * noise[2:], 44100), 1)
    20.0
    """
    return single_metric("SI_SDR", reference, estimate, sample_rate, axis)
