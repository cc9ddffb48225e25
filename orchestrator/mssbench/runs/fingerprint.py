"""Fingerprints of input files, from their sizes and times. Run ids and the keys of renderings are made of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mssbench_service.musdb import MIXTURE, STEMS


def state_of_files(folder: Path) -> str:
    """Fingerprint of the track in `folder`, as :attr:`TrackRecord.files` holds it."""
    return digest(fingerprint(folder))[:20]


def fingerprint(folder: Path) -> list[list[object]]:
    """Size and modification time of each file of the track in `folder`."""
    stats = [(folder / f"{name}.wav").stat() for name in (MIXTURE, *STEMS)]
    return [[stat.st_size, stat.st_mtime_ns] for stat in stats]


def digest(value: object) -> str:
    """SHA-256 of `value` as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
