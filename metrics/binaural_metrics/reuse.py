"""Analyses of references, kept while several estimates of the same references are scored.

A value is found by the content of the reference (SHA-256 of its samples) and by what was computed from it. It is
therefore never that of another signal, and the results are the same bits as without a cache.

Examples
--------
>>> import numpy as np
>>> import binaural_metrics as bm
>>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 88200))
>>> cache = bm.ReferenceCache()
>>> [bm.score(reference, g * reference, 44100, cache=cache)["SI_SDR"] for g in (0.5, 0.9)]
[100.0, 100.0]
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from .arrays import current
from .signals import FloatArray

_Value = TypeVar("_Value")
MAX_BYTES = 1 << 28


class ReferenceCache:
    """Least recently used analyses of references, in memory. Threads may share it.

    Parameters
    ----------
    max_bytes : int
        Limit of the size of the arrays that are kept. The normal equations of BSS Eval of four stems take 170 MB.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes, self.size = max_bytes, 0
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __len__(self) -> int:
        """Number of values."""
        return len(self._values)

    def get(self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]) -> _Value:
        """Value called `name` of the references, by `compute` if it is not there. Its arrays become read-only."""
        key = (current().name, name, *(_digest(x) for x in references))
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: _Value = self._values[key][0]
                return found
        value = compute()
        size = sum(array.nbytes for array in _read_only(value))
        with self._lock:
            if key not in self._values and size <= self.max_bytes:
                self._values[key] = value, size
                self.size += size
                while self.size > self.max_bytes:
                    self.size -= self._values.popitem(last=False)[1][1]
        return value


class _NoCache(ReferenceCache):
    """Keeps nothing."""

    def get(self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]) -> _Value:
        return compute()


NO_CACHE: ReferenceCache = _NoCache(0)


def _digest(x: FloatArray) -> tuple[str, tuple[int, ...], bytes]:
    sha = hashlib.sha256()
    for channel in x:
        sha.update(np.ascontiguousarray(channel).data)
    return x.dtype.str, x.shape, sha.digest()


def _read_only(value: Any) -> list[np.ndarray[Any, Any]]:
    """Arrays inside `value`, which are made read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
        return [value]
    parts = (
        value
        if isinstance(value, (list, tuple))
        else vars(value).values()
        if hasattr(value, "__dict__")
        else ()
    )
    return [array for part in parts for array in _read_only(part)]
