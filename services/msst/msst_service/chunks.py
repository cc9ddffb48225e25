"""A model on overlapping chunks of a track, with the results of MSST's own loop (``demix``) in less memory.

Chunks begin every ``step`` samples. The track is reflected at both ends by ``chunk - step`` samples, if it is long
enough. Estimates are weighted with linear fades over a tenth of a chunk, summed, and divided by the sum of the
weights. A model in Demucs's form has neither reflection nor fades.

Only the sums under the present chunk are kept: those before it are final and are written to the result. A track
therefore needs little memory beyond its estimates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mssbench_service.audio import FloatArray
from mssbench_service.cancellation import raise_if_cancelled
from torch.nn.functional import pad

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Estimates, shape (batch, stems, 2, samples), of chunks, shape (batch, 2, samples), on any device."""


@dataclass(frozen=True)
class Chunks:
    """How a track is cut into chunks and put together again.

    Parameters
    ----------
    size : int
        Samples of a chunk.
    step : int
        Samples from one chunk to the next, at most `size`.
    fades : bool
        Reflect the track and fade the chunks; False for models in Demucs's form.
    group : int
        Batch size in the YAML file. MSST leaves out fades for whole batches: the fade-in of the first batch if it
        holds a single chunk, and the fade-out of all chunks of the last batch. So this number is part of a model's
        result. The batch size of :func:`separate` is not.
    normalize : bool
        Give the mean of both channels a mean of 0 and a standard deviation of 1.
    """

    size: int
    step: int
    fades: bool = True
    group: int = 1
    normalize: bool = False


def separate(
    mixture: FloatArray, forward: Forward, stems: int, chunks: Chunks, batch_size: int = 1
) -> FloatArray:
    """Run a model on a track.

    Parameters
    ----------
    mixture : array, shape (2, samples), float32
    forward : callable
        See :data:`Forward`.
    stems : int
        Number of stems that `forward` returns.
    chunks : Chunks
    batch_size : int
        Chunks in one call of `forward`; does not change the result beyond rounding.

    Returns
    -------
    array, shape (stems, 2, samples), float32
    """
    samples = mixture.shape[1]
    border = chunks.size - chunks.step if chunks.fades else 0
    margin = border if samples > 2 * border else 0
    starts = range(-margin, samples + margin, chunks.step)
    mean, scale = _level(mixture) if chunks.normalize else (0.0, 1.0)
    signal = torch.from_numpy(mixture)
    result = np.empty((stems, *mixture.shape), np.float32)
    sums = torch.zeros(stems, 2, chunks.size)
    weights = torch.zeros(chunks.size)
    windows = _windows(chunks, len(starts))
    reader = (
        _padded((_reflected(signal, start, samples + margin, chunks) - mean) / scale, chunks)
        for start in starts
    )
    for start, estimate in zip(starts, _estimates(reader, forward, batch_size), strict=True):
        window = next(windows)
        valid = min(chunks.size, samples + margin - start)
        sums[..., :valid] += estimate[..., :valid] * window[:valid]
        weights[:valid] += window[:valid]
        final = sums[..., : chunks.step] / weights[: chunks.step].clamp_min(torch.finfo(torch.float32).tiny)
        first, last = max(start, 0), min(start + chunks.step, samples)
        if first < last:
            result[..., first:last] = final[..., first - start : last - start].mul_(scale).add_(mean)
        sums = pad(sums[..., chunks.step :], (0, chunks.step))
        weights = pad(weights[chunks.step :], (0, chunks.step))
    return result


def _level(mixture: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation of the mean of both channels; 1 for a constant."""
    mono = mixture.mean(0)
    deviation = mono.std()
    return float(mono.mean()), float(deviation) if deviation > np.finfo(np.float32).eps else 1.0


def _reflected(signal: torch.Tensor, start: int, end: int, chunks: Chunks) -> torch.Tensor:
    """Samples from `start` to at most `end`; those outside of the track are reflected."""
    stop = min(start + chunks.size, end)
    last = signal.shape[1] - 1
    if start >= 0 and stop <= last + 1:
        return signal[:, start:stop]
    index = torch.arange(start, stop).abs_()
    return signal[:, torch.where(index > last, 2 * last - index, index)]


def _padded(chunk: torch.Tensor, chunks: Chunks) -> torch.Tensor:
    """The last chunks of a track are shorter."""
    missing = chunks.size - chunk.shape[1]
    reflect = chunks.fades and chunk.shape[1] > chunks.size // 2
    return pad(chunk, (0, missing), mode="reflect" if reflect and missing else "constant")


def _windows(chunks: Chunks, count: int) -> Iterator[torch.Tensor]:
    """The weights of each chunk."""
    fade = chunks.size // 10 if chunks.fades else 0
    window = torch.ones(chunks.size)
    window[:fade] = torch.linspace(0, 1, fade)
    window[chunks.size - fade :] = torch.linspace(1, 0, fade)
    for number in range(count):
        weights = window.clone()
        if number == 0 and (chunks.group == 1 or count == 1):
            weights[:fade] = 1
        elif number // chunks.group == (count - 1) // chunks.group:
            weights[chunks.size - fade :] = 1
        yield weights


def _estimates(chunks: Iterator[torch.Tensor], forward: Forward, batch_size: int) -> Iterator[torch.Tensor]:
    while batch := list(islice(chunks, batch_size)):
        raise_if_cancelled()
        yield from forward(torch.stack(batch)).float().cpu()


def stems_of(output: Any, names: Sequence[str], target: str | None) -> torch.Tensor:
    """The estimates of a model in the shape of :data:`Forward`: of `target` only, if there is one.

    A model of one stem may leave out the dimension, and a model with a target may estimate all `names`.

    Raises
    ------
    ValueError
        The model gives other stems.
    """
    estimates: torch.Tensor = output[:, None] if output.ndim == 3 else output
    if target is not None and estimates.shape[1] == len(names):
        at = names.index(target)
        return estimates[:, at : at + 1]
    expected = len(names) if target is None else 1
    if estimates.ndim != 4 or estimates.shape[1:3] != (expected, 2):
        raise ValueError(
            f"the model gives estimates of shape {tuple(estimates.shape)}; expected {expected} stem(s) of 2 channels"
        )
    return estimates
