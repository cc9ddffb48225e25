"""The answer of a run in one sentence, and the note on its intervals, both generated from the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ..runs.records import SeparatorRecord
from ..text import plural
from .data import ALL_STEMS, RunData, source_name
from .metrics import Metric
from .scores import Difference, ScoreTable
from .statistics import Estimate, fewest_tracks

QUESTION = "Does separated music stay where it was?"

_ALPHA = 0.05


def answer(data: RunData, table: ScoreTable, differences: Sequence[Difference]) -> list[str]:
    """Return the answer in one sentence, and a note with its intervals and its evidence.

    The answer is about the trained models of the run, with the best reference separator for comparison; without a
    model, about the reference separators. It has the medians in each condition, and the `differences` of the conditions
    from the baseline.
    """
    metrics = leading(data)
    scored = [
        one for one in data.compared
        if metrics and all(table.get(data.main, one.name, ALL_STEMS, metric).estimate.n for metric in metrics)
    ]  # fmt: skip
    models = [one for one in scored if one in data.models]
    if not scored or (data.models and not models):
        subject = "no model" if data.models else "no model or reference separator"
        return [
            f"This run cannot answer the question yet: {subject} has a score on {data.main} audio.",
            _progress(data),
        ]
    text = _Text(data, table, metrics)
    references = [one for one in scored if one not in models]
    given = [one for one in references if one.needs_references]
    unprocessed = [one for one in references if not one.needs_references]
    if models:
        best = text.best(models)
        sentence = text.subject(models)
        compared = [best, *given[:1]]
        if given:
            sentence += f"; {given[0].name}, which is given the true stems, {text.keeps(given[0], like=best)}"
    else:
        best = text.best(given or references)
        sentence = (
            f"No trained model is in this run. Of its reference separators, {best.name} {text.keeps(best)}"
        )
        compared = [best, *(one for one in given[:1] if one != best)]
        sentence += "".join(f"; {one.name} {text.keeps(one, like=best)}" for one in compared[1:])
        if unprocessed and best not in unprocessed:
            sentence += f"; the unprocessed mixture {text.keeps(unprocessed[0], like=best)}"
    return [f"{sentence[0].upper()}{sentence[1:]}.", text.note(compared, differences)]


def leading(data: RunData) -> list[Metric]:
    """Return the metrics of the answer: what stays in place, or the errors of the cues where a run lacks it."""
    place = [metric for metric in data.headline if metric.role == "place"]
    return place or [metric for metric in data.headline if metric.role in ("itd", "ild")] or data.headline[:1]


class _Text:
    """Sentences about the medians of separators in each condition."""

    def __init__(self, data: RunData, table: ScoreTable, metrics: Sequence[Metric]) -> None:
        self.data, self.table, self.metrics = data, table, metrics
        self.conditions = [data.main, *(one for one in data.conditions if one != data.main)]

    def value(self, separator: SeparatorRecord, metric: Metric, condition: str = "") -> Estimate:
        return self.table.get(condition or self.data.main, separator.name, ALL_STEMS, metric).estimate

    def best(self, separators: Sequence[SeparatorRecord]) -> SeparatorRecord:
        """Return the best in the first of the metrics."""
        sign = -1 if self.metrics[0].better == "higher" else 1
        return min(separators, key=lambda one: sign * self.value(one, self.metrics[0]).value)

    def subject(self, models: Sequence[SeparatorRecord]) -> str:
        """Return the clause about the models: the best one, and the range of the others."""
        best = self.best(models)
        scored = " with a score" if len(models) == 1 else " with scores"
        scored = scored if len(models) < len(self.data.models) else ""
        if len(models) == 1:
            return f"the only model{scored}, {best.name}, {self.keeps(best)}"
        metric = self.metrics[0]
        values = [self.value(one, metric).value for one in models if one != best]
        low, high = (self._number(metric, value) for value in (min(values), max(values)))
        span = low if low == high else f"{low} to {high}"
        others = f"the other{'s' if len(values) > 1 else ''} {span}\u00a0{metric.unit}"
        if metric.role != "place":
            others += f" in {metric.label}"
        others += _where(self.data.main)
        return f"the best of {len(models)} models{scored}, {best.name}, {self.keeps(best)} ({others})"

    def keeps(self, one: SeparatorRecord, like: SeparatorRecord | None = None) -> str:
        """Return the predicate of a separator: what it keeps in place, or its errors."""
        if self.metrics[0].role == "place":
            sound = "" if like else f" of the {self._sound()} in place"
            return f"keeps {self.values(one, like).replace('%', f'%{sound}', 1)}"
        return f"has median errors of {self.values(one, like)}"

    def _sound(self) -> str:
        """Return what the values are about: the sound of all stems, or the names of some."""
        scope = self.data.scope
        return scope.removesuffix(" only") if scope.endswith(" only") else "sound"

    def values(self, one: SeparatorRecord, like: SeparatorRecord | None = None) -> str:
        """Return the medians in each condition, without their names if they are those of `like`."""
        own = self._conditions(one)
        named = like is None or own != self._conditions(like)
        first, rest = _split(own)
        parts = [
            self._medians(one, [condition]) + (_where(condition) if named else "") for condition in first
        ]
        if rest:
            others = f" in the {len(rest)} other conditions" if named else ""
            parts.append(self._medians(one, rest) + others)
        return _listed(parts)

    def _medians(self, one: SeparatorRecord, conditions: Sequence[str]) -> str:
        """Return the median of each metric, or its range over several conditions."""
        found = []
        for metric in self.metrics:
            values = [self.value(one, metric, condition).value for condition in conditions]
            ends = dict.fromkeys(self._number(metric, value) for value in (min(values), max(values)))
            text = f"{' to '.join(ends)}\u00a0{metric.unit}"
            found.append(text if metric.role == "place" else f"{text} in {metric.label}")
        return _listed(found)

    def _conditions(self, one: SeparatorRecord) -> list[str]:
        """Return the conditions in which a separator has all values."""
        return [
            condition
            for condition in self.conditions
            if all(self.value(one, metric, condition).n for metric in self.metrics)
        ]

    def _number(self, metric: Metric, value: float) -> str:
        return f"{value:.0f}" if metric.role == "place" else metric.format(value)

    def note(self, shown: Sequence[SeparatorRecord], differences: Sequence[Difference]) -> str:
        """Return the intervals of the separators in `shown`, and the paired change between conditions of the first."""
        tracks = max(self.value(one, metric).tracks for one in shown for metric in self.metrics)
        text = f"Medians over {plural(tracks, 'track')}, {self.data.scope}."
        intervals = [
            f"{one.name} "
            + _listed([f"{_span(metric, found)}{_where(condition)}" for condition, metric, found in spans])
            for one in shown
            if (spans := [
                (condition, metric, found)
                for condition in _split(self._conditions(one))[0]
                for metric in self.metrics
                if (found := self.value(one, metric, condition)).low == found.low
            ])
        ]  # fmt: skip
        if intervals:
            text += f" 95\u00a0% intervals: {'; '.join(intervals)}."
        if self.metrics[0].role == "place":
            text += self._by_stem(shown[0])
        return f"{text} {self._changes(shown[0], differences)}"

    def _by_stem(self, one: SeparatorRecord) -> str:
        found = [
            f"{source_name(stem).lower()} {estimate.value:.0f}\u00a0%"
            for stem in self.data.targets
            if (estimate := self.table.get(self.data.main, one.name, stem, self.metrics[0]).estimate).n
        ]
        return f" {one.name} by stem{_where(self.data.main)}: {', '.join(found)}." if len(found) > 1 else ""

    def _changes(self, one: SeparatorRecord, differences: Sequence[Difference]) -> str:
        if len(self.data.conditions) == 1:
            only = self.data.conditions[0]
            return f"The run has only the {only} condition, so conditions cannot be compared."
        shown = [
            d for d in differences if d.within == one.name and d.metric in self.metrics and d.paired.test.n
        ]
        if not shown:
            return "No track has scores in two conditions, so they cannot be compared."
        first = _split(self._conditions(one))[0]
        shown = [d for d in shown if d.first in first] or shown[:1]
        changes = _listed([
            f"{_signed(d.metric, d.paired.difference.value)} in {_lower(d.metric.label)} to {d.first}"
            for d in shown
        ])  # fmt: skip
        return f"Paired change from {self.data.baseline}: {changes}, {_evidence(shown, len(differences))}."


def _evidence(shown: Sequence[Difference], tests: int) -> str:
    tracks = max(d.paired.test.n for d in shown)
    needed = fewest_tracks(tests, _ALPHA)
    if tracks < needed:
        return (
            f"not significant with {plural(tracks, 'track')} (signed-rank tests at 5\u00a0%, Holm "
            f"over {tests}: at least {needed} tracks are needed)"
        )
    significant = sum(d.p_holm < _ALPHA for d in shown)
    verdict = "significant" if significant else "not significant"
    if 0 < significant < len(shown):
        verdict += f" for {significant}"
    return f"{verdict} (signed-rank tests at 5\u00a0%, Holm over {tests})"


def _split(conditions: list[str]) -> tuple[list[str], list[str]]:
    """Return the conditions that are named, and the others: a sentence can name three, or two and the rest."""
    return (conditions, []) if len(conditions) <= 3 else (conditions[:2], conditions[2:])


def _where(condition: str) -> str:
    return {"stereo": " in stereo", "binaural": " on binaural audio"}.get(condition, f" in {condition}")


def _lower(label: str) -> str:
    return "place" if label == "In place" else label


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _plain(metric: Metric, value: float) -> str:
    return f"{metric.format(value)}\u00a0{metric.unit}".rstrip()


def _signed(metric: Metric, value: float) -> str:
    unit = "percentage points" if metric.unit == "%" else metric.unit
    return f"{'+' if value > 0 else ''}{metric.format(value)}\u00a0{unit}".rstrip()


def _span(metric: Metric, estimate: Estimate) -> str:
    text = f"{metric.format(estimate.low)} to {metric.format(estimate.high)}\u00a0{metric.unit}".rstrip()
    return text if metric.role == "place" else f"{metric.label} {text}"


def _progress(data: RunData) -> str:
    totals = data.totals()
    finished = totals.expected - totals.pending
    return f"{finished} of {totals.expected} stems are finished; {totals.failed} of them failed."


def with_interval(metric: Metric, estimate: Estimate, *, signed: bool = False) -> str:
    """Return a value with unit and interval, such as ``12.3 µs [10.1, 15.0]``; `signed` puts a plus before it."""
    text = ("+" if signed and estimate.value > 0 else "") + _plain(metric, estimate.value)
    if estimate.low != estimate.low:  # NaN: one track has no interval
        return text
    return f"{text} [{metric.format(estimate.low)}, {metric.format(estimate.high)}]"
