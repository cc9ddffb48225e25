"""Scores of a run as they come: medians of the headline metrics over the cells that have ended."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from mssbench_service.errors import BenchError

from ...report.metrics import Metric, all_metrics, headline
from ...runs.fingerprint import FileState, file_state
from ...runs.progress import Share
from ...runs.records import Cell
from ...runs.run import Run

SECONDS = 0.1
"""Time for reading results in one request; the next one continues."""

RUNS = 8
"""Number of runs whose scores are kept in memory."""

Group = tuple[str, str]
"""Separator and condition."""


@dataclass(frozen=True)
class ScoreRow:
    """Medians of a separator in a condition over all targets of `cells` tracks, by column of the metric."""

    separator: str
    condition: str
    cells: int
    medians: dict[str, str]


@dataclass(frozen=True)
class Scores:
    """A table. `read` is the number of cells in it, of `scored` that have a result."""

    metrics: list[Metric]
    rows: list[ScoreRow]
    read: int
    scored: int


@dataclass
class _Known:
    """What was read of a run, whose record was written at `written`: values by cell and column."""

    written: FileState | None
    cells: dict[Group, dict[str, dict[str, list[float]]]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[Group, ScoreRow] = field(default_factory=dict)


class LiveScores:
    """Reads the result of each cell once. Large runs are read in parts, so that no page waits for them."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._runs: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._metrics = [metric for metric in all_metrics() if metric.role]

    def of(self, run: Run, shares: list[Share]) -> Scores:
        """The scores of `run`, of which `shares` counts the cells."""
        with self._lock:
            return self._of(run, shares)

    def _of(self, run: Run, shares: list[Share]) -> Scores:
        written = file_state(run.store.layout.record)
        known = self._runs.pop(run.store.id, None)
        if known is None or known.written != written:  # new scores are preceded by a new record
            known = _Known(written)
        self._runs[run.store.id] = known  # the last one is the newest
        while len(self._runs) > RUNS:
            del self._runs[next(iter(self._runs))]
        scored = {(one.separator, one.condition): one.ended - one.failed for one in shares}
        deadline = time.monotonic() + self._seconds
        for group, count in scored.items():
            if count < len(known.cells[group]):  # results were removed
                known.cells[group] = {}
                known.rows.pop(group, None)
            if count > len(known.cells[group]) and time.monotonic() < deadline:
                self._read(run, group, known, deadline)
        found = [known.rows[group] for group in scored if group in known.rows]
        columns = {column for row in found for column in row.medians}
        return Scores(
            headline(metric for metric in self._metrics if metric.column in columns),
            found,
            sum(len(known.cells[group]) for group in scored),
            sum(scored.values()),
        )

    def _read(self, run: Run, group: Group, known: _Known, deadline: float) -> None:
        cells = known.cells[group]
        for track in run.record.tracks:
            if track.title in cells:
                continue
            cell = Cell(group[1], group[0], track.title)
            if not run.store.succeeded(cell):
                continue
            try:
                outcome = run.store.outcome(cell) or {}
            except BenchError:  # damaged; `resume` repeats it
                outcome = {}
            values: dict[str, list[float]] = defaultdict(list)
            for row in outcome.get("rows", []):
                for metric in self._metrics:
                    value = row.get(metric.column)
                    if isinstance(value, int | float) and math.isfinite(value):
                        values[metric.column].append(value)
            cells[track.title] = values
            if time.monotonic() > deadline:
                break
        pooled: dict[str, list[float]] = defaultdict(list)
        for values in cells.values():
            for column, some in values.items():
                pooled[column] += some
        formats = {metric.column: metric.format for metric in self._metrics}
        medians = {column: formats[column](statistics.median(some)) for column, some in pooled.items()}
        known.rows[group] = ScoreRow(*group, len(cells), medians)
