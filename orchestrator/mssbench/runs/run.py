"""A run with its state on disk, and its open tasks."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.errors import BadInput

from ..services.registry import Service
from ..services.runtime import Runtime
from .layout import RENDERING_FILE
from .owned import inside
from .records import RENDERED, Cell, RunRecord
from .store import RunStore


@dataclass(frozen=True)
class Task:
    """One step of a cell (``separate``, ``evaluate``), or of all cells of a track and condition (``render``)."""

    step: str
    title: str
    condition: str = ""
    separator: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.condition, self.separator, self.title)


@dataclass(frozen=True)
class Run:
    """A run: its directory, its record and the runtime of its steps."""

    store: RunStore
    record: RunRecord
    runtime: Runtime

    def cells_of(self, task: Task) -> list[Cell]:
        """The cells that end with an error if `task` fails."""
        if task.step != "render":
            return [task.cell]
        return [cell for cell in self.record.cells_of(task.title) if cell.condition == task.condition]

    def service_of(self, task: Task) -> Service:
        """The service that runs `task`.

        Raises
        ------
        NotFound
            It is no longer registered.
        """
        return self.runtime.service_of(
            task.step, self.record.separator(task.separator).service if task.separator else ""
        )

    def rendering(self, title: str, condition: str) -> Path:
        """Folder of the rendered track."""
        track = self.record.track(title)
        if track.folders[condition] == track.source:  # the run was made of estimates of rendered tracks
            return self.runtime.root.resolve(track.source)
        return self.generated_folder(title, track.folders[condition])

    def generated_folder(self, title: str, reference: str) -> Path:
        """Folder of a rendered track, or of an excerpt.

        Raises
        ------
        BadInput
            ``run.json`` names one that is not in the folder of rendered tracks.
        """
        base, names = reference.split("/")[:-2], reference.split("/")[-2:]
        if "/".join(base) != RENDERED:
            raise BadInput(f"the rendering of {title!r} is not in {RENDERED}, but in {reference!r}")
        return inside(self.runtime.root.root / RENDERED, *names)

    def estimates(self, cell: Cell) -> Path:
        """Folder of the estimates. Raises :class:`BadInput` where it leads outside the run directory."""
        names = self.store.layout.estimates(cell).relative_to(self.store.folder).parts
        return inside(self.store.folder, *names)

    def rendered(self, title: str, condition: str) -> bool:
        folder = self.record.track(title).folders[condition]
        # Not resolved: that costs more than the check, which is done for a thousand tracks at a time.
        return os.path.exists(os.path.join(self.runtime.root.root, folder, RENDERING_FILE))

    def needs_separation(self, cell: Cell) -> bool:
        """False if the cell was separated, or ended without."""
        return not (self.store.separated(cell) or self.store.ended(cell))

    def next_task(self, cell: Cell, rendered: Callable[[str, str], bool] | None = None) -> Task | None:
        """The next task of `cell`, from the files on disk; None if it has ended.

        `rendered` says whether a track is rendered; a caller with many cells passes a cached function.
        """
        if self.store.ended(cell):
            return None
        if cell.rendered and not (rendered or self.rendered)(cell.title, cell.condition):
            return Task("render", cell.title, cell.condition)
        step = "evaluate" if self.store.separated(cell) else "separate"
        return Task(step, cell.title, cell.condition, cell.separator)

    def open_tasks(self) -> Iterator[Task]:
        """All tasks that can start now, each once."""
        seen = set()
        rendered = functools.cache(self.rendered)
        for cell in self.record.cells():
            task = self.next_task(cell, rendered)
            if task is not None and task not in seen:
                seen.add(task)
                yield task

    def unlocked_by(self, task: Task) -> list[Task]:
        """The tasks that can start once `task` is done."""
        rendered = functools.cache(self.rendered)
        followers = {self.next_task(cell, rendered): None for cell in self.cells_of(task)}
        return [follower for follower in followers if follower is not None and follower != task]


def open_run(store: RunStore, runtime: Runtime) -> Run:
    """An existing run. Raises like :meth:`RunStore.load`."""
    return Run(store, store.load(), runtime)
