"""Datasets and HRIR sets under ``data/`` of the data root, for the launch form."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from mssbench_service.musdb import MIXTURE, SPLITS

MAX_DEPTH = 3
"""Number of folder levels below ``data/`` that are searched."""

MAX_NAMES = 50
"""Largest number of names to offer. Users can type others."""

_SADIE = re.compile(r"azi_.*_ele_.*\.wav", re.IGNORECASE)


def datasets(root: Path) -> list[str]:
    """Return references of folders in the MUSDB18-HQ layout. These are suggestions: a run checks its dataset."""
    return _names(root, _is_dataset)


def hrir_sets(root: Path) -> list[str]:
    """Return references of SOFA files and SADIE II folders. These are suggestions too."""
    return _names(root, _is_hrir_set)


def _names(root: Path, wanted: Callable[[Path], bool]) -> list[str]:
    names = (path.relative_to(root).as_posix() for path in _below(root / "data") if wanted(path))
    return sorted(islice(names, MAX_NAMES))


def _below(folder: Path, level: int = 1) -> Iterator[Path]:
    """Yield the paths in `folder` down to :data:`MAX_DEPTH`, without those in datasets and renderings."""
    for path in _entries(folder):
        if path.name.startswith(".") or path.name == "rendered":
            continue
        yield path
        if level < MAX_DEPTH and path.is_dir() and not _is_dataset(path):
            yield from _below(path, level + 1)


def _is_dataset(path: Path) -> bool:
    tracks = (track for split in SPLITS for track in islice(_entries(path / split), MAX_NAMES))
    return any((track / f"{MIXTURE}.wav").exists() for track in tracks)


def _is_hrir_set(path: Path) -> bool:
    if path.suffix.lower() == ".sofa":
        return path.is_file()
    return any(_SADIE.fullmatch(entry.name) for entry in islice(_entries(path), MAX_NAMES))


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries)
    except OSError:  # not a folder, or not readable
        return []
