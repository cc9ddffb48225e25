"""The value of one metric of one stem."""

from __future__ import annotations

import numpy.typing as npt

from .cues import HrirSet
from .registry import metrics
from .shapes import check_pairs
from .signals import InputError
from .spauq import check_gain
from .stem import Options, Stem
from .threads import one_blas_thread


@one_blas_thread
def single_metric(
    column: str,
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    axis: int | None,
    mixture_gain: float = 1.0,
    hrir: HrirSet | None = None,
) -> float:
    """Value of the metric in the column `column`, NaN if it is undefined. Raises ValueError for unusable arguments."""
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
