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

import copy
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self, TypeVar

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
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._digests: dict[Hashable, tuple[FloatArray, Hashable]] | None = None

    def __len__(self) -> int:
        """Number of values."""
        return len(self._values)

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(size for _, size in self._values.values())

    def of_call(self) -> Self:
        """Return this cache for one call during which no reference changes: it hashes each reference once."""
        same = copy.copy(self)
        same._digests = {}
        return same

    def get(self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]) -> _Value:
        """Value called `name` of the references, by `compute` if it is not there. Its arrays become read-only."""
        key = self._key(references, name)
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: _Value = self._values[key][0]
                return found
        value = compute()
        size = sum(array.nbytes for array in read_only(value))
        with self._lock:
            if key not in self._values and size <= self.max_bytes:
                self._values[key] = value, size
                while self.size > self.max_bytes:
                    self._values.popitem(last=False)
        return value

    def get_large(
        self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]
    ) -> _Value:
        """The same for a value that takes longer to write to a file and to read than to compute from others."""
        return self.get(references, name, compute)

    def _key(self, references: Sequence[FloatArray], name: Hashable) -> tuple[Hashable, ...]:
        return current().name, name, *(self._digest(x) for x in references)

    def _digest(self, x: FloatArray) -> Hashable:
        if self._digests is None:
            return digest(x)
        memory = x.ctypes.data, x.shape, x.strides, x.dtype
        if memory not in self._digests:  # `x` is kept, so that its memory is not used for another signal
            self._digests[memory] = x, digest(x)
        return self._digests[memory][1]


class _NoCache(ReferenceCache):
    """Keeps nothing."""

    def get(self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]) -> _Value:
        return compute()


NO_CACHE: ReferenceCache = _NoCache(0)


def digest(x: FloatArray) -> Hashable:
    """What identifies a signal: its type, its shape and the SHA-256 of its samples."""
    sha = hashlib.sha256()
    for channel in x:
        sha.update(np.ascontiguousarray(channel).data)
    return x.dtype.str, x.shape, sha.digest()


def read_only(value: Any) -> list[np.ndarray[Any, Any]]:
    """Arrays inside `value`, which are made read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
        return [value]
    parts = value if isinstance(value, (list, tuple)) else getattr(value, "__dict__", {}).values()
    return [array for part in parts for array in read_only(part)]
