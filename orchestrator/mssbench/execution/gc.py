"""Finds files in the data root that can be removed: unused renderings, files that killed processes left, estimates."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mssbench_service.errors import BadInput, BenchError, Conflict, NotFound
from mssbench_service.files import TEMPORARY, remove_folder
from mssbench_service.musdb import HRIR_FILE
from mssbench_service.separation import SEPARATION_FILE

from ..datasets.selection import EXCERPT_FILE
from ..runs.conditions import STEREO
from ..runs.layout import DELETED_PREFIX, RENDERING_FILE
from ..runs.lock import folder_locked
from ..runs.owned import inside, remove_if_empty
from ..runs.progress import progress_of
from ..runs.run import Run, open_run
from ..runs.store import RunStore, Workspace
from ..services.runtime import Runtime
from .embedded import is_abandoned

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


def find_removable(runtime: Runtime, estimates: bool = False) -> list[Removable]:
    """Find what can be removed. Removes nothing.

    With `estimates`, these include the estimates of complete runs. Their scores are kept, but ``rescore`` and new audio
    in reports need the estimates.

    Raises
    ------
    Conflict
        A run's record cannot be read, so that the renderings that it uses are not known.
    """
    workspace, runs = Workspace(runtime.root.root), _runs(runtime)
    complete = [run for run in runs if estimates and progress_of(run).complete]
    return [
        *_renderings(workspace, runtime, runs),
        *_leftovers(workspace),
        *_estimates(workspace, complete),
        *_of_removed_runs(workspace),
    ]


def _runs(runtime: Runtime) -> list[Run]:
    workspace, runs = Workspace(runtime.root.root), []
    for run_id in workspace.run_ids():
        store = workspace.run(run_id)
        try:
            runs.append(open_run(store, runtime))
        except NotFound:
            continue  # deleted meanwhile
        except BenchError as error:
            raise Conflict(f"{error.detail}; repair or remove {store.folder} first") from None
    return runs


def _needed(runs: Iterable[Run]) -> set[str]:
    return {
        os.path.realpath(run.runtime.root.resolve(folder))
        for run in runs
        for track in run.record.tracks
        for folder in (*(track.folders[name] for name in track.folders if name != STEREO), track.cut)
        if folder
    }


def _renderings(workspace: Workspace, runtime: Runtime, runs: Iterable[Run]) -> Iterator[Removable]:
    needed = _needed(runs)
    for folder in sorted(workspace.renderings.glob("*/*/")):
        if folder.name.startswith(TEMPORARY) or os.path.realpath(folder) in needed:
            continue
        try:
            inside(workspace.renderings, folder.parent.name, folder.name)
        except BadInput:
            continue  # it is elsewhere, and was linked here
        if _is_rendering(folder):
            remove = functools.partial(_remove_rendering, workspace, runtime, folder)
            yield _removable(workspace, folder, "a rendering that no run refers to", remove)


_FILES = re.compile(
    rf"[a-z0-9_]+(\.direct)?\.wav|{re.escape(HRIR_FILE)}|{re.escape(RENDERING_FILE)}|{re.escape(EXCERPT_FILE)}"
)


def _is_rendering(folder: Path) -> bool:
    """Whether the bench made `folder`: it has the record of a rendering, or its name and no other files."""
    named = re.fullmatch("[0-9a-f]+", folder.parent.name) and all(
        _FILES.fullmatch(path.name) for path in folder.iterdir()
    )
    return any((folder / name).is_file() for name in (RENDERING_FILE, EXCERPT_FILE)) or bool(named)


def _remove_rendering(workspace: Workspace, runtime: Runtime, folder: Path) -> None:
    """Remove it unless a run that was started meanwhile needs it."""
    with folder_locked(workspace.runs, shared=False):
        if os.path.realpath(folder) in _needed(_runs(runtime)):
            return
        remove_folder(folder)
    remove_if_empty(folder.parent)


def _leftovers(workspace: Workspace) -> Iterator[Removable]:
    for folder in sorted(workspace.runs.glob(f"{DELETED_PREFIX}*")):
        yield _removable(workspace, folder, "a deleted run")
    # Only in folders that the bench writes to, not in datasets.
    for base in (workspace.renderings, workspace.runs):
        for path in sorted(_temporary(base)):
            with contextlib.suppress(FileNotFoundError):  # a process that runs has renamed it
                if time.time() - path.lstat().st_mtime > STALE_SECONDS:
                    yield _removable(workspace, path, "left by a process that was killed")


def _temporary(base: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(base):  # unlike rglob, it accepts that entries disappear
        yield from (Path(where, name) for name in folders + files if name.startswith(TEMPORARY))
        folders[:] = [name for name in folders if not name.startswith((TEMPORARY, DELETED_PREFIX))]


def _estimates(workspace: Workspace, runs: Iterable[Run]) -> Iterator[Removable]:
    for run in runs:
        folder = run.store.folder / "estimates"
        executed = run.store.lock.is_held or run.store.markers.supervised
        if folder.is_dir() and not folder.is_symlink() and not executed:
            remove = functools.partial(_remove_estimates, run, folder)
            yield _removable(workspace, folder, f"estimates of the complete run {run.store.id}", remove)


def _remove_estimates(run: Run, folder: Path) -> None:
    """Remove them unless the run is executed again."""
    with contextlib.suppress(Conflict), run.store.lock.hold():
        if progress_of(run).complete:
            remove_folder(folder)


def _of_removed_runs(workspace: Workspace) -> Iterator[Removable]:
    """Estimates that are left of a run whose directory was removed while a step of it wrote them."""
    for folder in sorted(workspace.runs.glob("*/estimates/")):
        store = RunStore(folder.parent)
        linked = folder.is_symlink() or store.folder.is_symlink() or store.id.startswith(".")
        if linked or store.exists() or store.lock.is_held:
            continue
        if next(folder.glob(f"*/*/*/{SEPARATION_FILE}"), None) is not None:
            remove = functools.partial(_remove_of_removed_run, store, folder)
            yield _removable(workspace, folder, f"estimates of the run {store.id}, which was removed", remove)


def _remove_of_removed_run(store: RunStore, folder: Path) -> None:
    if not store.exists():
        remove_folder(folder)
        remove_if_empty(store.folder)


def temporary_folders() -> Iterator[Removable]:
    """Folders of embedded servers and workers whose launcher was killed."""
    for folder in sorted(Path(tempfile.gettempdir()).glob("mssbench-*")):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not is_abandoned(folder):
                continue
            size = sum(file.lstat().st_size for file in folder.iterdir())
        except OSError:
            continue
        remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
        yield Removable(str(folder), "left by a launcher that was killed", size, remove)


def _removable(
    workspace: Workspace, path: Path, reason: str, remove: Callable[[], None] | None = None
) -> Removable:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    reference = path.relative_to(workspace.root).as_posix()
    return Removable(reference, reason, size, remove or functools.partial(_remove, path))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
