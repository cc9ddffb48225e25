"""What the data root can do without: renderings that no run refers to, leftovers, estimates on request."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.errors import BenchError, Conflict

from .progress import progress_of
from .runtime import Runtime
from .steps import Run
from .store import DELETED, Workspace

TEMPORARY = ".tmp-"
STALE_SECONDS = 24 * 3600.0
"""A temporary file this old belongs to nobody: no step takes that long."""


@dataclass(frozen=True)
class Litter:
    """A file or folder that can go: why, and its size in bytes."""

    path: Path
    reason: str
    size: int


def find_litter(workspace: Workspace, runtime: Runtime, estimates: bool = False) -> list[Litter]:
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
            raise Conflict(f"{error.detail}; mend or remove {store.folder} first") from None
    found = [*_renderings(workspace, runtime, runs), *_leftovers(workspace)]
    if estimates:
        found += [
            _litter(run.store.folder / "estimates", f"estimates of the complete run {run.store.id}")
            for run in runs
            if (run.store.folder / "estimates").is_dir() and _at_rest(run)
        ]
    return found


def remove(litter: Litter) -> None:
    """Remove it; what is gone meanwhile is fine."""
    if litter.path.is_dir() and not litter.path.is_symlink():
        shutil.rmtree(litter.path, ignore_errors=True)
        parent = litter.path.parent
        if parent.parent.name == "rendered" and not any(parent.iterdir()):
            parent.rmdir()
    else:
        litter.path.unlink(missing_ok=True)


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


def _renderings(workspace: Workspace, runtime: Runtime, runs: list[Run]) -> Iterator[Litter]:
    needed = {
        os.path.realpath(runtime.root.resolve(track.folders["binaural"]))
        for run in runs
        for track in run.record.tracks
        if "binaural" in track.folders
    }
    for folder in sorted((workspace.root / "data" / "rendered").glob("*/*/")):
        if not folder.name.startswith(TEMPORARY) and os.path.realpath(folder) not in needed:
            yield _litter(folder, "a rendering that no run refers to")


def _leftovers(workspace: Workspace) -> Iterator[Litter]:
    for folder in sorted(workspace.runs.glob(f"{DELETED}*")):
        yield _litter(folder, "what is left of a deleted run")
    # Only where the bench itself writes: what lies in datasets is their owner's.
    for base in (workspace.root / "data" / "rendered", workspace.runs):
        for path in sorted(base.rglob(f"{TEMPORARY}*")):
            inside = [
                part for part in path.relative_to(base).parts[:-1] if part.startswith((TEMPORARY, DELETED))
            ]
            if not inside and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                yield _litter(path, "left by a process that was killed")


def _litter(path: Path, reason: str) -> Litter:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
    return Litter(path, reason, sum(file.lstat().st_size for file in files))
