"""Follows the runs that the orchestrator service was asked for, to their end and across its restarts."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from mssbench_service.errors import BenchError, Conflict, NotFound
from mssbench_service.files import write_text
from redis import Redis
from redis.exceptions import RedisError

from ..execution.control import forget_unreadable
from ..execution.launch import finish, open_run
from ..execution.queues import connect, reconcile
from ..runs.progress import progress_of
from ..runs.run import Run
from ..runs.store import RunStore, Workspace
from ..services.runtime import Runtime

log = logging.getLogger("mssbench")


class Supervisor:
    """One thread for all runs: puts back what got lost, and ends complete ones with tables and a report.

    A run that is followed is held (:meth:`RunStore.exclusive`), so that no launcher runs it at the same time, and no
    other service that works on the same data root; what such a service leaves, because it ends, is taken up here.
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

    def join(self, seconds: float = 5.0) -> None:
        """Wait until it has let go of its runs, once it was told to stop."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def launch(self, run: Run) -> None:
        """From now on, follow `run`."""
        run.store.launch()
        reconcile(run, self.connection)

    def release(self, store: RunStore) -> None:
        """Follow it no longer."""
        store.leave()
        self._let_go(store.id)

    def _hold(self, store: RunStore) -> None:
        held = contextlib.ExitStack()
        held.enter_context(store.exclusive())
        self._held[store.id] = held

    def _let_go(self, run_id: str) -> None:
        if held := self._held.pop(run_id, None):
            held.close()

    def _follow(self) -> None:
        reconciled, pause = 0.0, self.seconds
        while not self._stop.wait(pause):
            begun = time.monotonic()
            again = begun - reconciled > 5 * self.seconds
            for run_id in self._launched():
                try:
                    self._advance(self.workspace.run(run_id), again)
                except Conflict:
                    continue  # somebody else goes on with it; whatever that leaves is done here
                except (BenchError, RedisError, OSError) as error:
                    log.warning("run %s: %s", run_id, error)
                except Exception:  # one damaged run must not stop the others
                    log.exception("run %s", run_id)
            reconciled = begun if again else reconciled
            # However many cells there are to look at, most of the time is left to the requests; but a report
            # that took minutes is no reason to leave the other runs alone for four times as long.
            pause = min(max(self.seconds, 4 * (time.monotonic() - begun)), 10 * self.seconds)

        for run_id in list(self._held):  # or another service would have to wait until they seem dead
            self._let_go(run_id)

    def _launched(self) -> list[str]:
        """Ids of the runs to supervise."""
        return sorted({*self.workspace.launched_ids(), *self._held})

    def _advance(self, store: RunStore, again: bool) -> None:
        fresh = store.id not in self._held
        if fresh:
            self._hold(store)
        try:
            run = open_run(store, self.runtime)
            if fresh:
                forget_unreadable(run)
        except BenchError as error:
            if fresh or isinstance(error, NotFound):
                self._let_go(store.id)
            raise
        if not store.launched.exists():  # ended or cancelled elsewhere
            self._let_go(store.id)
        elif store.cancelled:
            self.release(store)
        elif progress_of(run).complete:
            self._finish(run)
            self.release(store)
        elif again:
            reconcile(run, self.connection)

    def _finish(self, run: Run) -> None:
        store = run.store
        try:
            finish(run)
            store.problem.unlink(missing_ok=True)
        except Exception as error:  # trying for ever would not mend it: say so, `mssbench report` tries again
            log.exception("run %s: no report", store.id)
            write_text(store.problem, f"{type(error).__name__}: {error}")
