"""Hashes, threads and a byte counter, which push and pull share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from mssbench_service.download import Progress

from .object_store import Count, blocks_of

PARALLEL = 4
"""Files that are transferred at a time."""

T = TypeVar("T")
U = TypeVar("U")


def has_size(path: Path, size: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size


def sha256_of(path: Path, count: Count = lambda _: None) -> str:
    with path.open("rb") as file:
        return sha256_and_size(blocks_of(file), count)[0]


def sha256_and_size(content: Iterable[bytes], count: Count = lambda _: None) -> tuple[str, int]:
    """SHA-256 and size of `content`."""
    digest, size = hashlib.sha256(), 0
    for block in content:
        digest.update(block)
        size += len(block)
        count(len(block))
    return digest.hexdigest(), size


def in_threads(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """``[function(item) for item in items]`` in threads. The first error cancels what has not started."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


class Meter:
    """Adds up the bytes of one stage, from several threads."""

    def __init__(self, stage: str, total: int, progress: Progress) -> None:
        self._stage, self._total, self._progress = stage, total, progress
        self._done, self._lock = 0, threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._progress(self._stage, self._done, self._total)
