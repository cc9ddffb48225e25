"""Hashes of what a run depends on: the state of a track's files, without reading them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mssbench_service.musdb import MIXTURE, STEMS


def state_of_files(folder: Path) -> str:
    """What :attr:`TrackRecord.files` is for the track in `folder` now."""
    return digest(fingerprint(folder))[:20]


def fingerprint(folder: Path) -> list[list[object]]:
    """What tells one state of a track's files from another without reading them: sizes and times."""
    stats = [(folder / f"{name}.wav").stat() for name in (MIXTURE, *STEMS)]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
