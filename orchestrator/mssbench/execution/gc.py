"""Finds files in the data root that can be removed: unused renderings, remains of killed processes, estimates."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mssbench_service.errors import BenchError, Conflict
from mssbench_service.files import TEMPORARY

from ..runs.layout import DELETED_PREFIX
from ..runs.progress import progress_of
from ..runs.run import Run, open_run
from ..runs.store import Workspace
from ..services.runtime import Runtime

STALE_SECONDS = 24 * 3600.0
"""Age from which a temporary file is unused: no step takes that long."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that can be removed: its path in the data root, the reason, and its size in bytes."""

    reference: str
    reason: str
    size: int
    remove: Callable[[], None] = field(repr=False)
    """Removes it; does nothing if it no longer exists."""


def find_removable(workspace: Workspace, runtime: Runtime, estimates: bool = False) -> list[Removable]:
    """Find what can be removed. Removes nothing.

    Parameters
    ----------
    estimates : bool
        Include the estimates of complete runs. Their scores are kept, but ``rescore`` and new audio in reports
        need the estimates.

    Raises
    ------
    Conflict
        A run's record cannot be read, so that the renderings that it uses are not known.
    """
    runs = []
    for run_id in workspace.run_ids():
        store = workspace.run(run_id)
        try:
            runs.append(open_run(store, runtime))
        except BenchError as error:
            raise Conflict(f"{error.detail}; repair or remove {store.folder} first") from None
    inactive = [run for run in runs if estimates and _is_inactive(run)]
    return [*_renderings(workspace, runs), *_leftovers(workspace), *_estimates(workspace, inactive)]


def _is_inactive(run: Run) -> bool:
    return progress_of(run).complete and not run.store.lock.is_held and not run.store.markers.supervised


def _renderings(workspace: Workspace, runs: Iterable[Run]) -> Iterator[Removable]:
    needed = {
        os.path.realpath(run.runtime.root.resolve(track.folders["binaural"]))
        for run in runs
        for track in run.record.tracks
        if "binaural" in track.folders
    }
    for folder in sorted(workspace.renderings.glob("*/*/")):
        if not folder.name.startswith(TEMPORARY) and os.path.realpath(folder) not in needed:
            yield _removable(workspace, folder, "a rendering that no run refers to")


def _leftovers(workspace: Workspace) -> Iterator[Removable]:
    for folder in sorted(workspace.runs.glob(f"{DELETED_PREFIX}*")):
        yield _removable(workspace, folder, "a deleted run")
    # Only in folders that the bench writes to, not in datasets.
    for base in (workspace.renderings, workspace.runs):
        for path in sorted(base.rglob(f"{TEMPORARY}*")):
            inside = any(
                part.startswith((TEMPORARY, DELETED_PREFIX)) for part in path.relative_to(base).parts[:-1]
            )
            if not inside and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                yield _removable(workspace, path, "left by a process that was killed")


def _estimates(workspace: Workspace, runs: Iterable[Run]) -> Iterator[Removable]:
    for run in runs:
        folder = run.store.folder / "estimates"
        if folder.is_dir():
            yield _removable(workspace, folder, f"estimates of the complete run {run.store.id}")


def _removable(workspace: Workspace, path: Path, reason: str) -> Removable:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    reference = path.relative_to(workspace.root).as_posix()
    return Removable(reference, reason, size, functools.partial(_remove, path))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        parent = path.parent
        if parent.parent.name == "rendered" and not any(parent.iterdir()):
            parent.rmdir()
    else:
        path.unlink(missing_ok=True)
