"""Live progress of a run in the terminal: stages, separators, throughput and remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..runs.status import RunStatus, format_duration
from .shared import console


@contextmanager
def run_bars() -> Iterator[Callable[[RunStatus], None]]:
    """Yield a function that shows a status: one bar per stage, and one per separator if there are several."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(name: str, done: int, total: int, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, note=note)
            bars.update(tasks[name], completed=done, total=total, note=note)

        def show(status: RunStatus) -> None:
            now = status.progress
            if now.to_render:
                bar("render", now.rendered, now.to_render)
            bar("separate", now.separated, now.cells, waiting_note(status))
            bar("evaluate", now.ended, now.cells, "" if now.complete else pace(status))
            for name, ended, cells, failed in by_separator(status):
                bar(f"  {name}", ended, cells, f"{failed} failed" if failed else "")

        yield show


def by_separator(status: RunStatus) -> list[tuple[str, int, int, int]]:
    """Return name, ended, cells and failed per separator over all conditions; empty for a single separator."""
    names = dict.fromkeys(share.separator for share in status.by_separator)
    if len(names) < 2:
        return []
    found = []
    for name in names:
        shares = [share for share in status.by_separator if share.separator == name]
        found.append(
            (
                name,
                sum(share.ended for share in shares),
                sum(share.cells for share in shares),
                sum(share.failed for share in shares),
            )
        )
    return found


def waiting_note(status: RunStatus) -> str:
    """Format as ``waiting for spleeter``; empty if no service is away."""
    return f"waiting for {', '.join(status.waiting_for)}" if status.waiting_for else ""


def pace(status: RunStatus) -> str:
    """Format as ``12 cells/min, about 3 min left``; empty if the throughput is unknown."""
    if status.throughput is None:
        return ""
    speed = f"{status.throughput:.3g} cells/min"
    return (
        speed
        if status.seconds_left is None
        else f"{speed}, about {format_duration(status.seconds_left)} left"
    )
