"""Frames of SPAUQ, and the correlations of reference and estimate in each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .arrays import NUMPY, current
from .correlation import Lags, Sections, lags_on
from .signals import Float64, FloatArray, InputError, load
from .threads import threaded

_Frame = TypeVar("_Frame")
_FRAMES = 7  # per task: eight hops, as vector instructions transform four channels at a time


@dataclass(frozen=True)
class Grid:
    """Start and stop samples of the frames."""

    samples: int
    window: int
    hop: int

    @classmethod
    def of(cls, samples: int, sample_rate: int) -> Grid:
        window, hop = int(1.0 * sample_rate), int(0.5 * sample_rate)
        if samples < window:
            raise InputError(
                f"{samples} samples at {sample_rate} Hz are fewer than the {window} of one SPAUQ frame"
            )
        return cls(samples, window, hop)

    def __len__(self) -> int:
        return math.ceil((self.samples - self.window) / self.hop) + 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for i in range(len(self)):
            yield i * self.hop, min(i * self.hop + self.window, self.samples)


def over_frames(
    frame: Callable[[Float64, Float64, Lags], _Frame],
    ref: FloatArray,
    est: FloatArray,
    grid: Grid,
    margin: int,
    reach: int,
    workers: int | None,
) -> list[_Frame]:
    """Call `frame` with the reference of a frame and `margin` more samples at either end, the estimate, and the
    correlations of both within `reach`.
    """
    sections, bounds, on = Sections.of(grid.hop, reach), list(grid), current()

    def task(first: int) -> list[_Frame]:
        last = min(first + _FRAMES, len(bounds))
        start, stop = bounds[first][0], bounds[last - 1][1]
        context, e = load(ref, start - margin, stop + margin), load(est, start, stop)
        single = np.zeros((4, (last - first + 1) * grid.hop + 1), np.float32)
        single[:2, : stop - start], single[2:, : stop - start] = ref[:, start:stop], est[:, start:stop]
        if on is NUMPY:
            lags = sections.frames(single, grid.window > 2 * grid.hop)
        else:
            lags = lags_on(on, single, grid.window, grid.hop, reach)
        found = []
        for (begin, end), values in zip(bounds[first:last], lags, strict=True):
            inside = slice(begin - start, end - start)
            found.append(frame(context[:, begin - start : end - start + 2 * margin], e[:, inside], values))
        return found

    return [one for part in threaded(task, range(0, len(bounds), _FRAMES), workers) for one in part]
