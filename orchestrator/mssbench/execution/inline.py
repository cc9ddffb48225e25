"""Runs steps one after another in this process, without Redis and workers."""

from __future__ import annotations

from collections.abc import Callable

from ..runs.run import Run, Task
from .retries import perform_with_retries


def run_inline(run: Run, progress: Callable[[], None]) -> None:
    """Run all open tasks of `run`. `progress` is called after each step."""
    before: list[Task] = []
    # Again, because a cell may have been reopened. A task that stays open although it was run is left open.
    while (tasks := list(run.open_tasks())) and tasks != before:
        before = list(tasks)
        while tasks:
            task = tasks.pop(0)
            perform_with_retries(run, task)
            # Depth first, as with workers: a cell is completed before the next one starts.
            tasks[:0] = [follower for follower in run.unlocked_by(task) if follower not in tasks]
            progress()
