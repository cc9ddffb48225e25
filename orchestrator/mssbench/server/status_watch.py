"""The status of a run for all clients that follow its events: one survey a second, however many they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import anyio.to_thread

from ..runs.status import RunStatus

SECONDS = 1.0
"""Age up to which a survey is shared."""


class StatusWatch:
    """Shares surveys between the clients of one event loop. `read` reads the status of the run with an id."""

    def __init__(self, read: Callable[[str], RunStatus]) -> None:
        self._read = read
        self._surveys: dict[str, tuple[float, asyncio.Task[RunStatus]]] = {}

    async def latest(self, run_id: str) -> RunStatus:
        """The status of the run, from a survey that runs or has started less than a second ago.

        Raises
        ------
        NotFound
            There is no such run.
        """
        now = time.monotonic()
        for old in [
            name for name, (at, task) in self._surveys.items() if now - at >= SECONDS and task.done()
        ]:
            del self._surveys[old]
        if run_id not in self._surveys:
            survey = asyncio.ensure_future(anyio.to_thread.run_sync(self._read, run_id))
            self._surveys[run_id] = now, survey
        # Shielded: the survey continues for the others if one client disconnects.
        return await asyncio.shield(self._surveys[run_id][1])

    def forget(self, run_id: str) -> None:
        """Share no survey that has started before now: the run was changed."""
        self._surveys.pop(run_id, None)
