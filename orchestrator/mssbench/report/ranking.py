"""Tables of the leaderboard: which scores may stand in one table, and in which order.

Scores share a table only if the runs have the same *setting*: the same audio, rendering, metrics and aggregate. The
order of models is their mean rank over the metrics of :data:`CRITERION`, so that no single metric decides: the mixture
as every estimate has the best spatial image and separates nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mssbench_service.stems import in_order

from ..runs.training import trained_on
from ..text import plural
from .data import ALL_STEMS
from .metrics import Metric, headline, present
from .summary import RenderingSummary, ScoreSummary, SeparatorSummary, SpeedSummary, Summary

CRITERION = ("in_place",)
"""Columns whose ranks are averaged, besides the first tables' four: SSR, SRR, ΔITD and ΔILD (the paper's if the run
has no others)."""


@dataclass
class Entry:
    """One separator in one run. `also` are further runs in which the same model was scored; the newest one counts."""

    run: Summary
    separator: SeparatorSummary
    page: str
    also: list[Summary] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._scores = {
            (one.condition, one.source, one.column): one
            for one in self.run.scores
            if one.separator == self.separator.name
        }

    @property
    def is_model(self) -> bool:
        return self.separator.kind == "model"

    @property
    def metrics(self) -> list[Metric]:
        """Headline metrics of the run."""
        return headline(used_metrics([self.run]))

    @property
    def trained_on(self) -> list[str]:
        """Tracks of the run that the model was trained on, according to its card."""
        return trained_on(self.separator.card, self.run.run.tracks)

    @property
    def speed(self) -> SpeedSummary | None:
        """The fastest device on which it ran."""
        found = [
            one for one in self.run.speeds if one.separator == self.separator.name and one.factor is not None
        ]
        return max(found, key=lambda one: one.factor or 0.0, default=None)

    def score(self, condition: str, source: str, metric: Metric) -> ScoreSummary | None:
        """Return the score of this separator in one group, None where the run has none."""
        return self._scores.get((condition, source, metric.column))

    def value(self, condition: str, source: str, metric: Metric) -> float | None:
        score = self.score(condition, source, metric)
        return None if score is None else score.median.value

    def sources(self, condition: str) -> set[str]:
        """The stems that it was scored on."""
        return {source for of, source, _ in self._scores if of == condition and source != ALL_STEMS}


@dataclass
class Row:
    """An entry in one table. `rank` is the mean rank, None for references and where a value is missing."""

    entry: Entry
    rank: float | None = None
    best: set[str] = field(default_factory=set)


@dataclass
class Table:
    """The separators of a setting by the scores of one stem, or of all stems together."""

    source: str
    models: list[Row]
    references: list[Row]


@dataclass
class Setting:
    """Runs whose scores may be compared. `facts` say what they have in common."""

    name: str
    condition: str
    facts: dict[str, str] = field(default_factory=dict)
    runs: list[Summary] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    criterion: list[Metric] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def settings_of(runs: Sequence[Summary], pages: Mapping[str, str]) -> list[Setting]:
    """The settings of `runs` with their tables. `pages` has the separators to be listed, with their pages."""
    found: dict[str, Setting] = {}
    # A run of estimates from elsewhere knows its files, but has no hash of the audio. Another run of the same may have.
    hashes = {
        _key(run, condition, by_files=True): audio
        for run in runs
        for condition, audio in run.run.audio.items()
    }
    for run in runs:
        for condition in sorted(run.run.conditions):
            audio = run.run.audio.get(condition) or hashes.get(_key(run, condition, by_files=True), "")
            setting = found.setdefault(
                _key(run, condition, audio), Setting(_name(run, condition), condition, _facts(run, condition))
            )
            setting.runs.append(run)
            setting.entries += [
                Entry(run, separator, pages[separator.name])
                for separator in run.separators
                if separator.name in pages and separator.status == "available"
            ]
    names = Counter(setting.name for setting in found.values())
    for setting in found.values():
        if names[setting.name] > 1:  # they differ in what the name does not say, such as the audio
            setting.name += f": {', '.join(run.run.id for run in setting.runs)}"
        _fill(setting)
    return list(found.values())


def used_metrics(runs: Sequence[Summary]) -> list[Metric]:
    """The metrics of `runs` in the order of reports."""
    return present({metric.column for run in runs for metric in run.metrics})


def _key(run: Summary, condition: str, audio: str = "", *, by_files: bool = False) -> str:
    """Everything that the scores of a condition depend on, except the separator.

    `audio` is the hash of the mixtures. Without it, the files and the rendering stand for them (`by_files`).
    """
    of = run.run
    rendering: list[Any] = []
    if condition != "stereo" and (by_files or not audio):
        own = _own(run, condition)
        rendering = [asdict(own)] if own else [of.profile, of.hrir and of.hrir.sha256, of.angles]
    return json.dumps(
        [
            condition, of.split, sorted(of.tracks), audio or of.files, rendering, of.stems,
            of.metrics, of.bsseval, of.aggregate, of.other, of.versions.get("evaluator", ""),
        ],
        sort_keys=True,
    )  # fmt: skip


def _own(run: Summary, condition: str) -> RenderingSummary | None:
    """How the condition was rendered, if it has settings of its own."""
    return next((one for one in run.run.renderings if one.condition == condition), None)


def _name(run: Summary, condition: str) -> str:
    tracks = plural(len(run.run.tracks), "track")
    name = f"{PurePosixPath(run.run.dataset).name} ({run.run.split}), {tracks}, {condition}"
    if own := _own(run, condition):
        name += f" ({own.hrir}, {own.placement}{', room' if own.room else ''}, {own.profile} rendering)"
    elif condition != "stereo" and run.run.hrir is not None:
        name += f" ({run.run.hrir.name}, {run.run.profile} rendering)"
    return f"{name}, {run.run.metrics} metrics, {run.run.aggregate} of frames"


def _facts(run: Summary, condition: str) -> dict[str, str]:
    of = run.run
    facts = {
        "Dataset": f"{PurePosixPath(of.dataset).name}, split {of.split}",
        "Tracks": f"{len(of.tracks)}: {', '.join(of.tracks[:5])}{', …' if len(of.tracks) > 5 else ''}",
        "Stems": ", ".join(of.stems),
        "Audio": of.audio.get(condition, "") and f"hash of the mixtures {of.audio[condition]}",
        "Metrics": f"{of.metrics}{'' if of.bsseval else ', without BSS Eval'}; {of.aggregate} of frames",
        "Evaluator": of.versions.get("evaluator", ""),
    }
    if own := _own(run, condition):
        facts |= {
            "Rendering": own.profile,
            "HRIR set": f"{own.hrir}, SHA-256 {own.hrir_sha256[:16]}…",
            "Placement": f"{own.placement}, hash {own.placements}",
            "Room": f"RT60 {own.room.rt60:g} s" if own.room else "",
        }
    elif condition != "stereo":
        facts["Rendering"] = of.profile
        facts["HRIR set"] = f"{of.hrir.name}, SHA-256 {of.hrir.sha256[:16]}…" if of.hrir else ""
        facts["Azimuths"] = f"hash {of.angles}" if of.angles else ""
    facts |= {name.replace("_", " ").capitalize(): value for name, value in of.other.items()}
    return {name: value for name, value in facts.items() if value}


def _fill(setting: Setting) -> None:
    setting.entries = _one_each(setting.entries)
    setting.metrics = [
        metric
        for metric in used_metrics(setting.runs)
        if any(entry.score(setting.condition, ALL_STEMS, metric) for entry in setting.entries)
    ]
    leading = headline(setting.metrics)
    setting.criterion = [
        metric for metric in setting.metrics if metric.column in CRITERION or metric in leading
    ]
    every = set().union(*(entry.sources(setting.condition) for entry in setting.entries))
    setting.tables = [_table(setting, source, every) for source in [ALL_STEMS, *in_order(every)]]


def _one_each(entries: Sequence[Entry]) -> list[Entry]:
    """One entry for each model: name and weights. The newest run counts."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        of = entry.separator
        found.setdefault(json.dumps([of.name, sorted(of.weights.items())]), []).append(entry)
    chosen = []
    for same in found.values():
        newest = max(same, key=lambda entry: (entry.run.run.created, entry.run.run.id))
        newest.also = [entry.run for entry in same if entry is not newest]
        chosen.append(newest)
    return chosen


