"""A run with its state on disk, and the tasks that are left to do."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..services.runtime import Runtime
from .records import Cell, RunRecord
from .store import RunStore

STEPS = ("render", "separate", "evaluate")
METADATA = "metadata.json"


@dataclass(frozen=True)
class Task:
    """One step to be done: of a cell, or (render) of a track for all its binaural cells."""

    step: str
    title: str
    condition: str = ""
    separator: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.condition, self.separator, self.title)


@dataclass(frozen=True)
class Run:
    """A run at work: its directory, its record and where its steps run."""

    store: RunStore
    record: RunRecord
    runtime: Runtime

    def cells_of(self, task: Task) -> list[Cell]:
        """The cells that end with an error if `task` fails."""
        if task.step != "render":
            return [task.cell]
        return [cell for cell in self.record.cells_of(task.title) if cell.condition == "binaural"]

    def rendered(self, title: str) -> bool:
        folder = self.record.track(title).folders["binaural"]
        # Not resolved, which costs more than the question: a thousand tracks are asked for at a time.
        return os.path.exists(os.path.join(self.runtime.root.root, folder, METADATA))

    def next_task(self, cell: Cell, rendered: Callable[[str], bool] | None = None) -> Task | None:
        """What brings `cell` forward, going by what is on disk; None if it has ended.

        `rendered` (default: look) says whether a track is rendered, for whoever asks about many cells.
        """
        if self.store.ended(cell):
            return None
        if cell.condition == "binaural" and not (rendered or self.rendered)(cell.title):
            return Task("render", cell.title)
        step = "evaluate" if self.store.separated(cell) else "separate"
        return Task(step, cell.title, cell.condition, cell.separator)

    def open_tasks(self) -> Iterator[Task]:
        """Everything that can be done now, each once."""
        seen = set()
        rendered = functools.cache(self.rendered)
        for cell in self.record.cells():
            task = self.next_task(cell, rendered)
            if task is not None and task not in seen:
                seen.add(task)
                yield task

    def unlocked_by(self, task: Task) -> list[Task]:
        """What can be done once `task` is done."""
        rendered = functools.cache(self.rendered)
        followers = {self.next_task(cell, rendered): None for cell in self.cells_of(task)}
        return [follower for follower in followers if follower is not None and follower != task]
