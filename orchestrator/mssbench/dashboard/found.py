"""What the launch form offers: datasets and HRIR sets under ``data/`` of the data root."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from mssbench_service.errors import BenchError
from mssbench_service.musdb import MIXTURE, SPLITS

from ..mirror import HERE
from ..store import Workspace

DEEPEST = 3
"""Levels below ``data/`` that are looked at."""

MOST = 50
"""Names to offer; whoever has more can type one."""

_SECONDS = 60.0
"""Between looks at a URL."""

_PATIENCE = 0.5
"""Seconds that a page waits for such a look."""

_SADIE = re.compile(r"azi_.*_ele_.*\.wav", re.IGNORECASE)


class Offers:
    """Both, as of now; at a URL as of the last look, which is made beside the requests."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="offers")
        self._looking: Future[None] | None = None
        self._found: tuple[list[str], list[str]] = ([], [])
        self._until = float("-inf")

    def now(self) -> tuple[list[str], list[str]]:
        """Datasets, HRIR sets."""
        if self._workspace.mirror is HERE:
            return datasets(self._workspace.root), hrir_sets(self._workspace.root)
        with self._lock:
            if self._looking is None and time.monotonic() > self._until:
                self._looking = self._pool.submit(self._look)
            looking = self._looking
        if looking is not None:
            with contextlib.suppress(TimeoutError):
                looking.result(timeout=_PATIENCE)
        return self._found

    def _look(self) -> None:
        try:
            self._found = among(self._workspace.mirror.data_files() or ())
        except BenchError:
            pass  # while the URL is away, what was found before is as good
        finally:
            with self._lock:
                self._looking, self._until = None, time.monotonic() + _SECONDS


def among(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The datasets and HRIR sets that files of these names are of."""
    sets, hrirs = set(), set()
    for name in names:
        *folders, file = name.split("/")
        if file == f"{MIXTURE}.wav" and len(folders) > 2 and folders[-2] in SPLITS:
            sets.add("/".join(folders[:-2]))
        elif file.lower().endswith(".sofa"):
            hrirs.add(name)
        elif _SADIE.fullmatch(file):
            hrirs.add("/".join(folders))
    hrirs = {name for name in hrirs if not name.startswith(tuple(f"{one}/" for one in sets))}
    return _offered(sets), _offered(hrirs)


def _offered(found: Iterable[str]) -> list[str]:
    near = (name for name in found if name.count("/") <= DEEPEST and "/." not in name)
    return sorted(near)[:MOST]


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
