"""The numbers of the report: medians, comparisons, the self-check, the mixture's gain, speed.

Pure functions from :class:`~mssbench.report.data.RunData` to small records; nothing here knows of pages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..runs.records import Cell, SeparatorRecord
from . import statistics
from .data import ALL, STEMS, Counts, RunData
from .metrics import ITD_LIMIT_US, Metric, by_column

SOURCES = (*STEMS, ALL)
"""Rows of the tables: every stem, then the stems together."""


@dataclass(frozen=True)
class Score:
    """Median of one metric over the tracks of one group, with what it rests on."""

    condition: str
    separator: str
    source: str
    metric: Metric
    estimate: statistics.Estimate
    counts: Counts


@dataclass(frozen=True)
class Difference:
    """First minus second, on common tracks and all stems, with Holm's p over the family shown together.

    Two separators are compared `within` a condition, two conditions `within` a separator.
    """

    within: str
    first: str
    second: str
    metric: Metric
    paired: statistics.Paired
    p_holm: float


@dataclass(frozen=True)
class Share:
    """Share of tracks with ΔITD above the limit."""

    condition: str
    separator: str
    source: str
    metric: Metric
    estimate: statistics.Estimate


@dataclass(frozen=True)
class Check:
    """A probe's known score against the measured one. `passed` is None where nothing could be checked."""

    probe: str
    condition: str
    metric_column: str
    low: float | None
    high: float | None
    measured_low: float
    measured_high: float
    n: int
    passed: bool | None
    why: str
    note: str


@dataclass(frozen=True)
class GainEffect:
    """How much of the paper's SSR is the mixture's gain, for one separator under one condition.

    `ceiling` is the SSR that the gain alone leaves, `share` the part of the distortion's energy that the gain
    explains: ``10^((paper − ceiling)/10)`` of each stem. It exceeds 1 where other changes offset the gain.
    """

    condition: str
    separator: str
    ceiling: statistics.Estimate
    paper: statistics.Estimate
    corrected: statistics.Estimate
    share: statistics.Estimate
    counts: Counts


@dataclass(frozen=True)
class Speed:
    """Audio seconds separated per second."""

    separator: str
    device: str
    cells: int
    audio_seconds: float
    separate_seconds: float
    evaluate_seconds: float

    @property
    def factor(self) -> float:
        return self.audio_seconds / self.separate_seconds if self.separate_seconds > 0 else math.nan


def scores(data: RunData, metrics: Iterable[Metric] | None = None) -> list[Score]:
    """Every median: metric × condition × separator × source."""
    return [
        Score(
            condition,
            separator.name,
            source,
            metric,
            statistics.median(data.cube(metric, condition, separator.name, source)),
            data.counts(metric, condition, separator.name, source),
        )
        for metric in (data.metrics if metrics is None else metrics)
        for condition in data.conditions
        for separator in data.separators
        for source in SOURCES
    ]


class ScoreTable:
    """Scores by condition, separator, source and column."""

    def __init__(self, found: Sequence[Score]) -> None:
        self.all = list(found)
        self._by_key = {(s.condition, s.separator, s.source, s.metric.column): s for s in found}

    def get(self, condition: str, separator: str, source: str, metric: Metric) -> Score:
        return self._by_key[condition, separator, source, metric.column]


def model_differences(data: RunData) -> list[Difference]:
    """Each pair of separators (no probes), per condition and headline metric; one family."""
    found = [
        (condition, one.name, two.name, metric)
        for metric in data.headline
        for condition in data.conditions
        for one, two in itertools.combinations(data.compared, 2)
    ]
    pairs = [
        statistics.paired(data.cube(metric, condition, one), data.cube(metric, condition, two))
        for condition, one, two, metric in found
    ]
    return _with_holm(found, pairs)


def condition_differences(data: RunData) -> list[Difference]:
    """Second condition minus the first (binaural − stereo) for each separator (no probes); one family."""
    found: list[tuple[str, str, str, Metric]] = []
    pairs: list[statistics.Paired] = []
    if {"stereo", "binaural"} <= set(data.conditions):
        for metric in data.headline:
            for separator in data.compared:
                binaural = data.cube(metric, "binaural", separator.name)
                stereo = data.cube(metric, "stereo", separator.name)
                found.append((separator.name, "binaural", "stereo", metric))
                pairs.append(statistics.paired(binaural, stereo))
    return _with_holm(found, pairs)


def _with_holm(
    found: Sequence[tuple[str, str, str, Metric]], pairs: Sequence[statistics.Paired]
) -> list[Difference]:
    adjusted = statistics.holm([pair.test.p for pair in pairs])
    return [
        Difference(within, one, two, metric, pair, float(p))
        for (within, one, two, metric), pair, p in zip(found, pairs, adjusted, strict=True)
    ]


def shares(data: RunData) -> list[Share]:
    """Share of tracks above the ΔITD limit, per stem; under ``all``: with any stem above it."""
    metric = next((metric for metric in data.headline if metric.role == "itd"), None)
    if metric is None:
        return []
    found = []
    for condition, separator, source in itertools.product(data.conditions, data.compared, SOURCES):
        cube = data.cube(metric, condition, separator.name, source)
        # The largest of a track's stems decides; fmax leaves NaN out.
        estimate = statistics.share_above(np.fmax.reduce(cube, axis=1), ITD_LIMIT_US)
        found.append(Share(condition, separator.name, source, metric, estimate))
    return found


