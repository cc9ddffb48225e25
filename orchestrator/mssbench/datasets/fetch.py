"""Fetching a dataset: download, verify, unpack, look whether it is what it should be, and only then name it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mssbench_service.download import Progress, download, folder_lock, mismatch
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder, make_folder, read_json, write_json
from mssbench_service.musdb import SPLITS, track_folders

from .angles import read_angle_table
from .pins import Source
from .unpack import unzip

SEPARATION_FILE = ".fetched.json"
"""In a fetched folder: where it came from, and the digest that its archive was verified with."""

Accept = Callable[[Path], None]
"""Raises BadInput if what lies at a path is not what was asked for."""

MUSDB18HQ_TRACKS = {"train": 100, "test": 50}


def fetch(
    source: Source,
    out: Path,
    accept: Accept = lambda path: None,
    *,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> bool:
    """Bring `source` to `out`, a folder or file that appears complete or not at all.

    A download that was cut off goes on where it stopped, in this call or, where a digest is known, in the next.

    Parameters
    ----------
    accept
        Looks at the unpacked content before it gets its name.
    progress
        Called with a file's name, the bytes there so far, and their number if that is known.
    pause
        Seconds before the first new attempt; doubled after each that brings nothing new.

    Returns
    -------
    bool
        False if it was there already.

    Raises
    ------
    Unreachable, NotFound
        The server does not answer, or not with the file.
    BadInput
        What came is damaged or something else (it is deleted), or `out` cannot be written or is in the way.
    """
    folder = make_folder(out.parent)
    with folder_lock(folder):
        if _is_there(source, out):
            return False
        part = folder / f"{out.name}.part"
        download(source, part, progress=progress, pause=pause, largest=source.largest)
        if source.unpack:
            _unpack(source, part, out, accept, progress)
        else:
            _place(part, out, accept)
    return True


def _is_there(source: Source, out: Path) -> bool:
    if not out.exists():
        return False
    if source.unpack and (out / SEPARATION_FILE).is_file():
        record = read_json(out / SEPARATION_FILE)
        if isinstance(record, dict) and record.get("sha256") == source.sha256:
            return True
        raise BadInput(f"{out} was fetched from another archive; expected SHA-256 {source.sha256}")
    if not source.unpack and out.is_file() and source.sha256 and not mismatch(source, out):
        return True
    raise BadInput(f"{out} exists and is not what would be fetched; name another place, or remove it")


def _unpack(source: Source, archive: Path, out: Path, accept: Accept, progress: Progress | None) -> None:
    def show(done: int, total: int) -> None:
        if progress:
            progress(f"{source.name}: unpacking", done, total)

    try:
        with atomic_folder(out) as temporary:
            unzip(archive, temporary, largest=source.largest, show=show)
            accept(temporary)
            write_json(temporary / SEPARATION_FILE, {"url": source.url, "sha256": source.sha256})
    except BadInput:
        if not source.sha256:  # a verified archive is as it should be: what is wrong then is the disk
            archive.unlink(missing_ok=True)
        raise
    archive.unlink()


def _place(part: Path, out: Path, accept: Accept) -> None:
    try:
        accept(part)
    except BadInput:
        part.unlink()
        raise
    os.replace(part, out)


def accept_musdb18hq(folder: Path, expected: Mapping[str, int] = MUSDB18HQ_TRACKS) -> None:
    """Raise BadInput unless `folder` has the layout and the number of tracks."""
    for split in SPLITS:
        found = len(track_folders(folder, split))
        if found != expected[split]:
            raise BadInput(f"the archive has {found} {split} tracks; expected {expected[split]}")


def accept_angles(path: Path) -> None:
    """Raise BadInput unless the file is a table of azimuths."""
    for split in SPLITS:
        table = read_json(path)
        titles = list(table[split]) if isinstance(table, dict) and isinstance(table.get(split), dict) else []
        read_angle_table(path, split, titles)
