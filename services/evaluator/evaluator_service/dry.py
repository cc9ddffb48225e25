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

_RECORD = "metadata.json"  # beside rendered stems


class DryStems(Mapping[str, npt.NDArray[np.floating[Any]]]):
    """Dry stems by name, each of shape (samples,).

    Reading one raises :class:`InputError` if it has no single response, or no usable file. Its metrics then have no
    value, for this reason.
    """

    def __init__(
        self, folder: Path, rendered: Path, stems: Sequence[str], sample_rate: int, max_seconds: float | None
    ) -> None:
        self._folder, self._stems, self._sample_rate = folder, stems, sample_rate
        self._max_seconds, self._moving = max_seconds, moving_stems(rendered)

    def __getitem__(self, stem: str) -> npt.NDArray[np.floating[Any]]:
        if stem not in self._stems:
            raise InputError("a sum of several stems has no single direction")
        if stem in self._moving:
            raise InputError("the source moves")
        try:
            signal, rate = audio.read_unrounded(self._folder / f"{stem}.wav", max_seconds=self._max_seconds)
        except BenchError:
            raise InputError(f"the dry stem {stem}.wav cannot be read") from None
        if rate != self._sample_rate:
            raise InputError(f"the dry stem is at {rate} Hz; expected {self._sample_rate} Hz")
        return np.asarray(signal.mean(axis=0))

    def __iter__(self) -> Iterator[str]:
        return iter(self._stems)

    def __len__(self) -> int:
        return len(self._stems)


class DirectStems(Mapping[str, npt.NDArray[np.floating[Any]]]):
    """Direct sound of stems in a room by name, each of shape (2, samples), as far as the rendering kept it."""

    def __init__(self, rendered: Path, sample_rate: int) -> None:
        self._files = {path.name.split(".")[0]: path for path in rendered.glob("*.direct.wav")}
        self._sample_rate = sample_rate

    def __getitem__(self, stem: str) -> npt.NDArray[np.floating[Any]]:
        try:
            signal, rate = audio.read_unrounded(self._files[stem])
        except BenchError:
            raise InputError(f"the direct sound {stem}.direct.wav cannot be read") from None
        if rate != self._sample_rate:
            raise InputError(f"the direct sound is at {rate} Hz; expected {self._sample_rate} Hz")
        return signal

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def moving_stems(rendered: Path) -> set[str]:
    """Stems on a trajectory, by the record of the rendering."""
    try:
        scene = read_json(rendered / _RECORD).get("scene") or {}
        return set(scene.get("trajectories") or ())
    except (BenchError, AttributeError):
        return set()
