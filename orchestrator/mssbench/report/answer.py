"""The answer in two sentences, made from the numbers and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from ..statistics import Estimate
from ..store import SeparatorRecord
from .analysis import Difference, ScoreTable
from .data import ALL, RunData
from .metrics import Metric

QUESTION = "Do music source separation models keep the spatial image of binaural audio?"

_ALPHA = 0.05


def answer(data: RunData, table: ScoreTable, shifts: Sequence[Difference]) -> list[str]:
    """Two sentences: how large the error is on binaural audio, and how it compares with stereo.

    Without any model the reference separators speak, and the sentence says so.
    """
    subjects, name = _subjects(data)
    condition = "binaural" if "binaural" in data.conditions else data.conditions[0]
    cues = [metric for metric in data.headline if metric.role in ("itd", "ild")] or data.headline[:1]
    scored = [
        one for one in subjects
        if cues and all(table.get(condition, one.name, ALL, metric).estimate.n for metric in cues)
    ]  # fmt: skip
    if not scored:
        return [
            "This run cannot answer the question yet: no model or reference separator has a score on "
            f"{condition} audio.",
            _progress(data),
        ]
    return [_size(scored, name, condition, cues, table), _change(scored, data, shifts)]


def _subjects(data: RunData) -> tuple[list[SeparatorRecord], str]:
    if data.models:
        return data.models, "model"
    return data.compared, "reference separator"


def _size(
    scored: Sequence[SeparatorRecord], name: str, condition: str, cues: Sequence[Metric], table: ScoreTable
) -> str:
    # The best is the one whose worst rank over the cues is best: no metric is traded for another.
    def rank(one: SeparatorRecord, metric: Metric) -> int:
        mine = table.get(condition, one.name, ALL, metric).estimate.value
        return sum(
            metric.is_worse(mine, table.get(condition, other.name, ALL, metric).estimate.value)
            for other in scored
        )

    best = min(scored, key=lambda one: (max(rank(one, metric) for metric in cues), scored.index(one)))
    estimates = [(metric, table.get(condition, best.name, ALL, metric).estimate) for metric in cues]
    tracks = max(estimate.tracks for _, estimate in estimates)
    where = f"On {condition} audio ({tracks} track{'s' if tracks != 1 else ''}, all stems)"
    if len(scored) == 1:
        medians = " and ".join(f"{with_interval(metric, e)} in {metric.label}" for metric, e in estimates)
        subject = f"{where}, the only {name}, {best.name}, has median errors of {medians}"
    else:
        ranges = " and ".join(_range(metric, condition, scored, table) for metric in cues)
        medians = " and ".join(with_interval(metric, e) for metric, e in estimates)
        subject = (
            f"{where}, the median errors of {len(scored)} {name}s are {ranges}; "
            f"{best.name} has the smallest, {medians}"
        )
    no_models = " (there is no model in this run)" if name != "model" else ""
    return subject + no_models + "."


def _range(metric: Metric, condition: str, scored: Sequence[SeparatorRecord], table: ScoreTable) -> str:
    values = [table.get(condition, one.name, ALL, metric).estimate.value for one in scored]
    return f"{metric.format(min(values))} to {metric.format(max(values))} {metric.unit} in {metric.label}"


def _change(scored: Sequence[SeparatorRecord], data: RunData, shifts: Sequence[Difference]) -> str:
    names = {one.name for one in scored}
    spatial = [
        shift for shift in shifts
        if shift.condition in names and shift.metric.role == "spatial" and shift.paired.difference.n
    ]  # fmt: skip
    if not spatial:
        return (
            f"The run has only the {data.conditions[0]} condition, so it does not say how that compares."
            if len(data.conditions) == 1
            else "No track was scored under both conditions, so the run does not say how stereo compares."
        )
    metric = spatial[0].metric
    lowest = min(spatial, key=lambda shift: shift.paired.difference.value)
    highest = max(spatial, key=lambda shift: shift.paired.difference.value)
    clear = sum(shift.p_holm < _ALPHA for shift in spatial)
    change = f"{_signed(metric, lowest.paired.difference)} ({lowest.condition})"
    if len(spatial) > 1:
        change += f" to {_signed(metric, highest.paired.difference)} ({highest.condition})"
    brackets = "; brackets are 95\u00a0% intervals" if "[" in change else ""
    return (
        f"From stereo to binaural, the same tracks’ {metric.label} changes by {change}, which the "
        f"signed-rank tests tell from chance for {clear or 'none'} of {len(spatial)} (5\u00a0%, Holm over "
        f"{len(shifts)} tests{brackets})."
    )


def _progress(data: RunData) -> str:
    totals = data.totals()
    ended = totals.expected - totals.pending
    return f"{ended} of {totals.expected} stems have ended, {totals.failed} of them in failure."


def with_interval(metric: Metric, estimate: Estimate) -> str:
    """``12.3 µs [10.1, 15.0]``."""
    text = f"{metric.format(estimate.value)}\u00a0{metric.unit}".rstrip()
    if estimate.low != estimate.low:  # NaN: one track has no interval
        return text
    return f"{text} [{metric.format(estimate.low)}, {metric.format(estimate.high)}]"


def _signed(metric: Metric, estimate: Estimate) -> str:
    sign = "+" if estimate.value > 0 else ""
    return sign + with_interval(metric, estimate)