def checks(data: RunData) -> list[Check]:
    """Every known score of every probe of the run, with a line also for those that could not be checked."""
    found = []
    for probe in data.probes:
        for expected in probe.expected:
            for condition in data.conditions:
                metric = by_column().get(expected.column)
                only = expected.condition or (metric.condition if metric else "")
                if only and only != condition:
                    continue
                found.append(
                    _check(data, probe, condition, expected.column, expected.low, expected.high, expected.why)
                )
    return found


_ROUNDING = 1e-9
"""Expected limits are written in decimal; a value may miss them by rounding alone."""


def _check(
    data: RunData,
    probe: SeparatorRecord,
    condition: str,
    column: str,
    low: float | None,
    high: float | None,
    why: str,
) -> Check:
    counts = data.counts(None, condition, probe.name)
    notes = [f"{counts.failed} failed"] if counts.failed else []
    notes += [f"{counts.pending} pending"] if counts.pending else []
    values = np.empty(0)
    if column in data.values:
        cube = data.cube(column, condition, probe.name).copy()
        if column.startswith("paper_"):
            # The paper's profile compares with references at their own level: a known score is only known
            # where that is also the mixture's level.
            gains = [data.mixture_gain(Cell(condition, probe.name, title)) for title in data.titles]
            other = np.array([gain is not None and gain != 1.0 for gain in gains], dtype=bool)
            if other.any():
                cube[other] = np.nan
                notes.append(f"{_tracks(int(other.sum()))} left out: mixture gain is not 1")
            # Its medians count silent frames as 0 dB: they are known only of stems that mostly sound.
            silent = ~data.sounding[data.place(condition, probe.name)] & ~np.isnan(cube)
            if silent.any():
                cube[silent] = np.nan
                notes.append(f"stems left out, silent in half of their frames or more: {int(silent.sum())}")
        values = cube[~np.isnan(cube)]
    if values.size == 0:
        notes.append("no value to check" if column in data.values else "this run did not compute it")
        return Check(probe.name, condition, column, low, high, math.nan, math.nan, 0,
                     False if counts.failed else None, why, "; ".join(notes))  # fmt: skip
    smallest, largest = float(values.min()), float(values.max())
    inside = (low is None or smallest >= low - _ROUNDING) and (high is None or largest <= high + _ROUNDING)
    return Check(probe.name, condition, column, low, high, smallest, largest, int(values.size),
                 inside and not counts.failed, why, "; ".join(notes))  # fmt: skip


def _tracks(number: int) -> str:
    return f"{number} track{'s' if number != 1 else ''}"


def gain_effects(data: RunData) -> list[GainEffect]:
    """For every condition and separator with the paper's SSR: the score that the gain alone would leave.

    An estimate that is perfect but for the mixture's gain g scores −20·log10|g − 1|. Without a gain there is
    no such ceiling, and no entry.
    """
    if "paper_SSR" not in data.values:
        return []
    found = []
    for condition, separator in itertools.product(data.conditions, data.separators):
        gains = [data.mixture_gain(Cell(condition, separator.name, title)) for title in data.titles]
        ceilings = [
            math.nan if gain is None or gain == 1.0 else -20 * math.log10(abs(gain - 1)) for gain in gains
        ]
        if all(math.isnan(ceiling) for ceiling in ceilings):
            continue
        cube = data.cube("paper_SSR", condition, separator.name)
        corrected = (
            data.cube("SSR", condition, separator.name)
            if "SSR" in data.values
            else np.full_like(cube, np.nan)
        )
        found.append(
            GainEffect(
                condition,
                separator.name,
                statistics.median(ceilings),
                statistics.median(cube),
                statistics.median(corrected),
                statistics.median(10 ** ((cube - np.array(ceilings)[:, np.newaxis]) / 10)),
                data.counts(by_column()["paper_SSR"], condition, separator.name),
            )
        )
    return found


def gains(data: RunData, condition: str) -> list[float]:
    """Mixture gain of each track that has one, in any cell of the condition."""
    found: dict[str, float] = {}
    for cell in data.outcomes:
        gain = data.mixture_gain(cell)
        if cell.condition == condition and gain is not None:
            found.setdefault(cell.title, gain)
    return list(found.values())


def speeds(data: RunData) -> list[Speed]:
    """Throughput per separator and device, over the cells that have ended well."""
    sums: dict[tuple[str, str], list[float]] = {}
    order = {one.name: i for i, one in enumerate(data.separators)}
    for cell, outcome in data.outcomes.items():
        seconds = outcome.get("seconds")
        if not isinstance(seconds, dict):
            continue
        total = sums.setdefault((cell.separator, str(outcome.get("device") or "unknown")), [0, 0.0, 0.0, 0.0])
        total[0] += 1
        total[1] += float(outcome.get("audio_seconds") or 0)
        total[2] += float(seconds.get("separate") or 0)
        total[3] += float(seconds.get("evaluate") or 0)
    return [
        Speed(name, device, int(cells), audio, separate, evaluate)
        for (name, device), (cells, audio, separate, evaluate) in sorted(
            sums.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    ]


@dataclass(frozen=True)
class Analysis:
    """Every number of a report, computed once, for the page and for the files."""

    answer: list[str]
    table: ScoreTable
    models: list[Difference]
    conditions: list[Difference]
    shares: list[Share]
    checks: list[Check]
    gains: list[GainEffect]
    speeds: list[Speed]


def analyse(data: RunData) -> Analysis:
    from .answer import answer  # which reads the records above

    table = ScoreTable(scores(data))
    conditions = condition_differences(data)
    return Analysis(
        answer(data, table, conditions),
        table,
        model_differences(data),
        conditions,
        shares(data),
        checks(data),
        gain_effects(data),
        speeds(data),
    )
