"""Single metrics of one stem as the paper computes them [1]_.

Signals have the shape (2, samples) or (samples, 2), left channel first, floating point with full scale ±1. They are one
second long at least. Every function returns a float, or NaN if the metric is undefined for the signals (the result of
:func:`binaural_metrics.score` has the reason).

References
----------
.. [1] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
   Information in Binaural Audio?," International Society for Music Information Retrieval Conference
   (ISMIR), 2025. arXiv:2507.00155.
"""

from __future__ import annotations

import numpy.typing as npt

from .single import single_metric


def paper_ssr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute SSR as the released SPAUQ software does, and the paper [1]_.

    It does not detect swapped channels.

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
        In dB, −80 to 80, higher is better.

    Raises
    ------
    ValueError
        A signal is unusable.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> source = np.random.default_rng(0).standard_normal((2, 44100))
    >>> bm.paper_ssr(source, source[::-1], 44100) > bm.ssr(source, source[::-1], 44100)
    True
    """
    return single_metric("paper_SSR", reference, estimate, sample_rate, axis)


def paper_srr(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute SRR as the released SPAUQ software does, and the paper [1]_.

    A pure delay counts as residual.

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
        In dB, −80 to 80, higher is better.

    Raises
    ------
    ValueError
        A signal is unusable.
    """
    return single_metric("paper_SRR", reference, estimate, sample_rate, axis)


def paper_itd_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the difference of the interaural time differences as the paper does [1]_.

    They are found by GCC-PHAT, in whole samples (:mod:`binaural_metrics.interaural`).

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
    """
    return single_metric("paper_diff_ITD", reference, estimate, sample_rate, axis)


def paper_ild_difference(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, axis: int | None = None
) -> float:
    """Compute the difference of the broadband interaural level differences as the paper does [1]_.

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
        In dB, lower is better. NaN if a channel is silent.

    Raises
    ------
    ValueError
        A signal is unusable.
    """
    return single_metric("paper_diff_ILD", reference, estimate, sample_rate, axis)
