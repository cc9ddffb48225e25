"""Runs the steps one after another, in this process: no Redis, no workers."""

from __future__ import annotations

from collections.abc import Callable

from ..runs.run import Run
from .steps import perform_patiently


def run_inline(run: Run, progress: Callable[[], None]) -> None:
    """Do everything that is left of `run`; `progress` is called after each step."""
    tasks = list(run.open_tasks())
    while tasks:
        task = tasks.pop(0)
        perform_patiently(run, task)
        # Depth first: a cell is finished before the next one is begun, as with workers.
        tasks[:0] = [follower for follower in run.unlocked_by(task) if follower not in tasks]
        progress()
