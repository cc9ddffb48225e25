"""Copy a run or a dataset to a URL and from there into a data root: ``mssbench push`` and ``mssbench pull``.

At the URL, files have the names that they have in the folder. ``mssbench-manifest.json`` beside them lists each
file with its size and SHA-256; it is marked complete only after all files were written and read back. What is
there already and has the right hash is not copied again, so a transfer that was stopped continues when the command
is repeated. A pulled folder is put together under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mssbench_service.download import Progress, folder_lock
from mssbench_service.errors import BadInput, BadOutput, Conflict, NotFound
from mssbench_service.files import DataRoot, atomic_file, make_folder, remove_folder
from mssbench_service.names import path_suggestion

from ..runs.layout import SUPERVISED_MARKER
from ..runs.store import RunStore, Workspace
from .copying import Meter, has_size, in_threads, sha256_and_size, sha256_of
from .manifest import MANIFEST, File, Manifest, read_manifest, write_manifest
from .object_store import Count, ObjectStore, blocks_of, open_store

ESTIMATES = "estimates/"


@dataclass(frozen=True)
class Transfer:
    """What was done. `copied` and `kept` count files; `place` is the URL or the folder."""

    kind: str
    place: str
    copied: int
    kept: int


def push(folder: Path, url: str, *, estimates: bool = True, progress: Progress = lambda *_: None) -> Transfer:
    """Copy a run directory or a dataset to `url`.

    Parameters
    ----------
    folder : Path
        A run directory (it has a ``run.json``) or the folder of a dataset.
    url : str
        Any URL that fsspec can open, such as ``s3://bucket/folder``. Its folder holds this copy alone.
    estimates : bool
        Whether the estimates of a run are copied.
    progress : callable
        Called with a stage, the bytes done and the total, from several threads but never at the same time.

    Raises
    ------
    Conflict
        The run is running; or `url` holds something else, or results that the run lacks.
    BadInput, NotFound, Unreachable
        The folder cannot be copied, or access to `url` is denied, or it cannot be reached.
    BadOutput
        What was read back from `url` is not what was written.
    """
    store, folder = open_store(url), Path(os.path.abspath(folder))
    with _run_locked(folder):
        names = _names(folder, estimates)
        manifest = _described(folder, names, progress)
        there = store.sizes()
        before = read_manifest(store) if MANIFEST in there else None
        _check_target(store, before, manifest, there)
        # From here on the copy is incomplete. What the last push wrote stays listed, for the check of the next one.
        earlier = before.files if before else []
        write_manifest(store, replace(manifest, files=earlier))
        copied = _upload(store, folder, manifest.files, there, progress)
        write_manifest(store, replace(manifest, complete=True))
    return Transfer(manifest.kind, store.url, copied, len(names) - copied)


def pull(
    url: str,
    workspace: Workspace,
    folder: Path | None = None,
    *,
    estimates: bool = True,
    progress: Progress = lambda *_: None,
) -> Transfer:
    """Copy a run or a dataset that :func:`push` wrote at `url` into a folder.

    Parameters
    ----------
    folder : Path, optional
        Default: ``runs/<id>`` or ``data/<name>`` in `workspace`. A run's folder has the name of its id. An
        earlier copy of the same run is updated.
    estimates : bool
        Whether the estimates of a run are copied.
    progress : callable
        As for :func:`push`.

    Raises
    ------
    NotFound
        There is no copy at `url`.
    Conflict
        The copy is incomplete; or the folder holds something else, or results that the copy lacks.
    BadInput
        A file at `url` is damaged, a name leads outside the folder, or access is denied.
    Unreachable
        `url` cannot be reached.
    """
    store = open_store(url)
    manifest = read_manifest(store)
    if not manifest.complete:
        raise Conflict(f"the copy at {store.url} is incomplete; repeat mssbench push, which completes it")
    target = _target(store, manifest, workspace, folder)
    files = [file for file in manifest.files if estimates or not file.path.startswith(ESTIMATES)]
    present = _present(target, files, progress)
    if len(present) == len(files):
        return Transfer(manifest.kind, str(target), 0, len(files))
    with _replaceable(target, manifest, files) as replaces:
        # A name that `mssbench gc` knows, where the pull is never completed.
        staging = make_folder(target.parent / f".tmp-pull-{target.name}")
        with folder_lock(staging):
            copied = _download(store, files, staging, target, present, progress)
            _remove_others(staging, files)
            if replaces:
                remove_folder(target)
            os.rename(staging, target)
    return Transfer(manifest.kind, str(target), copied, len(files) - copied)


# --- the folder ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _run_locked(folder: Path) -> Iterator[None]:
    """Hold the run in `folder`, so that it does not change while it is copied. Raises Conflict if it is running."""
    run = RunStore(folder)
    if not run.exists():
        yield
        return
    if run.lock.is_held:
        raise Conflict(f"run {run.id} is running; wait until it has ended, or cancel it")
    with run.lock.hold():
        yield


def _names(folder: Path, estimates: bool) -> list[str]:
    """The files to copy, by name. Locks and temporary files are left out: all names with a leading dot."""
    if not folder.is_dir():
        raise NotFound(
            f"{folder} is not a folder; expected the id or the folder of a run, or a dataset's folder"
            f"{path_suggestion(folder)}"
        )
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if os.path.islink(os.path.join(place, name)):
                raise BadInput(f"{os.path.join(place, name)} is a link to a folder; push copies no links")
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                found.append(path.relative_to(folder).as_posix())
    if MANIFEST in found:
        raise BadInput(f"{folder / MANIFEST} already exists; remove it")
    skipped = {SUPERVISED_MARKER}  # the orchestrator service of another machine does not execute the run
    found = [name for name in found if name not in skipped and (estimates or not name.startswith(ESTIMATES))]
    if not found:
        raise BadInput(f"{folder} holds no files to copy")
    return found


def _described(folder: Path, names: list[str], progress: Progress) -> Manifest:
    meter = Meter("read", sum((folder / name).stat().st_size for name in names), progress)

    def describe(name: str) -> File:
        path = folder / name
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            sha256, size = sha256_and_size(blocks_of(file), meter.add)
        return File(name, size, sha256, state.st_mtime_ns)

    files = in_threads(describe, names)
    run = RunStore(folder)
    if not run.exists():
        return Manifest("dataset", folder.absolute().name, files=files)
    record = run.load()
    return Manifest("run", run.id, record.created, files=files)


# --- push -----------------------------------------------------------------------------------------------------


def _check_target(store: ObjectStore, before: Manifest | None, now: Manifest, there: dict[str, int]) -> None:
    """Raise Conflict where a push would overwrite something that is not an earlier copy of the same."""
    if before is None:
        if there:
            raise Conflict(
                f"{store.url} holds {len(there)} files that mssbench push did not write; choose another URL"
            )
        return
    if not before.describes_same(now):
        raise Conflict(f"{store.url} holds {before.described}, not {now.described}; choose another URL")
    hashes = {file.path: file.sha256 for file in now.files}
    if now.kind == "run":
        if lost := [name for name in _irreplaceable(before.files, estimates=False) if name not in hashes]:
            raise Conflict(
                f"the copy at {store.url} has {len(lost)} results that run {now.name} lacks, such as {lost[0]}; "
                "pull it, or choose another URL"
            )
        return
    for file in before.files:
        if hashes.get(file.path, file.sha256) != file.sha256:
            raise Conflict(
                f"{store.url}/{file.path} has other content than the dataset's; choose another URL"
            )


def _upload(
    store: ObjectStore, folder: Path, files: list[File], there: dict[str, int], progress: Progress
) -> int:
    """Write what is not there yet and read everything back; return how many files were written."""
    total = sum(file.size for file in files)
    sent, verified = Meter("push", total, progress), Meter("verify", total, progress)

    def transfer(file: File) -> bool:
        if there.get(file.path) == file.size and sha256_and_size(store.blocks(file.path))[0] == file.sha256:
            sent.add(file.size)
            verified.add(file.size)
            return False
        store.upload(file.path, folder / file.path, sent.add)
        found, _ = sha256_and_size(store.blocks(file.path), verified.add)
        if found != file.sha256:
            raise BadOutput(
                f"{store.url}/{file.path} is not what was written (SHA-256 {found[:12]}…, expected "
                f"{file.sha256[:12]}…): it changed meanwhile, or the transfer failed; repeat the command"
            )
        return True

    return _record_last(transfer, files)


# --- pull -----------------------------------------------------------------------------------------------------


def _target(store: ObjectStore, manifest: Manifest, workspace: Workspace, folder: Path | None) -> Path:
    if manifest.kind == "run":
        run = workspace.run(manifest.name)
        if folder is not None and folder.absolute().name != run.id:
            raise BadInput(f"{store.url} holds run {run.id}; expected a folder of that name, not {folder}")
        return (folder or run.folder).absolute()
    return (folder or workspace.root / "data" / manifest.name).absolute()


def _present(target: Path, files: list[File], progress: Progress) -> set[str]:
    """The files that `target` holds already, as they should be."""
    candidates = [file for file in files if has_size(target / file.path, file.size)]
    meter = Meter("compare", sum(file.size for file in candidates), progress)

    def same(file: File) -> bool:
        return sha256_of(target / file.path, meter.add) == file.sha256

    return {file.path for file, found in zip(candidates, in_threads(same, candidates), strict=True) if found}


@contextlib.contextmanager
def _replaceable(target: Path, manifest: Manifest, files: list[File]) -> Iterator[bool]:
    """Hold `target` while it is replaced; yield whether there is anything. Raises Conflict where that would be lost."""
    if target.is_file():
        raise Conflict(f"{target} is a file; choose another folder")
    if not target.exists() or not any(target.iterdir()):
        yield False
        return
    run = RunStore(target)
    if manifest.kind != "run" or not run.exists() or run.load().created != manifest.created:
        raise Conflict(
            f"{target} holds something other than {manifest.described} of the copy; choose another folder"
        )
    names = {file.path for file in files}
    local = [File(name, 0, "", 0) for name in _names(target, estimates=True)]
    if lost := [name for name in _irreplaceable(local) if name not in names]:
        raise Conflict(
            f"{target} has {len(lost)} files that the copy lacks, such as {lost[0]}; choose another folder"
        )
    with _run_locked(target):
        yield True


def _download(
    store: ObjectStore, files: list[File], staging: Path, target: Path, present: set[str], progress: Progress
) -> int:
    """Bring all `files` into `staging`; return how many were downloaded."""
    meter = Meter("pull", sum(file.size for file in files), progress)
    root = DataRoot(staging)

    def transfer(file: File) -> bool:
        path = root.resolve(file.path)
        if has_size(path, file.size) and sha256_of(path) == file.sha256:
            meter.add(file.size)
            return False
        with atomic_file(path) as temporary:
            if file.path in present:
                shutil.copyfile(target / file.path, temporary)
                meter.add(file.size)
            else:
                _receive(store, file, temporary, meter.add)
            os.utime(temporary, ns=(file.mtime_ns, file.mtime_ns))
        return file.path not in present

    return _record_last(transfer, files)


def _receive(store: ObjectStore, file: File, path: Path, count: Count) -> None:
    def written() -> Iterator[bytes]:
        done = 0
        with path.open("wb") as target:
            for block in store.blocks(file.path):
                done += len(block)
                if done > file.size:
                    raise BadInput(
                        f"{store.url}/{file.path} is longer than its {file.size} bytes; push it again"
                    )
                target.write(block)
                yield block

    found, size = sha256_and_size(written(), count)
    if (found, size) != (file.sha256, file.size):
        raise BadInput(
            f"{store.url}/{file.path} is damaged: SHA-256 {found[:12]}… and {size} bytes; expected "
            f"{file.sha256[:12]}… and {file.size}; push it again"
        )


def _remove_others(staging: Path, files: Iterable[File]) -> None:
    """Remove what an earlier, stopped pull left and the copy does not list, and the lock."""
    names = {file.path for file in files}
    for path in sorted(staging.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(staging).as_posix() not in names:
            path.unlink()


# --- both -----------------------------------------------------------------------------------------------------


def _irreplaceable(files: Iterable[File], estimates: bool = True) -> Iterator[str]:
    """The names of results and estimates among a run's files: the rest can be written again from them."""
    for file in files:
        result = file.path.startswith("cells/") and file.path.endswith("/result.json")
        if result or (estimates and file.path.startswith(ESTIMATES)):
            yield file.path


def _record_last(transfer: Callable[[File], bool], files: list[File]) -> int:
    """Transfer all files, ``run.json`` last: a folder without one is not a run. Return how many were copied."""
    record = [file for file in files if file.path == "run.json"]
    others = [file for file in files if file.path != "run.json"]
    return sum(in_threads(transfer, others)) + sum(in_threads(transfer, record))
