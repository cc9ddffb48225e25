"""Fetch a dataset: download, verify, unpack (and decode) and check it, then move it to its place."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mssbench_service.download import Progress, download, folder_lock, mismatch, sha256_of
from mssbench_service.errors import BadInput
from mssbench_service.files import TEMPORARY, atomic_folder, make_folder, read_json, write_json
from mssbench_service.musdb import SPLITS, track_folders

from .angles import read_placements
from .catalog import RemoteDataset
from .convert import convert_dataset, require_decoder
from .unpack import unzip

FETCH_RECORD = ".fetched.json"
"""File in a fetched folder with the address and the SHA-256 of the archive."""

Accept = Callable[[Path], None]
"""Function that raises BadInput if the content of a path is not the dataset."""

MUSDB18HQ_TRACKS = {"train": 100, "test": 50}


def fetch(
    dataset: RemoteDataset,
    out: Path,
    accept: Accept = lambda path: None,
    *,
    progress: Progress = lambda *_: None,
    pause: float = 1.0,
) -> bool:
    """Download `dataset` into `out`, a folder or file that appears complete or not at all.

    An interrupted download is resumed: in the same call, and in the next one if a checksum is known. `accept` checks
    the content before it is moved to `out`.

    Parameters
    ----------
    progress : callable
        Called with the name of the file, the bytes received, and the bytes in total if known.
    pause : float
        Seconds before the first retry; doubled after each attempt that receives nothing.

    Returns
    -------
    bool
        False if `out` already contained the dataset.

    Raises
    ------
    Unreachable, NotFound
        The server does not respond, or does not have the file.
    BadInput
        The download is damaged or is another file (it is then deleted), or `out` cannot be written or
        contains something else.
    """
    folder = make_folder(out.parent)
    with folder_lock(folder):
        if _is_fetched(dataset, out):
            return False
        if dataset.content == "stems":
            require_decoder()
        part = folder / f"{out.name}.part"
        download(dataset, part, progress=progress, pause=pause, largest=dataset.largest)
        if dataset.unpack:
            _unpack(dataset, part, out, accept, progress)
        else:
            _place(part, out, accept)
    return True


def _is_fetched(dataset: RemoteDataset, out: Path) -> bool:
    if not out.exists():
        return False
    if dataset.unpack and (out / FETCH_RECORD).is_file():
        record = read_json(out / FETCH_RECORD)
        if isinstance(record, dict):
            found = str(record.get("sha256", ""))
            # A folder of an earlier version, for which no checksum was known, has none.
            if found.startswith(dataset.sha256) and record.get("md5", dataset.md5) == dataset.md5:
                return True
        expected = f"SHA-256 {dataset.sha256}" if dataset.sha256 else f"MD5 {dataset.md5}"
        raise BadInput(f"{out} was fetched from another archive; expected {expected}")
    if not dataset.unpack and out.is_file() and dataset.sha256 and not mismatch(dataset, out):
        return True
    raise BadInput(f"{out} exists and is not this dataset; choose another path, or remove it")


def _unpack(dataset: RemoteDataset, archive: Path, out: Path, accept: Accept, progress: Progress) -> None:
    show = functools.partial(progress, f"{dataset.name}: unpacking")
    try:
        with atomic_folder(out) as temporary:
            if dataset.content == "stems":
                _unzip_and_decode(dataset, archive, temporary, progress)
            else:
                unzip(archive, temporary, largest=dataset.largest, show=show)
            accept(temporary)
            record = {"url": dataset.url, "sha256": sha256_of(archive)}
            write_json(temporary / FETCH_RECORD, record | ({"md5": dataset.md5} if dataset.md5 else {}))
    except BadInput:
        # A verified archive is kept: the disk was full, and the next call needs no download.
        if not dataset.pinned:
            archive.unlink(missing_ok=True)
        raise
    archive.unlink()


def _unzip_and_decode(dataset: RemoteDataset, archive: Path, out: Path, progress: Progress) -> None:
    size = archive.stat().st_size

    def show(done: int, total: int) -> None:
        progress(f"{dataset.name}: decoding", size * done // total, size)

    with TemporaryDirectory(dir=out.parent, prefix=TEMPORARY) as coded:
        unzip(archive, Path(coded), largest=dataset.largest)
        convert_dataset(Path(coded), out, show)


def _place(part: Path, out: Path, accept: Accept) -> None:
    try:
        accept(part)
    except BadInput:
        part.unlink()
        raise
    os.replace(part, out)


def accept_musdb18hq(folder: Path, expected: Mapping[str, int] = MUSDB18HQ_TRACKS) -> None:
    """Raise BadInput unless `folder` has the MUSDB18-HQ layout and the expected number of tracks per split."""
    for split in SPLITS:
        found = len(track_folders(folder, split))
        if found != expected[split]:
            raise BadInput(f"the archive has {found} {split} tracks; expected {expected[split]}")


def accept_splits(folder: Path) -> None:
    """Raise BadInput unless `folder` has the MUSDB18-HQ layout and tracks in both splits."""
    for split in SPLITS:
        track_folders(folder, split)


def fetched_sha256(out: Path) -> str:
    """SHA-256 of the archive that the folder `out` was fetched from; empty if it is not known."""
    found = read_json(out / FETCH_RECORD) if (out / FETCH_RECORD).is_file() else {}
    return str(found.get("sha256", "")) if isinstance(found, dict) else ""


def accept_angles(path: Path) -> None:
    """Raise BadInput unless the file is a table of azimuths of both splits."""
    for split in SPLITS:
        table = read_json(path)
        titles = list(table[split]) if isinstance(table, dict) and isinstance(table.get(split), dict) else []
        read_placements(path, split, titles)
