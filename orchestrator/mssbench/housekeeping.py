"""What the data root can do without: renderings that no run refers to, leftovers, estimates on request.

Where the data root is at a URL, what is there goes, and what the cache of this machine has of the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mssbench_service.errors import BenchError, Conflict
from mssbench_service.separation import SEPARATION_FILE

from .formats import RUN
from .objects import Version
from .progress import progress_of
from .remote import SERVED, RemoteMirror
from .runtime import Runtime
from .steps import METADATA, Run
from .store import DELETED, Workspace

TEMPORARY = ".tmp-"
STALE_SECONDS = 24 * 3600.0
"""A temporary file this old belongs to nobody: no step takes that long."""

RENDERING = "a rendering that no run refers to"
ESTIMATES = "estimates of the complete run"
OF_DELETED = "what is left of a deleted run"
OF_KILLED = "left by a process that was killed"


@dataclass(frozen=True)
class Litter:
    """A file or folder that can go: its place in the data root, why, its size in bytes, and how."""

    reference: str
    reason: str
    size: int
    remove: Callable[[], None] = field(repr=False)
    """What is gone meanwhile is fine."""


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
    mirror = workspace.mirror if isinstance(workspace.mirror, RemoteMirror) else None
    # Before the runs: what is rendered from now on may be for one that begins meanwhile.
    there = _There(mirror) if mirror else None
    runs = []
    for run_id in workspace.run_ids():
        store = workspace.run(run_id)
        if estimates:
            store.refresh()
        try:
            runs.append(Run(store, store.load(), runtime))
        except BenchError as error:
            where = f"{mirror.url}/runs/{run_id}" if mirror else store.folder
            raise Conflict(f"{error.detail}; mend or remove {where} first") from None
    at_rest = [run.store.id for run in runs if estimates and _at_rest(run)]
    found = [*_renderings(workspace, runtime, runs), *_leftovers(workspace), *_estimates(workspace, at_rest)]
    if there is None:
        return found
    found += _no_longer_there(workspace, {run.store.id for run in runs})
    cached = [replace(one, reason=f"{one.reason}, in this machine's cache") for one in found]
    return [*there.renderings(_needed(runs)), *there.leftovers(), *there.estimates(at_rest), *cached]


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


def _renderings(workspace: Workspace, runtime: Runtime, runs: list[Run]) -> Iterator[Litter]:
    needed = {os.path.realpath(runtime.root.resolve(reference)) for reference in _needed(runs)}
    for folder in sorted((workspace.root / "data" / "rendered").glob("*/*/")):
        if not folder.name.startswith(TEMPORARY) and os.path.realpath(folder) not in needed:
            yield _litter(workspace, folder, RENDERING)


def _leftovers(workspace: Workspace) -> Iterator[Litter]:
    for folder in sorted(workspace.runs.glob(f"{DELETED}*")):
        yield _litter(workspace, folder, OF_DELETED)
    # Only where the bench itself writes: what lies in datasets is their owner's.
    for base in (workspace.root / "data" / "rendered", workspace.runs):
        for path in sorted(base.rglob(f"{TEMPORARY}*")):
            inside = [
                part for part in path.relative_to(base).parts[:-1] if part.startswith((TEMPORARY, DELETED))
            ]
            if not inside and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                yield _litter(workspace, path, OF_KILLED)


def _estimates(workspace: Workspace, run_ids: Iterable[str]) -> Iterator[Litter]:
    for run_id in run_ids:
        folder = workspace.run(run_id).folder / "estimates"
        if folder.is_dir():
            yield _litter(workspace, folder, f"{ESTIMATES} {run_id}")


def _no_longer_there(workspace: Workspace, run_ids: set[str]) -> Iterator[Litter]:
    """What the cache has of runs that are gone at the URL."""
    for base in (workspace.runs, workspace.root / SERVED / "runs"):
        for folder in sorted(base.glob("[!.]*/")):
            if folder.name not in run_ids and not workspace.run(folder.name).held:
                yield _litter(workspace, folder, OF_DELETED)


def _litter(workspace: Workspace, path: Path, reason: str) -> Litter:
    files = [path] if not path.is_dir() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    reference = path.relative_to(workspace.root).as_posix()
    return Litter(reference, reason, size, functools.partial(_remove, path))


_OF_A_RUN = {
    *("cells", "estimates", "report", "results.csv", "followed", "cancelled"),
    *("launched-by-api", "report-problem.txt"),
}
"""What lies beside the record of a run."""


class _There:
    """The same at the URL, where there are files alone, whose folders are what their names say."""

    def __init__(self, mirror: RemoteMirror) -> None:
        self._mirror = mirror
        self._rendered = mirror.objects.find("data/rendered")
        self._runs = mirror.objects.find("runs")

    def renderings(self, needed: set[str]) -> Iterator[Litter]:
        folders = {"/".join(name.split("/")[:2]) for name in self._rendered if name.count("/") > 1}
        for folder in sorted(folders):
            reference = f"data/rendered/{folder}"
            if TEMPORARY not in folder and reference not in needed:
                yield self._litter(reference, RENDERING, self._in(self._rendered, folder), METADATA)

    def leftovers(self) -> Iterator[Litter]:
        """Of killed processes, and of runs that are deleted: their record goes first."""
        for base, names in (("data/rendered", self._rendered), ("runs", self._runs)):
            for path in sorted({found for name in names if (found := _temporary(name))}):
                files = self._in(names, path)
                if _stale(files.values()):
                    yield self._litter(f"{base}/{path}", OF_KILLED, files)
        run_ids = {name.split("/")[0] for name in self._runs if "/" in name}
        for run_id in sorted(
            run_ids - {name.split("/")[0] for name in self._runs if name.endswith(f"/{RUN.name}")}
        ):
            files = self._in(self._runs, run_id)
            # A run that is being copied to here may get its record last.
            if {name.split("/")[1] for name in files} <= _OF_A_RUN and _stale(files.values()):
                yield self._litter(f"runs/{run_id}", OF_DELETED, files)

    def estimates(self, run_ids: Iterable[str]) -> Iterator[Litter]:
        for run_id in run_ids:
            if files := self._in(self._runs, f"{run_id}/estimates"):
                yield self._litter(
                    f"runs/{run_id}/estimates", f"{ESTIMATES} {run_id}", files, SEPARATION_FILE
                )

    @staticmethod
    def _in(names: dict[str, Version], folder: str) -> dict[str, Version]:
        return {n: version for n, version in names.items() if n == folder or n.startswith(f"{folder}/")}

    def _litter(self, reference: str, reason: str, files: dict[str, Version], first: str = "") -> Litter:
        size = sum(version.size for version in files.values())
        return Litter(reference, reason, size, functools.partial(self._mirror.remove, reference, first))


def _temporary(name: str) -> str:
    """The part of `name` up to where it is called temporary; empty where it is not."""
    parts = name.split("/")
    for count, part in enumerate(parts, start=1):
        if part.startswith(TEMPORARY):
            return "/".join(parts[:count])
    return ""


def _stale(versions: Iterable[Version]) -> bool:
    return time.time() - max(version.written for version in versions) > STALE_SECONDS
