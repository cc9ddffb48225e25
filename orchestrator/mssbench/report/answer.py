"""The answer of a run in two sentences, generated from its numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..runs.conditions import STEREO
from ..runs.records import SeparatorRecord
from .data import ALL_STEMS, RunData
from .metrics import Metric
from .scores import Difference, ScoreTable
from .statistics import Estimate, fewest_tracks

QUESTION = "Do music source separation models keep the spatial image of binaural audio?"

_ALPHA = 0.05


def answer(data: RunData, table: ScoreTable, differences: Sequence[Difference]) -> list[str]:
    """Return sentences: the size of the errors in each rendered condition, and each change from the first condition.

    They are about the models of the run; without a model, about its reference separators.

    Parameters
    ----------
    data : RunData
    table : ScoreTable
        Medians of the run.
    differences : sequence of Difference
        Comparisons of the other conditions with the first.
    """
    subjects, name = _subjects(data)
    rendered = [condition for condition in data.conditions if condition != STEREO] or data.conditions[:1]
    cues = [metric for metric in data.headline if metric.role in ("itd", "ild")] or data.headline[:1]
    scored = {
        condition: [
            one for one in subjects
            if cues and all(table.get(condition, one.name, ALL_STEMS, metric).estimate.n for metric in cues)
        ]
        for condition in rendered
    }  # fmt: skip
    if not any(scored.values()):
        return [
            "This run cannot answer the question yet: no model or reference separator has a score on "
            f"{' or '.join(rendered)} audio.",
            _progress(data),
        ]
    sizes = [_size(some, name, condition, cues, table) for condition, some in scored.items() if some]
    names = {one.name for some in scored.values() for one in some}
    return [*sizes, *_changes(names, data, differences)]


def _subjects(data: RunData) -> tuple[list[SeparatorRecord], str]:
    if data.models:
        return data.models, "model"
    return data.compared, "reference separator"


def _size(
    scored: Sequence[SeparatorRecord], name: str, condition: str, cues: Sequence[Metric], table: ScoreTable
) -> str:
    def estimate(one: SeparatorRecord, metric: Metric) -> Estimate:
        return table.get(condition, one.name, ALL_STEMS, metric).estimate

    tracks = max(estimate(one, metric).tracks for one in scored for metric in cues)
    where = f"On {condition} audio ({tracks} track{'s' if tracks != 1 else ''}, all stems)"
    aside = "" if name == "model" else " (there is no model in this run)"
    if len(scored) == 1:
        medians = " and ".join(f"{with_interval(m, estimate(scored[0], m))} in {m.label}" for m in cues)
        return f"{where}, the only {name}, {scored[0].name}, has median errors of {medians}{aside}."
    ranges = " and ".join(_range([estimate(one, m).value for one in scored], m) for m in cues)
    best = [_best(scored, metric, [estimate(one, metric).value for one in scored]) for metric in cues]
    if len({one.name for one in best}) == 1:
        smallest = f"{best[0].name} has the smallest, "
        smallest += " and ".join(with_interval(m, estimate(best[0], m)) for m in cues)
    else:
        smallest = "the smallest are those of " + " and ".join(
            f"{one.name} in {m.label} ({with_interval(m, estimate(one, m))})"
            for one, m in zip(best, cues, strict=True)
        )
    return f"{where}, the median errors of {len(scored)} {name}s are {ranges}; {smallest}{aside}."


def _best(scored: Sequence[SeparatorRecord], metric: Metric, values: Sequence[float]) -> SeparatorRecord:
    return scored[values.index((max if metric.better == "higher" else min)(values))]


def _range(values: Sequence[float], metric: Metric) -> str:
    low, high = metric.format(min(values)), metric.format(max(values))
    span = low if low == high else f"{low} to {high}"
    return f"{span}\u00a0{metric.unit} in {metric.label}"


def _changes(names: Collection[str], data: RunData, differences: Sequence[Difference]) -> list[str]:
    reference, *others = data.conditions
    if not others:
        return [
            f"The run has only the {reference} condition, so stereo and binaural audio cannot be compared."
        ]
    return [_change(names, reference, condition, differences) for condition in others]


def _change(names: Collection[str], reference: str, condition: str, differences: Sequence[Difference]) -> str:
    """Change of SSR and SRR. Both are needed: an estimate that separates nothing keeps the spatial image."""
    by_metric: dict[Metric, list[Difference]] = {}
    for d in differences:
        of_models = d.within in names and d.metric.role in ("spatial", "residual")
        if of_models and d.first == condition and d.paired.test.n:
            by_metric.setdefault(d.metric, []).append(d)
    if not by_metric:
        return f"No track has scores in both conditions, so {reference} and {condition} audio cannot be compared."
    changes = " and ".join(_span(metric, found) for metric, found in by_metric.items())
    brackets = "; brackets are 95\u00a0% intervals" if "[" in changes else ""
    evidence = _evidence(by_metric, len(differences))
    return f"From {reference} to {condition}, the median change of the same tracks is {changes}, {evidence}{brackets})."


def _span(metric: Metric, differences: Sequence[Difference]) -> str:
    lowest = min(differences, key=lambda d: d.paired.difference.value)
    highest = max(differences, key=lambda d: d.paired.difference.value)
    text = _signed(metric, lowest.paired.difference)
    if len(differences) > 1:
        text += f" ({lowest.within}) to {_signed(metric, highest.paired.difference)} ({highest.within})"
    return f"{text} in {metric.label}"


def _evidence(by_metric: Mapping[Metric, Sequence[Difference]], tests: int) -> str:
    tracks = max(d.paired.test.n for found in by_metric.values() for d in found)
    needed = fewest_tracks(tests, _ALPHA)
    if tracks < needed:
        return (
            f"which is not significant with {tracks} track{'s' if tracks != 1 else ''} (5\u00a0%, Holm over "
            f"{tests} signed-rank tests: at least {needed} tracks are needed"
        )
    clear = " and ".join(
        f"{sum(d.p_holm < _ALPHA for d in found)} of {len(found)} in {metric.label}"
        for metric, found in by_metric.items()
    )
    return f"significant for {clear} (5\u00a0%, Holm over {tests} signed-rank tests"


def _progress(data: RunData) -> str:
    totals = data.totals()
    finished = totals.expected - totals.pending
    return f"{finished} of {totals.expected} stems are finished; {totals.failed} of them failed."


def with_interval(metric: Metric, estimate: Estimate) -> str:
    """Return a value with unit and interval, such as ``12.3 µs [10.1, 15.0]``."""
    text = f"{metric.format(estimate.value)}\u00a0{metric.unit}".rstrip()
    if estimate.low != estimate.low:  # NaN: one track has no interval
        return text
    return f"{text} [{metric.format(estimate.low)}, {metric.format(estimate.high)}]"


def _signed(metric: Metric, estimate: Estimate) -> str:
    sign = "+" if estimate.value > 0 else ""
    return sign + with_interval(metric, estimate)
