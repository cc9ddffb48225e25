"""What the data root can do without: renderings that no run refers to, leftovers, estimates on request."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mssbench_service.errors import BenchError, Conflict

from ..runs.progress import progress_of
from ..runs.run import Run
from ..runs.store import DELETED, Workspace
from ..services.runtime import Runtime

TEMPORARY = ".tmp-"
STALE_SECONDS = 24 * 3600.0
"""A temporary file this old belongs to nobody: no step takes that long."""

RENDERING_FORMAT = "a rendering that no run refers to"
ESTIMATES = "estimates of the complete run"
OF_DELETED = "what is left of a deleted run"
OF_KILLED = "left by a process that was killed"


@dataclass(frozen=True)
class Removable:
    """A file or folder that can go: its place in the data root, why, its size in bytes, and how."""

    reference: str
    reason: str
    size: int
    remove: Callable[[], None] = field(repr=False)
    """What is gone meanwhile is fine."""


def find_removable(workspace: Workspace, runtime: Runtime, estimates: bool = False) -> list[Removable]:
    """What could be removed; nothing is.

    Parameters
    ----------
    estimates : bool
        Also the estimates of complete runs. Their scores stay, but ``rescore`` and new audio in reports need
        the estimates.

    Raises
    ------
    Conflict
        A run's record cannot be read, so that nobody knows which renderings it needs.
    """
    runs = []
    for run_id in workspace.run_ids():
        store = workspace.run(run_id)
        try:
            runs.append(Run(store, store.load(), runtime))
        except BenchError as error:
            raise Conflict(f"{error.detail}; repair or remove {store.folder} first") from None
    at_rest = [run.store.id for run in runs if estimates and _at_rest(run)]
    return [*_renderings(workspace, runtime, runs), *_leftovers(workspace), *_estimates(workspace, at_rest)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        parent = path.parent
        if parent.parent.name == "rendered" and not any(parent.iterdir()):
            parent.rmdir()
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Work in `folder`, which is first freed of what killed processes left there, unless somebody else works in it.

    Everybody who does so holds a lock on the folder, which ends with the process, however that ends.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # in use, or a file system without locks: nothing is swept
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in folder.glob(f"{TEMPORARY}*"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _at_rest(run: Run) -> bool:
    return progress_of(run).complete and not run.store.held and not run.store.launched.exists()


def _needed(runs: Iterable[Run]) -> set[str]:
    """References of the renderings that `runs` refer to."""
    return {
        track.folders["binaural"]
        for run in runs
        for track in run.record.tracks
        if "binaural" in track.folders
    }


def _renderings(workspace: Workspace, runtime: Runtime, runs: list[Run]) -> Iterator[Removable]:
    needed = {os.path.realpath(runtime.root.resolve(reference)) for reference in _needed(runs)}
    for folder in sorted((workspace.root / "data" / "rendered").glob("*/*/")):
        if not folder.name.startswith(TEMPORARY) and os.path.realpath(folder) not in needed:
            yield _removable(workspace, folder, RENDERING_FORMAT)


def _leftovers(workspace: Workspace) -> Iterator[Removable]:
    for folder in sorted(workspace.runs.glob(f"{DELETED}*")):
        yield _removable(workspace, folder, OF_DELETED)
    # Only where the bench itself writes: what lies in datasets is their owner's.
    for base in (workspace.root / "data" / "rendered", workspace.runs):
        for path in sorted(base.rglob(f"{TEMPORARY}*")):
            inside = [
                part for part in path.relative_to(base).parts[:-1] if part.startswith((TEMPORARY, DELETED))
            ]
            if not inside and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                yield _removable(workspace, path, OF_KILLED)


def _estimates(workspace: Workspace, run_ids: Iterable[str]) -> Iterator[Removable]:
    for run_id in run_ids:
        folder = workspace.run(run_id).folder / "estimates"
        if folder.is_dir():
            yield _removable(workspace, folder, f"{ESTIMATES} {run_id}")


def _removable(workspace: Workspace, path: Path, reason: str) -> Removable:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    reference = path.relative_to(workspace.root).as_posix()
    return Removable(reference, reason, size, functools.partial(_remove, path))
