"""How far a run is and how fast: read from its directory, in one pass, by whoever wants to know."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .steps import Run
from .store import Cell

RECENT_CELLS = 50
"""The throughput is that of the last so many cells: recent, and yet not the luck of one."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: cells by state, and tracks rendered. `separated` counts cells past that step."""

    cells: int
    separated: int
    ended: int
    failed: int
    to_render: int
    rendered: int

    @property
    def complete(self) -> bool:
        return self.ended == self.cells


@dataclass
class Share:
    """The cells of one separator under one condition, by state."""

    separator: str
    condition: str
    cells: int = 0
    separated: int = 0
    ended: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Survey:
    """What the run directory says now. `ended_at` are the times (seconds, Unix) of the outcomes."""

    progress: Progress
    by_separator: list[Share]
    ended_at: list[float]


def survey(run: Run) -> Survey:
    """Look at every cell of `run` once."""
    shares: dict[tuple[str, str], Share] = {}
    ended_at = []
    for cell in run.record.cells():
        key = (cell.separator, cell.condition)
        share = shares.setdefault(key, Share(*key))
        share.cells += 1
        succeeded, failed = _times(run, cell)
        ended = succeeded or failed
        share.ended += ended is not None
        share.failed += succeeded is None and failed is not None
        share.separated += succeeded is not None or run.store.separated(cell)
        if ended is not None:
            ended_at.append(ended)
    binaural = "binaural" in run.record.config.conditions
    titles = [track.title for track in run.record.tracks] if binaural else []
    parts = list(shares.values())
    progress = Progress(
        cells=sum(share.cells for share in parts),
        separated=sum(share.separated for share in parts),
        ended=sum(share.ended for share in parts),
        failed=sum(share.failed for share in parts),
        to_render=len(titles),
        rendered=sum(run.rendered(title) for title in titles),
    )
    return Survey(progress, parts, ended_at)


def _times(run: Run, cell: Cell) -> tuple[float | None, float | None]:
    """When the cell's result and its error were written; None for what is not there."""
    folder = str(run.store.cell_folder(cell))
    succeeded = _time_of(f"{folder}/result.json")
    return succeeded, None if succeeded is not None else _time_of(f"{folder}/error.json")


def _time_of(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def progress_of(run: Run) -> Progress:
    """The progress alone."""
    return survey(run).progress


def throughput(ended_at: Sequence[float], since: float, now: float | None = None) -> float | None:
    """Cells per minute over the recent past.

    Parameters
    ----------
    ended_at : sequence of float
        When cells ended, in seconds; in any order.
    since : float
        When the run was last taken up: a pause before that says nothing about its speed.
    now : float, optional
        Default: the time.

    Returns
    -------
    float or None
        None where no cell has ended since.
    """
    now = time.time() if now is None else now
    latest = sorted(moment for moment in ended_at if moment >= since)[-RECENT_CELLS - 1 :]
    if len(latest) > RECENT_CELLS:
        since = latest.pop(0)
    if not latest or now <= since:
        return None
    return 60.0 * len(latest) / (now - since)


def seconds_left(progress: Progress, cells_per_minute: float | None) -> float | None:
    """How long the rest takes at this speed; None where that is unknown."""
    if not cells_per_minute:
        return None
    return 60.0 * (progress.cells - progress.ended) / cells_per_minute
