"""The stems from which a track was rendered. Each is read when it is scored, so that one at a time is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from binaural_metrics import InputError
from mssbench_service import audio
from mssbench_service.errors import BenchError
from mssbench_service.files import read_json

Signal = npt.NDArray[np.floating[Any]]
_RECORD = "metadata.json"  # beside rendered stems


class _Files(Mapping[str, Signal]):
    """Signals by stem; reading one raises :class:`InputError` if its file cannot be used."""

    what = ""

    def __init__(self, files: Mapping[str, Path], sample_rate: int, max_seconds: float | None = None) -> None:
        self._files, self._sample_rate, self._max_seconds = files, sample_rate, max_seconds

    def __getitem__(self, stem: str) -> Signal:
        path = self._files[stem]
        try:
            signal, rate = audio.read_unrounded(path, max_seconds=self._max_seconds)
        except BenchError:
            raise InputError(f"the {self.what} {path.name} cannot be read") from None
        if rate != self._sample_rate:
            raise InputError(f"the {self.what} is at {rate} Hz; expected {self._sample_rate} Hz")
        return signal

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class DryStems(_Files):
    """Dry stems by name, each of shape (samples,).

    Reading one raises :class:`InputError` also if it has no single response. Its metrics then have no value, for this
    reason.
    """

    what = "dry stem"

    def __init__(
        self, folder: Path, rendered: Path, stems: Sequence[str], sample_rate: int, max_seconds: float | None
    ) -> None:
        super().__init__({stem: folder / f"{stem}.wav" for stem in stems}, sample_rate, max_seconds)
        self._moving = moving_stems(rendered)

    def __getitem__(self, stem: str) -> Signal:
        if stem not in self._files:
            raise InputError("a sum of several stems has no single direction")
        if stem in self._moving:
            raise InputError("the source moves")
        return np.asarray(super().__getitem__(stem).mean(axis=0))


class DirectStems(_Files):
    """Direct sound of stems in a room by name, each of shape (2, samples), as far as the rendering kept it."""

    what = "direct sound"

    def __init__(self, rendered: Path, sample_rate: int) -> None:
        files = {path.name.split(".")[0]: path for path in rendered.glob("*.direct.wav")}
        super().__init__(files, sample_rate)


def moving_stems(rendered: Path) -> set[str]:
    """Stems on a trajectory, by the record of the rendering."""
    try:
        scene = read_json(rendered / _RECORD).get("scene") or {}
        return set(scene.get("trajectories") or ())
    except (BenchError, AttributeError):
        return set()
