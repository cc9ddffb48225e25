"""Many segments in one forward pass.

``demucs.apply.apply_model`` cuts a track into overlapping segments, hands each to an executor
(``pool.submit(apply_model, model, chunk, …)``) and adds the results up in order, on the mixture's device.
:class:`BatchPool` is such an executor: it collects the segments and runs as many as fit through the model at
once. Cutting, padding, weighting, shifting and adding up stay the library's own.
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
    """Chunks of one length that look like a single chunk with a larger batch."""

    def __init__(self, chunks: list[TensorChunk]) -> None:
        # Not the base class's own: that one cuts out of one tensor, and these come from many places.
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
        self.answer: torch.Tensor | None = None

    def result(self) -> torch.Tensor:
        if self.answer is None:
            self.pool.run_next_batch()
        answer, self.answer = self.answer, None  # given away: a long track's segments must not pile up
        assert answer is not None, "results are asked for in the order of submission, once each"
        return answer


class BatchPool:
    """An executor for ``apply_model(pool=…)`` that runs `batch_size` segments at a time."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._waiting: deque[_Segment] = deque()

    def submit(self, apply: Callable[..., Any], model: Any, chunk: TensorChunk, **options: Any) -> _Segment:
        options.pop("callback", None)  # reports one segment's progress, which a batch has not
        segment = _Segment(self, lambda chunks: apply(model, chunks, **options), chunk)
        self._waiting.append(segment)
        return segment

    def run_next_batch(self) -> None:
        """Run the longest-waiting segments that can go together: the last ones of a track are shorter."""
        raise_if_cancelled()
        batch = [self._waiting.popleft()]
        while (
            self._waiting
            and len(batch) < self.batch_size
            and self._waiting[0].chunk.length == batch[0].chunk.length
        ):
            batch.append(self._waiting.popleft())
        answers = batch[0].call(_Stack([segment.chunk for segment in batch]))
        for segment, answer in zip(batch, answers.split(batch[0].chunk.shape[0]), strict=True):
            segment.answer = answer

    def shutdown(self, **_: Any) -> None:
        """The library calls this when a segment has failed; the others are then never asked for."""
        self._waiting.clear()
