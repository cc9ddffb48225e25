"""Several segments in one forward pass.

``demucs.apply.apply_model`` cuts a track into overlapping segments, submits each to an executor
(``pool.submit(apply_model, model, chunk, …)``) and sums the results in order, on the mixture's device.
:class:`BatchPool` is such an executor. It collects the segments and runs as many as fit into a batch through the
model at once. The library still cuts, pads, weights, shifts and sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from demucs.apply import TensorChunk
from mssbench_service.cancellation import raise_if_cancelled

_Call = Callable[[TensorChunk], torch.Tensor]


class _Stack(TensorChunk):
    """Chunks of equal length with the interface of a single chunk with a larger batch."""

    def __init__(self, chunks: list[TensorChunk]) -> None:
        # Without super().__init__(), which takes one tensor; these chunks are parts of several.
        self.chunks = chunks
        self.length = chunks[0].length
        self.device = chunks[0].device

    @property
    def shape(self) -> list[int]:
        batch = sum(chunk.shape[0] for chunk in self.chunks)
        return [batch, *self.chunks[0].shape[1:]]

    def padded(self, target_length: int) -> torch.Tensor:
        return torch.cat([chunk.padded(target_length) for chunk in self.chunks])


class _Segment:
    """The future of one submitted segment."""

    def __init__(self, pool: BatchPool, call: _Call, chunk: TensorChunk) -> None:
        self.pool = pool
        self.call = call
        self.chunk = chunk
        self.output: torch.Tensor | None = None

    def result(self) -> torch.Tensor:
        if self.output is None:
            self.pool.run_next_batch()
        output, self.output = self.output, None  # do not keep the segments of a long track in memory
        assert output is not None, "the library takes results in the order of submission, each once"
        return output


class BatchPool:
    """An executor for ``apply_model(pool=…)`` that runs `batch_size` segments in one forward pass.

    Parameters
    ----------
    batch_size : int
        Number of segments, 1 or more.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._waiting: deque[_Segment] = deque()

    def submit(self, apply: Callable[..., Any], model: Any, chunk: TensorChunk, **options: Any) -> _Segment:
        options.pop("callback", None)  # reports the progress of a single segment
        segment = _Segment(self, lambda chunks: apply(model, chunks, **options), chunk)
        self._waiting.append(segment)
        return segment

    def run_next_batch(self) -> None:
        """Run the first waiting segments of equal length; the last segments of a track are shorter."""
        raise_if_cancelled()
        batch = [self._waiting.popleft()]
        while (
            self._waiting
            and len(batch) < self.batch_size
            and self._waiting[0].chunk.length == batch[0].chunk.length
        ):
            batch.append(self._waiting.popleft())
        outputs = batch[0].call(_Stack([segment.chunk for segment in batch]))
        for segment, output in zip(batch, outputs.split(batch[0].chunk.shape[0]), strict=True):
            segment.output = output

    def shutdown(self, **_: Any) -> None:
        """Drop the waiting segments. The library calls this after a segment has failed."""
        self._waiting.clear()
