"""Progress and speed of a run, counted from its directory in one pass."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.formats import SEPARATION_FORMAT

from .formats import ERROR, RESULT
from .records import Cell
from .run import Run

RECENT_CELLS = 50
"""Number of latest cells that the throughput is computed from: enough to average single slow cells."""


@dataclass(frozen=True)
class Progress:
    """Counts of cells by state, and of rendered tracks. `separated` includes scored cells.

    `to_evaluate` are separated cells that have not ended.
    """

    cells: int
    separated: int
    ended: int
    failed: int
    to_render: int
    rendered: int
    to_evaluate: int = 0

    @property
    def complete(self) -> bool:
        return self.ended == self.cells


@dataclass
class Share:
    """Counts of the cells of one separator under one condition."""

    separator: str
    condition: str
    cells: int = 0
    separated: int = 0
    ended: int = 0
    failed: int = 0
    to_evaluate: int = 0


@dataclass(frozen=True)
class Survey:
    """State of all cells. `ended_at` are the times of their outcomes (seconds, Unix)."""

    progress: Progress
    by_separator: list[Share]
    ended_at: list[float]


def survey(run: Run) -> Survey:
    """Read the state of every cell of `run`."""
    ended_at: list[float] = []
    titles = [track.title for track in run.record.tracks]
    shares = [
        _share(run, separator.name, condition, titles, ended_at)
        for separator in run.record.available
        for condition in run.record.cell_conditions
    ]
    to_render = [(title, condition) for condition in run.record.rendered_conditions for title in titles]
    counted = ("cells", "separated", "ended", "failed", "to_evaluate")
    progress = Progress(
        to_render=len(to_render),
        rendered=sum(run.rendered(*one) for one in to_render),
        **{name: sum(getattr(share, name) for share in shares) for name in counted},
    )
    return Survey(progress, shares, ended_at)


def _share(run: Run, separator: str, condition: str, titles: list[str], ended_at: list[float]) -> Share:
    share = Share(separator, condition, cells=len(titles))
    # This runs every second, for up to ten thousand cells: files of folders that do not exist are not checked,
    # and paths are built as text.
    cells, estimates = (
        (str(folder), _names(folder))
        for folder in (
            run.store.layout.cell(Cell(condition, separator, "")),
            run.store.layout.estimates(Cell(condition, separator, "")),
        )
    )
    for title in titles:
        succeeded = failed = None
        if title in cells[1]:
            succeeded = _time_of(f"{cells[0]}/{title}/{RESULT.name}")
            failed = _time_of(f"{cells[0]}/{title}/{ERROR.name}") if succeeded is None else None
        ended = succeeded or failed
        share.ended += ended is not None
        share.failed += failed is not None
        separated = succeeded is not None or (
            title in estimates[1] and _time_of(f"{estimates[0]}/{title}/{SEPARATION_FORMAT.name}") is not None
        )
        share.separated += separated
        share.to_evaluate += separated and ended is None
        if ended is not None:
            ended_at.append(ended)
    return share


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _time_of(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def progress_of(run: Run) -> Progress:
    """The counts of :func:`survey`."""
    return survey(run).progress


def throughput(ended_at: Sequence[float], since: float, now: float | None = None) -> float | None:
    """Cells per minute over the latest cells; None if no cell has ended since.

    `ended_at` are the times at which cells ended, in seconds and in any order. Those before `since`, when execution of
    the run last started, are left out, so that a pause does not count. `now` is the current time by default.
    """
    now = time.time() if now is None else now
    latest = sorted(moment for moment in ended_at if moment >= since)[-RECENT_CELLS - 1 :]
    if len(latest) > RECENT_CELLS:
        since = latest.pop(0)
    if not latest or now <= since:
        return None
    return 60.0 * len(latest) / (now - since)


def seconds_left(progress: Progress, cells_per_minute: float | None) -> float | None:
    """Time for the remaining cells at this throughput; None if that is unknown."""
    if not cells_per_minute:
        return None
    return 60.0 * (progress.cells - progress.ended) / cells_per_minute
