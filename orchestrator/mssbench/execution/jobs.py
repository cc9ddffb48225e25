"""RQ jobs that can only run a step.

RQ imports and calls any function that a job names, and its callbacks and webhooks, even when jobs are serialized as
JSON. Write access to Redis would thus allow code execution in a worker. :class:`StepJob` accepts one function and drops
the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mssbench_service.errors import Forbidden
from rq.job import Job

WORK = "mssbench.execution.queues.work"
NAMES_OF_WORK = (WORK, "mssbench.queues.work")
"""The function that jobs may name. The second name is that of jobs which version 0.1 queued."""


class StepJob(Job):
    """A job that does a step, or nothing."""

    @property
    def func(self) -> Callable[..., Any]:
        """:func:`mssbench.execution.queues.work`. Raises :class:`Forbidden` where the job is to run anything else."""
        if self.func_name not in NAMES_OF_WORK or self.instance:
            raise Forbidden(f"a job is to run {str(self.func_name)[:80]!r}; workers run {WORK} alone")
        from .queues import work

        return work

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
