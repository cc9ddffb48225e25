"""Progress bars in the terminal. Not imported by commands that show none, because rich takes long to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mssbench_service.errors import printable
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ..runs.status import RunStatus
from ..text import distinct
from .shared import print_message, throughput_text, waiting_note

if TYPE_CHECKING:
    from mssbench_service.download import Progress as ShowBytes

# Progress goes to stderr: stdout is for results that a script may read.
console = Console(stderr=True)


@contextmanager
def _progress(*columns: ProgressColumn) -> Iterator[Progress]:
    """Yield a display, which the first bar has to start: an error before that is not preceded by an empty line."""
    text, bar = TextColumn("{task.description}", markup=False), BarColumn(bar_width=40)
    bars = Progress(text, bar, *columns, console=console)
    try:
        yield bars
    finally:
        if bars.tasks:
            bars.stop()


@contextmanager
def _bars(*columns: ProgressColumn) -> Iterator[Callable[..., None]]:
    """Yield a function of name, done, total and fields that shows one bar per name."""
    with _progress(*columns) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int | None, **fields: Any) -> None:
            if name not in tasks:
                bars.start()
                tasks[name] = bars.add_task(name, total=total, **fields)
            bars.update(tasks[name], completed=done, total=total, **fields)

        yield show


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows one bar."""
    with _bars(MofNCompleteColumn(), TimeElapsedColumn()) as show:
        yield lambda done, total: show(name, done, total)


@contextmanager
def byte_bars() -> Iterator[ShowBytes]:
    """Yield a function that shows one bar per download."""
    with _bars(
        DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(elapsed_when_finished=True)
    ) as show:
        yield show


@contextmanager
def stage_bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function that shows one bar per stage. The bar of a stage of unknown length pulses."""
    with _progress(TaskProgressColumn(), TimeElapsedColumn()) as bars:
        stages: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int | None) -> None:
            stage = what.partition(":")[0]
            if stage not in stages:
                bars.start()
                for earlier in stages.values():  # it has finished
                    bars.stop_task(earlier)
                    if bars.tasks[earlier].total is None:
                        bars.update(earlier, total=1, completed=1)
                stages[stage] = bars.add_task(what, total=None)
            bars.update(stages[stage], description=what, completed=done, total=total)

        yield show


@contextmanager
def showing_lines() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done. On a terminal, the last line with a spinner."""
    if not console.is_terminal:
        yield lambda line: None if line.count(": Collecting ") else print_message(line)
        return
    with console.status("") as status:
        yield lambda line: status.update(printable(line))


@contextmanager
def run_bars() -> Iterator[Callable[[RunStatus], None]]:
    """Yield a function that shows a status: one bar per stage, and one per separator if there are several."""
    with _bars(
        MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}", markup=False)
    ) as bar:

        def show(status: RunStatus) -> None:
            now = status.progress
            if now.to_render:
                bar("render", now.rendered, now.to_render, note="")
            bar("separate", now.separated, now.cells, note=waiting_note(status))
            bar("evaluate", now.ended, now.cells, note="" if now.complete else throughput_text(status))
            found = by_separator(status)
            shown = distinct(name for name, *_ in found)
            for name, ended, cells, failed in found:
                bar(f"  {shown[name]}", ended, cells, note=f"{failed} failed" if failed else "")

        yield show


def by_separator(status: RunStatus) -> list[tuple[str, int, int, int]]:
    """Return name, ended, cells and failed per separator over all conditions; empty for a single separator."""
    found: dict[str, tuple[int, int, int]] = {}
    for share in status.by_separator:
        ended, cells, failed = found.get(share.separator, (0, 0, 0))
        found[share.separator] = (ended + share.ended, cells + share.cells, failed + share.failed)
    return [(name, *counts) for name, counts in found.items()] if len(found) > 1 else []