def _table(setting: Setting, source: str, every: set[str]) -> Table:
    stems = {one for run in setting.runs for one in run.run.stems} & every

    def is_scored(entry: Entry) -> bool:
        # Means over all stems are compared between separators of all stems.
        scored = entry.sources(setting.condition)
        return stems <= scored if source == ALL_STEMS else source in scored

    rows = [Row(entry) for entry in setting.entries if is_scored(entry)]
    models = [row for row in rows if row.entry.is_model]
    ranks: dict[int, list[float]] = {}
    for metric in setting.metrics:
        values = [row.entry.value(setting.condition, source, metric) for row in models]
        known = [value for value in values if value is not None]
        if not known or not metric.better:
            continue
        higher = metric.better == "higher"
        for number, value in enumerate(values):
            if value is None:
                continue
            if len(models) > 1 and value == (max(known) if higher else min(known)):
                models[number].best.add(metric.column)
            if metric in setting.criterion:
                before = sum(one > value if higher else one < value for one in known)
                ranks.setdefault(number, []).append(before + (known.count(value) + 1) / 2)
    counted = max(map(len, ranks.values()), default=0)
    for number, of_model in ranks.items():
        if len(of_model) == counted:
            models[number].rank = sum(of_model) / counted

    def order(row: Row) -> tuple[Any, ...]:
        return (row.rank is None, row.rank or 0.0, row.entry.separator.name)

    return Table(
        source, sorted(models, key=order), sorted((row for row in rows if not row.entry.is_model), key=order)
    )
