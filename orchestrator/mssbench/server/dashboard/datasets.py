"""What the launch form offers: datasets and HRIR sets under ``data/`` of the data root."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from mssbench_service.musdb import MIXTURE, SPLITS

DEEPEST = 3
"""Levels below ``data/`` that are looked at."""

MOST = 50
"""Names to offer; whoever has more can type one."""

_SADIE = re.compile(r"azi_.*_ele_.*\.wav", re.IGNORECASE)


def datasets(root: Path) -> list[str]:
    """References of folders in the MUSDB18-HQ layout. A hint only: a run checks what it is given."""
    return _names(root, _is_dataset)


def hrir_sets(root: Path) -> list[str]:
    """References of SOFA files and SADIE II folders. A hint only, as above."""
    return _names(root, _is_hrir_set)


def _names(root: Path, wanted: Callable[[Path], bool]) -> list[str]:
    found = (path.relative_to(root).as_posix() for path in _below(root / "data") if wanted(path))
    return sorted(islice(found, MOST))


def _below(folder: Path, level: int = 1) -> Iterator[Path]:
    """What is in `folder`, not deeper than :data:`DEEPEST`, and not in datasets or renderings."""
    for path in _entries(folder):
        if path.name.startswith(".") or path.name == "rendered":
            continue
        yield path
        if level < DEEPEST and path.is_dir() and not _is_dataset(path):
            yield from _below(path, level + 1)


def _is_dataset(path: Path) -> bool:
    tracks = (track for split in SPLITS for track in islice(_entries(path / split), MOST))
    return any((track / f"{MIXTURE}.wav").exists() for track in tracks)


def _is_hrir_set(path: Path) -> bool:
    if path.suffix.lower() == ".sofa":
        return path.is_file()
    return any(_SADIE.fullmatch(entry.name) for entry in islice(_entries(path), MOST))


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries)
    except OSError:  # not a folder, or not ours to read: nothing to offer
        return []
