"""Score separated stems held in arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

import numpy.typing as npt

from .arrays import on_device
from .cues import HrirSet
from .registry import KEY_COLUMNS, check_metric_set, columns
from .registry import metrics as all_metrics
from .results import Scores, scores_of
from .reuse import NO_CACHE, ReferenceCache
from .scoring import score_track
from .shapes import Signals, channels_first, check_pairs, dry_stems
from .signals import InputError


def score(
    reference: Signals,
    estimate: Signals,
    sample_rate: int,
    metrics: str = "corrected",
    hrir: HrirSet | None = None,
    *,
    axis: int | None = None,
    mixture_gain: float = 1.0,
    bsseval: bool = True,
    aggregate: str = "median",
    workers: int | None = None,
    mixture: npt.ArrayLike | None = None,
    dry: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    cache: ReferenceCache = NO_CACHE,
    device: str | None = None,
) -> Scores:
    """Score one separated stem, or all stems of a track.

    Parameters
    ----------
    reference : array_like or mapping of str to array_like
        The true stem, or stems. One stem has the shape (2, samples) or (samples, 2), left channel first; several are
        a mapping of names to stems, or an array of shape (stems, 2, samples) or (stems, samples, 2). Floating point,
        full scale ±1.
    estimate : array_like or mapping of str to array_like
        The separated stem or stems: the same names or order, and the same length.
    sample_rate : int
        Sample rate in Hz.
    metrics : {"corrected", "paper", "all"}
        Set of metrics. The corrected metrics follow their published equations; the paper's reproduce the numbers of
        [1]_. See :func:`binaural_metrics.metrics` for what each measures.
    hrir : HrirSet, optional
        Head-related impulse responses that the stems were rendered with, for example :class:`Hrirs`. Needed for the
        azimuth of the corrected metrics, which is left out otherwise.
    axis : int, optional
        Axis of the channels. By default it is the only axis of length two.
    mixture_gain : float
        Gain of the separated mixture over the sum of the references, where the mixture was stored with one. The
        corrected metrics compare with `mixture_gain` × reference.
    bsseval : bool
        Whether to compute SDR, ISR, SIR and SAR, which cost most. SIR and SAR concern the other stems of the track;
        they are left out where only one stem is given.
    aggregate : {"median", "mean"}
        How the score of a stem is computed from the values of its frames.
    workers : int, optional
        Number of threads; every core by default. It does not change the result.
    mixture : array_like, shape (2, samples) or (samples, 2), optional
        The separated mixture, for the leakage where a stem is silent. By default it is `mixture_gain` × the sum of
        the references, if there are several.
    dry : array_like or mapping of str to array_like, optional
        The signals that were rendered to the references, each of shape (samples,) or with two channels, of which the
        mean was rendered. One signal, or a mapping or an array of several as `reference`. Needed for the place and the
        timbre of the effective response (:mod:`binaural_metrics.response`), which are left out otherwise.
    cache : ReferenceCache, optional
        Keeps what depends on the references alone, for further estimates of them. It does not change the result.
    device : str, optional
        A device of PyTorch to compute on, such as "cuda" (:func:`binaural_metrics.on_device`). By default the metrics
        are computed with NumPy.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        An argument that cannot be used: an ambiguous shape, not two channels, NaN, signals of different lengths or
        shorter than one second, an impossible sample rate, a device that is not there.

    References
    ----------
    .. [1] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
       Information in Binaural Audio?," International Society for Music Information Retrieval Conference
       (ISMIR), 2025. arXiv:2507.00155.

    Examples
    --------
    >>> import numpy as np
    >>> import binaural_metrics as bm
    >>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 88200))
    >>> scores = bm.score(reference, 0.5 * reference, 44100)
    >>> round(scores["SSR"], 2), round(scores["level_db"], 2), round(scores["d_ild_db"], 2)
    (6.02, -6.02, 0.0)

    Several stems, samples first as soundfile reads them:

    >>> stems = {"vocals": reference.T, "bass": np.roll(reference, 1000).T}
    >>> scores = bm.score(stems, stems, 44100, metrics="paper")
    >>> scores["paper_SSR"]
    {'vocals': 80.0, 'bass': 80.0}
    """
    true, found, rate = check_pairs(reference, estimate, sample_rate, axis)
    _check_options(mixture_gain, workers)
    check_metric_set(metrics)
    single = not isinstance(reference, Mapping) and list(true) == ["stem"]
    with on_device(device):
        rows, frames = score_track(
            true,
            found,
            rate,
            metrics=metrics,
            mixture_gain=mixture_gain,
            hrir=hrir,
            bsseval=bsseval,
            aggregate=aggregate,
            workers=workers,
            mixture=None if mixture is None else channels_first(mixture, "mixture", axis),
            cache=cache,
            dry=None if dry is None else dry_stems(dry, list(true), single=single, axis=axis),
        )
    computed = computed_columns(
        metrics, stems=len(true), azimuth=hrir is not None, bsseval=bsseval, dry=dry is not None
    )
    return scores_of(rows, frames, computed, single=single)


def computed_columns(
    metric_set: str, *, stems: int, azimuth: bool, bsseval: bool, dry: bool = False
) -> tuple[str, ...]:
    """Columns of the metrics that are computed, in order, with ``status`` and ``reason``."""
    left_out = {
        metric.column
        for metric in all_metrics()
        if (metric.needs_hrir and not azimuth)
        or (metric.option == "bsseval" and not bsseval)
        or (metric.option == "dry" and not dry)
        or metric.option == "moving"
        or (metric.several_stems and stems < 2)
    }
    return tuple(c for c in columns(metric_set) if c not in left_out and c not in KEY_COLUMNS)


def _check_options(mixture_gain: object, workers: object) -> None:
    if not isinstance(mixture_gain, Real) or not math.isfinite(mixture_gain):
        raise InputError(f"mixture gain {mixture_gain!r}; expected a number")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise InputError(f"workers {workers!r}; expected a number of threads, or None for every core")
