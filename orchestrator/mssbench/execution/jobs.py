"""RQ jobs that can only run a step.

RQ imports and calls any function that a job names, and its callbacks and webhooks, even if jobs are serialized as
JSON. Write access to Redis would therefore allow code execution in a worker. :class:`StepJob` accepts one function and
drops the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mssbench_service.errors import Forbidden
from rq.job import Job
from rq.utils import import_attribute

WORK = "mssbench.execution.work.work"
"""The function of a job. It is a name, because its module imports the queues, which import this module."""

ACCEPTED = (WORK, "mssbench.queues.work")
"""Functions that a job may name. The second one is in jobs that version 0.1 queued."""


class StepJob(Job):
    """A job that runs a step."""

    @property
    def func(self) -> Callable[..., Any]:
        """:func:`mssbench.execution.work.work`. Raises :class:`Forbidden` if the job names another function."""
        if self.func_name not in ACCEPTED or self.instance:
            raise Forbidden(f"a job names the function {str(self.func_name)[:80]!r}; workers run {WORK} only")
        function: Callable[..., Any] = import_attribute(WORK)
        return function

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
