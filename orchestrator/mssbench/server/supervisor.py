"""Supervision of the runs that the orchestrator service has started, until they end and across restarts."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from mssbench_service.errors import BenchError, Conflict, NotFound, StorageUnavailable, Unavailable
from mssbench_service.files import storage_errors_raised, write_text
from redis import Redis
from redis.exceptions import RedisError

from ..execution.control import clear_damaged
from ..execution.keeping import keep_at_end
from ..execution.launch import finish
from ..execution.queues import connect, reconcile
from ..runs.progress import progress_of
from ..runs.run import Run, open_run
from ..runs.store import RunStore, Workspace
from ..services.runtime import Runtime

log = logging.getLogger("mssbench")


class Supervisor:
    """One thread for all runs: enqueues lost jobs again, and writes tables and report of complete runs.

    The supervisor holds the lock of each run that it follows (:meth:`RunLock.hold`), so that no launcher
    and no other service on the same data root runs it at the same time. When such a service ends, the
    supervisor takes over its runs. Between two rounds over all runs, it pauses for `seconds`.
    """

    def __init__(self, workspace: Workspace, runtime: Runtime, redis_url: str, seconds: float = 1.0) -> None:
        self.workspace, self.runtime, self.redis_url, self.seconds = workspace, runtime, redis_url, seconds
        self._stop = threading.Event()
        self._locks: dict[str, contextlib.ExitStack] = {}
        self._locking = threading.Lock()
        self._problems: dict[str, str] = {}
        self._connection: Redis | None = None
        self._thread = threading.Thread(target=self._follow, name="supervisor", daemon=True)

    @property
    def connection(self) -> Redis:
        """The connection to Redis; it reconnects by itself.

        Raises
        ------
        Unreachable
            Redis did not answer at the first connection.
        """
        if self._connection is None:
            self._connection = connect(self.redis_url)
        return self._connection

    def start(self, stopping: threading.Event) -> None:
        """Start the thread. It runs until `stopping` is set."""
        self._stop = stopping
        self._thread.start()

    def join(self, seconds: float = 5.0) -> None:
        """Wait until the thread has released all runs; call it after `stopping` is set."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def launch(self, run: Run) -> None:
        """Follow `run` from now on, unless Redis does not answer."""
        supervised = run.store.markers.supervised
        run.store.markers.set_supervised(True)
        try:
            reconcile(run, self.connection)
        except (RedisError, Unavailable):
            if not supervised:  # otherwise it would start after the request was refused
                self.release(run.store)
            raise

    def release(self, store: RunStore) -> None:
        """Stop following a run."""
        with self._locking:
            store.markers.set_supervised(False)
            self._unlock(store.id)

    def holds(self, store: RunStore) -> bool:
        """Whether it follows the run at present, and so holds its lock."""
        return store.id in self._locks

    def _lock(self, store: RunStore) -> bool:
        """Lock the run, unless it was released meanwhile. Return whether it is locked."""
        with self._locking:
            if store.markers.supervised:
                lock = contextlib.ExitStack()
                lock.enter_context(store.lock.hold())
                self._locks[store.id] = lock
            return store.id in self._locks

    def _unlock(self, run_id: str) -> None:
        if lock := self._locks.pop(run_id, None):
            lock.close()

    def _follow(self) -> None:
        reconciled, pause = 0.0, self.seconds
        while not self._stop.wait(pause):
            started = time.monotonic()
            again = started - reconciled > 5 * self.seconds
            for run_id in self._launched():
                try:
                    self._advance(self.workspace.run(run_id), again)
                    self._problems.pop(run_id, None)
                except Conflict:
                    continue  # another process runs it; retried in the next round
                except Exception as error:  # a damaged run must not stop the other runs
                    self._report(run_id, error)
            reconciled = started if again else reconciled
            # Leave most of the time to requests, however many cells there are. The upper bound is for rounds
            # in which a report took minutes.
            pause = min(max(self.seconds, 4 * (time.monotonic() - started)), 10 * self.seconds)

        for run_id in list(self._locks):  # otherwise another service would wait until the locks expire
            self._unlock(run_id)

    def _report(self, run_id: str, error: Exception) -> None:
        """Log `error` once, not in every round."""
        problem = f"{type(error).__name__}: {error}"
        if self._problems.get(run_id) != problem:
            expected = isinstance(error, BenchError | RedisError | OSError)
            log.warning("run %s: %s", run_id, error, exc_info=None if expected else error)
        self._problems[run_id] = problem

    def _launched(self) -> list[str]:
        """Return the ids of the runs to follow."""
        return sorted({*self.workspace.supervised_ids(), *self._locks})

    def _advance(self, store: RunStore, again: bool) -> None:
        fresh = store.id not in self._locks
        if fresh and not self._lock(store):
            return
        try:
            run = open_run(store, self.runtime)
            if fresh:
                clear_damaged(run)
        except BenchError as error:
            if fresh or isinstance(error, NotFound):
                self._unlock(store.id)
            raise
        if not store.markers.supervised:  # ended or cancelled elsewhere
            self._unlock(store.id)
        elif store.markers.cancelled:
            self.release(store)
        elif progress_of(run).complete:
            self._finish(run)
            self.release(store)
        elif again:
            reconcile(run, self.connection)

    def _finish(self, run: Run) -> None:
        store = run.store
        try:
            with storage_errors_raised(store.folder):
                finish(run)
                keep_at_end(run)
                store.layout.problem.unlink(missing_ok=True)
        except StorageUnavailable:  # the next round tries again
            raise
        except Exception as error:  # a retry would fail again; `mssbench report` retries on request
            log.exception("run %s: no report", store.id)
            write_text(store.layout.problem, store.hide_root(f"{type(error).__name__}: {error}"))
