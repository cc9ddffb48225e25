"""A job as Redis has it, trusted no further than that it names a step: whoever writes to Redis names what they like.

RQ runs whatever function a job names, and the callbacks and web addresses that it carries; with JSON instead of
pickle, too. Here one function is run, and what else a job brings along is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mssbench_service.errors import Forbidden
from rq.job import Job

WORK = "mssbench.queues.work"


class StepJob(Job):
    """A job that does a step, or nothing."""

    @property
    def func(self) -> Callable[..., Any]:
        """:func:`mssbench.queues.work`. Raises :class:`Forbidden` where the job is to run anything else."""
        if self.func_name != WORK or self.instance:
            raise Forbidden(f"a job is to run {str(self.func_name)[:80]!r}; workers run {WORK} alone")
        from .queues import work

        return work

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
