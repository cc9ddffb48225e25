"""Blocks of signals: of equal size, and in a temporary file, to be read again."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .measured import Float64Array


def regular(stream: Iterable[Float64Array], size: int) -> Iterator[Float64Array]:
    """The same stream in blocks of `size` samples (the last axis), the last one shorter."""
    parts: list[Float64Array] = []
    held = 0
    for part in stream:
        parts.append(part)
        held += part.shape[-1]
        if held >= size:
            joined = np.concatenate(parts, axis=-1)
            whole = held - held % size
            for start in range(0, whole, size):
                yield joined[..., start : start + size]
            parts, held = [joined[..., whole:]], held - whole
    yield np.concatenate(parts, axis=-1)


class KeptBlocks:
    """Blocks of several signals in a temporary file without a name, while there is room for them."""

    def __init__(self, folder: Path) -> None:
        self._sizes: list[tuple[int, int]] = []  # signals and samples of each block
        self._file = None
        with contextlib.suppress(OSError):
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> KeptBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, blocks: Sequence[Float64Array]) -> None:
        """Append one block of each signal, all of shape (2, n). Without room, all that was kept is removed."""
        if self._file is None:
            return
        try:
            for block in blocks:
                np.ascontiguousarray(block).tofile(self._file)
            self._sizes.append((len(blocks), blocks[0].shape[1]))
        except OSError:
            self.__exit__()

    def read(self) -> Iterator[Float64Array] | None:
        """The same blocks, each of shape (signals, 2, n); None if there was no room for all."""
        if self._file is None:
            return None
        self._file.seek(0)
        counts = ((signals, 2 * signals * samples) for signals, samples in self._sizes)
        return (np.fromfile(self._file, count=count).reshape(signals, 2, -1) for signals, count in counts)
