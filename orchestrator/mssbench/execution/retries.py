"""Retries of steps whose service is unavailable."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence

from mssbench_service.errors import (
    Busy,
    Interrupted,
    NotReady,
    StorageUnavailable,
    TimedOut,
    Unavailable,
    Unreachable,
)

from ..runs.run import Run, Task
from ..settings.limits import Limits
from .steps import perform, record_failure

log = logging.getLogger("mssbench")

OUTAGE_PAUSES = (1.0, 2.0, 5.0)
"""Seconds between attempts while a service has an outage; the last one is repeated."""


def perform_with_retries(
    run: Run, task: Task, pauses: Sequence[float] | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Run `task`, with a retry after each pause while the service is unavailable. After the last one, the task fails.

    If a service is busy, the last pause is repeated for up to the time limit of a step, within which it can accept the
    task. A service over HTTP that does not answer or is not ready is waited for, up to
    :attr:`Limits.service_wait_hours` after the first failure of this run there. Then all tasks that need it fail at
    their first attempt.

    The task stays open if the run is cancelled or removed during a pause.

    Parameters
    ----------
    pauses : sequence of float, optional
        Seconds, growing; default: those of :class:`Limits`. A longer ``Retry-After`` of the service is used instead,
        up to the longest pause.

    Raises
    ------
    StorageUnavailable
        The disk is still full, or the storage still fails. The task stays open.
    """
    limits = Limits.from_environment()
    outages = run.store.outages
    pauses_left = _Pauses(
        limits, limits.pauses if pauses is None else pauses, run.record.track(task.title).seconds
    )
    during_outage = itertools.chain(OUTAGE_PAUSES, itertools.repeat(OUTAGE_PAUSES[-1]))
    earlier: list[str] = []
    outage = ""  # name of the service that does not answer or is not ready
    while True:
        try:
            perform(run, task, earlier)
        except Unavailable as error:
            before, outage = outage, _service_with_outage(error, run, task)
            if outage:
                seconds = outages.note(outage, error.detail)
                pause = next(during_outage) if seconds < 3600 * limits.service_wait_hours else None
            else:
                pause = pauses_left.after(error)
            if before and not outage:
                outages.end(before)
            if pause is None and isinstance(error, StorageUnavailable):
                raise
            if pause is None:
                record_failure(run, task, error, len(earlier) + 1, "\n".join(earlier))
                return
            if not (outage and before):  # once for each outage
                what = f"waiting for {outage}" if outage else f"retry in {pause:g} s"
                earlier.append(f"attempt {len(earlier) + 1}: {error.code}: {error.detail}; {what}")
                log.warning("%s %s: %s", task.step, task.title, earlier[-1])
            sleep(pause)
            if run.store.markers.cancelled or not run.store.exists():
                return
        else:
            if outage:
                outages.end(outage)
            return


def _service_with_outage(error: Unavailable, run: Run, task: Task) -> str:
    """Name of the service of `task` if it does not answer or is not ready; empty if the error has another cause."""
    # A connection that broke may be an effect of this task, such as a model that needs too much memory.
    if isinstance(error, Interrupted) or not isinstance(error, Unreachable | NotReady):
        return ""
    service = run.service_of(task)
    return service.name if run.runtime.is_remote(service) else ""


class _Pauses:
    """The pauses that are left after errors that may be due to the task."""

    def __init__(self, limits: Limits, pauses: Sequence[float], audio_seconds: float) -> None:
        self._left = iter(pauses)
        self._longest = max(pauses, default=0.0)
        self._longest_busy = limits.of_step(audio_seconds)
        self._timeouts_left = limits.timeouts
        self._waited = 0.0

    def after(self, error: Unavailable) -> float | None:
        """The pause before the next attempt; None: no further attempt."""
        self._timeouts_left -= isinstance(error, TimedOut)
        pause = next(self._left, None)
        if pause is None and isinstance(error, Busy) and self._waited < self._longest_busy:
            pause = max(self._longest, 1.0)
        if pause is None or self._timeouts_left <= 0:
            return None
        pause = max(pause, min(error.retry_after, self._longest))
        self._waited += pause
        return pause
