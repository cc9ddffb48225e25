"""Convolution of a source that moves.

The signal is cut into blocks of 20 ms, one every 10 ms, with a raised cosine. Each is convolved with the response at
the direction of its centre. Since the windows sum to one, the responses are cross-faded, and a source at rest is
convolved as usual.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from mssbench_service.errors import BadInput

from .blocks import regular
from .interpolation import EARLY, Interpolator, Spectra
from .measured import Float64Array

STEP = 0.01
"""Seconds between directions."""

_PATH_STEP = 5.0  # degrees
_MOST_STEPS = 3600  # between two points: fifty turns pass every azimuth
_BATCH = 128  # blocks


@dataclass(frozen=True)
class Trajectory:
    """Directions over time, piecewise linear, and constant before the first point and after the last one.

    Attributes
    ----------
    times : tuple of float
        Seconds, ascending.
    azimuths, elevations : tuple of float
        Degrees. From 350 to 370 is a path of 20° through the front; from 350 to 10 it is one of 340° through the back.
    """

    times: tuple[float, ...]
    azimuths: tuple[float, ...]
    elevations: tuple[float, ...]

    @classmethod
    def from_points(cls, points: Sequence[Sequence[float]], name: str = "the trajectory") -> Trajectory:
        """Check points of (seconds, azimuth, elevation) or (seconds, azimuth).

        Raises
        ------
        BadInput
            They are none, not finite, not in the order of time or beyond ±90° of elevation.
        """
        rows = [list(point) + [0.0] * (len(point) == 2) for point in points]
        if not rows or any(len(row) != 3 for row in rows) or not np.isfinite(rows).all():
            raise BadInput(f"{name} is not a list of (seconds, azimuth, elevation)")
        times, azimuths, elevations = (tuple(map(float, column)) for column in zip(*rows, strict=True))
        if any(later <= time for time, later in itertools.pairwise(times)):
            raise BadInput(f"{name} is not in the order of time")
        if max(map(abs, elevations)) > 90.0 or max(map(abs, azimuths)) > 1e6:
            raise BadInput(f"{name} has an elevation beyond ±90° or an azimuth beyond a million degrees")
        return cls(times, azimuths, elevations)

    def at(self, seconds: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Azimuths and elevations at these times."""
        return np.interp(seconds, self.times, self.azimuths), np.interp(seconds, self.times, self.elevations)

    def path(self) -> tuple[Float64Array, Float64Array]:
        """Azimuths and elevations along the whole path, at most 5° apart, without the times."""
        columns = np.array([self.azimuths, self.elevations])
        sizes = np.abs(np.diff(columns)).max(axis=0, initial=0.0)
        steps = np.minimum(np.ceil(sizes / _PATH_STEP), _MOST_STEPS).astype(np.intp) + 1
        parts = [
            np.linspace(start, end, count)
            for start, end, count in zip(columns.T[:-1], columns.T[1:], steps.tolist(), strict=True)
        ]
        azimuths, elevations = np.concatenate([*parts, columns.T[-1:]]).T
        return azimuths, elevations


def convolved(
    mono: Iterable[Float64Array], samples: int, sample_rate: int, source: Interpolator, trajectory: Trajectory
) -> Iterator[Float64Array]:
    """Convolve a moving source.

    Parameters
    ----------
    mono : iterable of arrays
        The signal, in blocks of any size.
    samples : int
        Its length.
    sample_rate : int
        Hz, that of `source`.
    source : Interpolator
    trajectory : Trajectory

    Yields
    ------
    array, shape (2, n)
        In all, `samples` + K − 1 samples.
    """
    taps = source.hrir.irs.shape[2]
    hop = round(STEP * sample_rate)
    count = samples // hop + 2  # blocks; the first is centred at the first sample
    neighbours = source.neighbours(*trajectory.at(np.arange(count) * hop / sample_rate))
    spectra = Spectra(source, neighbours, 2 * hop + taps)
    window = np.sin(np.arange(2 * hop) * np.pi / (2 * hop)) ** 2
    pieces = regular(mono, _BATCH * hop)
    overlap = np.zeros((2, spectra.length))
    skip = hop + EARLY  # output before the first sample
    left = samples + taps - 1
    previous = np.zeros(hop)
    for start in range(0, count, _BATCH):
        rows = slice(start, min(start + _BATCH, count))
        blocks = rows.stop - rows.start
        piece = next(pieces, np.zeros(0))
        piece = np.concatenate([previous, piece, np.zeros(blocks * hop - piece.size)])
        previous = piece[-hop:]
        frames = np.lib.stride_tricks.sliding_window_view(piece, 2 * hop)[::hop] * window
        wet = scipy.fft.irfft(
            spectra[rows] * scipy.fft.rfft(frames, spectra.length)[:, None], spectra.length, overwrite_x=True
        )
        out = np.zeros((2, blocks * hop + spectra.length))
        out[:, : spectra.length] = overlap
        for number, block in enumerate(wet):
            out[:, number * hop : number * hop + spectra.length] += block
        overlap = out[:, blocks * hop :]
        ready = out[:, skip : blocks * hop][:, :left]
        skip = max(0, skip - blocks * hop)
        left -= ready.shape[1]
        yield ready
    yield overlap[:, skip : skip + left]
