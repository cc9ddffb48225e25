"""Fingerprints of input files, from their sizes and times. Run ids and the keys of renderings are made of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mssbench_service.musdb import MIXTURE, STEMS

FileState = tuple[int, int, int]


def file_state(path: Path | str) -> FileState | None:
    """Return time, size and inode of a file, which differ when it was written again; None if there is no file.

    The time alone does not tell: two saves in quick succession may have the same.
    """
    try:
        stat = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def state_of_files(folder: Path, stems: Sequence[str] = STEMS) -> str:
    """Fingerprint of the track in `folder`, as :attr:`TrackRecord.files` holds it."""
    return digest(fingerprint(folder, stems))[:20]


def fingerprint(folder: Path, stems: Sequence[str] = STEMS) -> list[list[object]]:
    """Size and modification time of the mixture and of each of `stems` in `folder`; names other than MUSDB18-HQ's."""
    stats = [(folder / f"{name}.wav").stat() for name in (MIXTURE, *stems)]
    states: list[list[object]] = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
    return states if tuple(stems) == STEMS else [*states, list(stems)]


def digest(value: object) -> str:
    """SHA-256 of `value` as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
