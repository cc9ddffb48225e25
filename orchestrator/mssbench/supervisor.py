"""Follows the runs that the orchestrator service was asked for, to their end and across its restarts."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from mssbench_service.errors import BenchError, Conflict
from mssbench_service.files import write_text
from redis import Redis
from redis.exceptions import RedisError

from .launch import finish, open_run
from .progress import progress_of
from .queues import connect, reconcile
from .runtime import Runtime
from .steps import Run
from .store import RunStore, Workspace

log = logging.getLogger("mssbench")


class Supervisor:
    """One thread for all runs: puts back what got lost, and ends complete ones with tables and a report.

    A run that is followed is held (:meth:`RunStore.exclusive`), so that no launcher runs it at the same time.
    """

    def __init__(self, workspace: Workspace, runtime: Runtime, redis_url: str, seconds: float = 1.0) -> None:
        self.workspace, self.runtime, self.redis_url, self.seconds = workspace, runtime, redis_url, seconds
        self._stop = threading.Event()
        self._held: dict[str, contextlib.ExitStack] = {}
        self._connection: Redis | None = None
        self._thread = threading.Thread(target=self._follow, name="supervisor", daemon=True)

    @property
    def connection(self) -> Redis:
        """The connection to Redis; it connects again by itself.

        Raises
        ------
        Unreachable
            Redis did not answer the first time.
        """
        if self._connection is None:
            self._connection = connect(self.redis_url)
        return self._connection

    def start(self, stopping: threading.Event) -> None:
        """Begin; until `stopping` is set."""
        self._stop = stopping
        self._thread.start()

    def launch(self, run: Run) -> None:
        """From now on, follow `run`."""
        run.store.launched.touch()
        reconcile(run, self.connection)

    def release(self, store: RunStore) -> None:
        """Follow it no longer."""
        store.launched.unlink(missing_ok=True)
        if held := self._held.pop(store.id, None):
            held.close()

    def _follow(self) -> None:
        reconciled, pause = 0.0, self.seconds
        while not self._stop.wait(pause):
            begun = time.monotonic()
            again = begun - reconciled > 5 * self.seconds
            for marker in sorted(self.workspace.runs.glob("*/launched-by-api")):
                try:
                    self._advance(open_run(self.workspace.run(marker.parent.name), self.runtime), again)
                except Conflict:
                    continue  # a launcher goes on with it; whatever that leaves is done here
                except (BenchError, RedisError, OSError) as error:
                    log.warning("run %s: %s", marker.parent.name, error)
                except Exception:  # one damaged run must not stop the others
                    log.exception("run %s", marker.parent.name)
            reconciled = begun if again else reconciled
            # However many cells there are to look at, most of the time is left to the requests; but a report
            # that took minutes is no reason to leave the other runs alone for four times as long.
            pause = min(max(self.seconds, 4 * (time.monotonic() - begun)), 10 * self.seconds)

    def _advance(self, run: Run, again: bool) -> None:
        if run.store.cancelled:
            self.release(run.store)
            return
        if run.store.id not in self._held:
            held = contextlib.ExitStack()
            held.enter_context(run.store.exclusive())
            self._held[run.store.id] = held
        if progress_of(run).complete:
            self._finish(run)
            self.release(run.store)
        elif again:
            reconcile(run, self.connection)

    def _finish(self, run: Run) -> None:
        try:
            finish(run)
            run.store.problem.unlink(missing_ok=True)
        except Exception as error:  # trying for ever would not mend it: say so, `mssbench report` tries again
            log.exception("run %s: no report", run.store.id)
            write_text(run.store.problem, f"{type(error).__name__}: {error}")
