"""The registry of metrics. One entry declares all properties of a metric.

Score tables, the wire format of the evaluator, the results of a run, its report and the table in ``docs/metrics.md``
read the entries from here. To add a metric, add an entry to a module of :mod:`binaural_metrics.catalog`; to try one
out without changing the package, call :func:`register`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from .sets import METRIC_SETS
from .signals import BoolArray, Float64, InputError

if TYPE_CHECKING:
    from .stem import Stem

KEY_COLUMNS, STATUS_COLUMNS = ("source",), ("status", "reason")


@dataclass(frozen=True)
class Frames:
    """The values of frames behind one value of a stem.

    Attributes
    ----------
    values, start_s, weights : ndarray, shape (frames,)
        Value, start in s and weight of each frame.
    counted : ndarray of bool, shape (frames,)
        Which frames the value of the stem is computed from.
    aggregate : str
        How it is computed from them, "median" for example.
    total : int
        Number of all frames, including those that are not listed.
    """

    values: Float64
    start_s: Float64
    weights: Float64
    counted: BoolArray
    aggregate: str
    total: int

    @classmethod
    def of(
        cls,
        values: Float64,
        start_s: Float64,
        aggregate: str,
        *,
        weights: Float64 | None = None,
        counted: BoolArray | None = None,
        total: int | None = None,
    ) -> Frames:
        """Frames of weight 1 that all count, unless given otherwise."""
        count = len(values)
        return cls(
            values,
            start_s,
            np.ones(count) if weights is None else weights,
            np.ones(count, bool) if counted is None else counted,
            aggregate,
            count if total is None else total,
        )


@dataclass(frozen=True)
class Value:
    """A metric of one stem: a number, a nested list of numbers, or None with the `reason`."""

    value: float | int | list[list[float]] | None
    reason: str = ""
    frames: Frames | None = None


@dataclass(frozen=True)
class Metric:
    """Everything about one metric.

    Attributes
    ----------
    column : str
        Name in every table of scores.
    compute : callable
        Takes a :class:`~binaural_metrics.stem.Stem` and returns a :class:`Value`, or None where the metric does not
        apply to the stem. Raises :class:`InputError` where the stem cannot be scored at all.
    text : str
        What it measures, in one or two sentences.
    unit : str
        Empty for a pure number.
    better : {"higher", "lower", ""}
        Direction; empty where neither is better.
    low, high : float or None
        Range of the values; None where it is open.
    perfect : float or None
        Value of a perfect estimate; None where there is none.
    sets : tuple of {"corrected", "paper"}
        Metric sets that contain it.
    label : str
        Short name in reports and figures. Empty for columns that only tables have.
    group : {"corrected", "paper", "standard"}
        Group in reports.
    group_order : int
        Sorts the metrics of a group. Metrics of the same order keep the order of registration.
    decimals : int
        Digits after the point in reports.
    role : {"place", "spatial", "residual", "itd", "ild", ""}
        Question of the first tables that it answers. Metrics of one role are alternatives.
    paper_table, paper_name : str
        Result file of the paper and the column there; empty if it has none.
    binaural_only : bool
        Whether it is meaningful only for binaural tracks.
    needs_hrir : bool
        Whether it needs an HRIR set. :func:`binaural_metrics.score` omits it without one.
    whole_track : bool
        Whether it needs all stems of the track.
    several_stems : bool
        Whether it is meaningful only for several stems. :func:`binaural_metrics.score` omits it for a single stem.
    option : str
        Option of :func:`~binaural_metrics.scoring.score_track` that has to be true, or given: "bsseval" or "dry".
    matrix : bool
        Whether the value is a nested list of numbers.
    """

    column: str
    compute: Callable[[Stem], Value | None]
    text: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    low: float | None = None
    high: float | None = None
    perfect: float | None = None
    sets: tuple[str, ...] = ("corrected",)
    label: str = ""
    group: Literal["corrected", "paper", "standard"] = "corrected"
    group_order: int = 0
    decimals: int = 2
    role: str = ""
    paper_table: str = ""
    paper_name: str = ""
    binaural_only: bool = False
    needs_hrir: bool = False
    whole_track: bool = False
    several_stems: bool = False
    option: str = ""
    matrix: bool = False

    @property
    def range(self) -> str:
        """Range as text: "−80 … 80", "0 …" or empty."""
        ends = [_number(end) for end in (self.low, self.high)]
        return "" if not any(ends) else " … ".join(ends).strip()


error_metric = partial(Metric, better="lower", low=0, perfect=0)
"""Entry of a metric of an error: lower is better, and 0 is perfect."""

_METRICS: dict[str, Metric] = {}


def register(*metrics: Metric) -> None:
    """Add metrics: from now on they are scored, and are in every table and report.

    Parameters
    ----------
    *metrics : Metric

    Raises
    ------
    ValueError
        The column name is taken, or the metric is in no set.
    """
    for metric in metrics:
        if metric.column in (*_METRICS, *KEY_COLUMNS, *STATUS_COLUMNS, "title"):
            raise ValueError(f"there is already a column {metric.column!r}; expected another name")
        if not metric.sets or not set(metric.sets) <= {"corrected", "paper"}:
            raise ValueError(
                f"metric sets {metric.sets!r} of {metric.column!r}; expected corrected, paper or both"
            )
        _METRICS[metric.column] = metric


@contextmanager
def registered(metric: Metric) -> Iterator[Metric]:
    """Register `metric` inside a ``with`` block only."""
    register(metric)
    try:
        yield metric
    finally:
        del _METRICS[metric.column]


def metrics() -> tuple[Metric, ...]:
    """All metrics, in the order in which they are computed."""
    from . import catalog  # noqa: F401  # registers the metrics of this package

    return tuple(_METRICS.values())


def check_metric_set(name: str) -> str:
    """Return `name` if it is a metric set, else raise :class:`InputError`."""
    if name not in METRIC_SETS:
        raise InputError(f"unknown metrics {name!r}; expected one of {', '.join(METRIC_SETS)}")
    return name


def columns(metric_set: str = "all") -> tuple[str, ...]:
    """Columns of a table of scores, in order.

    Parameters
    ----------
    metric_set : {"corrected", "paper", "all"}

    Returns
    -------
    tuple of str
        ``source``, the metrics of the corrected set, those of the paper set, those of both, ``status``, ``reason``.

    Examples
    --------
    >>> from binaural_metrics.registry import columns
    >>> columns("paper")[:4]
    ('source', 'paper_SSR', 'paper_SRR', 'paper_cost')
    """
    wanted = {"corrected", "paper"} if check_metric_set(metric_set) == "all" else {metric_set}
    order = [("corrected",), ("paper",)]
    chosen = [metric for metric in metrics() if wanted & set(metric.sets)]
    chosen.sort(key=lambda metric: order.index(metric.sets) if metric.sets in order else len(order))
    return (*KEY_COLUMNS, *(metric.column for metric in chosen), *STATUS_COLUMNS)


def reported() -> tuple[Metric, ...]:
    """The metrics that reports show, in their order there."""
    groups = ("corrected", "paper", "standard")
    shown = [metric for metric in metrics() if metric.label]
    return tuple(sorted(shown, key=lambda metric: (groups.index(metric.group), metric.group_order)))


def markdown_table() -> str:
    """Return the table of all metrics for ``docs/metrics.md``."""
    lines = ["| column | unit | range | perfect | what it measures |", "|---|---|---|---|---|"]
    by_column = {metric.column: metric for metric in metrics()}
    for column in columns():
        if metric := by_column.get(column):
            cells = (f"`{column}`", metric.unit or "–", metric.range or "–", _number(metric.perfect) or "–")
            lines.append(f"| {' | '.join(cells)} | {metric.text} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}".replace("-", "−")
