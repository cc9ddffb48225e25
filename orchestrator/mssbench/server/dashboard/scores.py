"""Scores of a run before it is complete: medians of the headline metrics over the cells that have ended."""

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
from ...runs.formats import RESULT
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


@dataclass(frozen=True)
class _Read:
    """The values of a result by column, and the state of its file when it was read."""

    state: FileState
    values: dict[str, list[float]]


@dataclass
class _Known:
    """What was read of one group: the results by title, and their medians."""

    cells: dict[str, _Read] = field(default_factory=dict)
    row: ScoreRow | None = None


class LiveScores:
    """Reads each result once, and again when its file has changed: a cell may be scored again.

    Large runs are read in parts, so that no page waits for them.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._runs: dict[str, dict[Group, _Known]] = {}
        self._lock = threading.Lock()
        self._metrics = [metric for metric in all_metrics() if metric.role]

    def of(self, run: Run, shares: list[Share]) -> Scores:
        """The scores of `run`, of which `shares` counts the cells."""
        scored = {(one.separator, one.condition): one.ended - one.failed for one in shares}
        with self._lock:
            known = self._runs.pop(run.store.id, {})
            self._runs[run.store.id] = known  # the last one is the newest
            while len(self._runs) > RUNS:
                del self._runs[next(iter(self._runs))]
            left = self._seconds
            for group in scored:
                left = self._update(run, group, known.setdefault(group, _Known()), left)
        found = [row for group in scored if (row := known[group].row) is not None]
        columns = {column for row in found for column in row.medians}
        return Scores(
            headline(metric for metric in self._metrics if metric.column in columns),
            found,
            sum(len(known[group].cells) for group in scored),
            sum(scored.values()),
        )

    def _update(self, run: Run, group: Group, known: _Known, left: float) -> float:
        """Read new results of a group while time is `left`, and forget changed ones. Return the time left."""
        separator, condition = group
        before, known.cells = known.cells, {}
        # As text, because there may be ten thousand cells.
        folder = str(run.store.layout.cell(Cell(condition, separator, "")))
        for track in run.record.tracks:
            state, read = file_state(f"{folder}/{track.title}/{RESULT.name}"), before.get(track.title)
            if state is None:
                continue
            if read is not None and read.state == state:
                known.cells[track.title] = read
            elif left > 0:
                started = time.monotonic()
                values = self._values(run, Cell(condition, separator, track.title))
                known.cells[track.title] = _Read(state, values)
                left -= time.monotonic() - started
        if known.cells != before:
            known.row = self._row(group, known.cells) if known.cells else None
        return left

    def _values(self, run: Run, cell: Cell) -> dict[str, list[float]]:
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
        return values

    def _row(self, group: Group, cells: dict[str, _Read]) -> ScoreRow:
        pooled: dict[str, list[float]] = defaultdict(list)
        for read in cells.values():
            for column, some in read.values.items():
                pooled[column] += some
        formats = {metric.column: metric.format for metric in self._metrics}
        medians = {column: formats[column](statistics.median(some)) for column, some in pooled.items()}
        return ScoreRow(*group, len(cells), medians)
