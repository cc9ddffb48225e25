"""Operations of the orchestrator service, independent of HTTP: used by the API and the dashboard."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from mssbench_service.errors import BenchError, Conflict, Unavailable
from mssbench_service.files import DataRoot
from redis.exceptions import RedisError

from ..execution.control import cancel, delete, retry_failed
from ..execution.prepare import prepare
from ..execution.queue_status import QueueStatus, queue_status
from ..execution.queues import places_of
from ..execution.same_code import require_same_code
from ..runs.config import RunConfig
from ..runs.fingerprint import FileState, file_state
from ..runs.records import RunRecord
from ..runs.run import Run
from ..runs.status import QueuePlace, RunStatus, status_of
from ..runs.store import Workspace
from ..services.runtime import Runtime
from .status_watch import StatusWatch
from .storage_notice import remember_storage
from .supervisor import Supervisor

log = logging.getLogger("mssbench")


class RunService:
    """Runs on one data root: start, status, control, queues.

    All methods raise the errors of :mod:`mssbench_service.errors`; ``NotFound`` for an unknown run. `notice` is a
    message for the first page of the dashboard.
    """

    def __init__(self, workspace: Workspace, runtime: Runtime, redis_url: str) -> None:
        self.workspace, self.runtime = workspace, runtime
        self.supervisor = Supervisor(workspace, runtime, redis_url)
        self.watch = StatusWatch(self.status)
        self.notice = ""
        self._records: dict[str, tuple[FileState | None, RunRecord]] = {}
        self._ended: dict[str, tuple[object, RunStatus]] = {}

    def run(self, run_id: str) -> Run:
        """Read the run's record, from a cache if the file has not changed."""
        store = self.workspace.run(run_id)
        written = file_state(store.layout.record)
        known = self._records.get(run_id)
        # Parsing the record of a large run costs more than counting its cells.
        if known is None or known[0] != written:
            self._records[run_id] = known = (written, store.load())
        return Run(store, known[1], self.runtime)

    def status(self, run_id: str) -> RunStatus:
        """Return the status of a run, from a cache if the run was complete and has not changed."""
        run = self.run(run_id)
        # Each change of a complete run changes one of these.
        moving = run.store.lock.is_held or run.store.markers.supervised
        key = (
            self._records[run_id][0],
            run.store.lock.last_held,
            file_state(run.store.layout.report),
            moving,
            run.store.layout.problem.exists(),
        )
        known = self._ended.get(run_id)
        if known is not None and known[0] == key:
            return known[1]
        status = status_of(run)
        if status.state == "running":
            status = replace(status, queues=self._places(run))
        if status.state == "complete":
            self._ended[run_id] = (key, status)
        return status

    def statuses(self, limit: int, offset: int) -> tuple[list[RunStatus], int]:
        """Return one page of statuses, newest run first, and the number of all runs.

        A damaged run is logged and left out.
        """
        ids = self.workspace.run_ids()
        found = []
        for run_id in ids[offset : offset + limit]:
            try:
                found.append(self.status(run_id))
            except Exception as error:
                log.error("run %s cannot be read: %s", run_id, error)
        return found, len(ids)

    def start(self, config: RunConfig, name: str = "") -> RunStatus:
        """Start or continue a run. If Redis does not answer, nothing is changed."""
        self._require_queue()
        self.runtime.reload()
        body = json.dumps(config.settings(), ensure_ascii=False)
        command = f"POST /runs{f'?name={name}' if name else ''} {body}"
        run = prepare(config, self.runtime, command, name)
        # If another process executes the run, the supervisor takes it over when that process has ended.
        with suppress(Conflict), self._held(run):
            require_same_code(run)
            run.store.markers.set_cancelled(False)
        return self._launch(run)

    def resume(self, run_id: str) -> RunStatus:
        """Resume a run that was cancelled or interrupted. Do nothing if it is running."""
        run = self.run(run_id)
        if self.status(run_id).state == "running":
            return self.status(run_id)
        self._require_queue()
        with self._held(run):
            require_same_code(run)
            run.store.markers.set_cancelled(False)
        return self._launch(run)

    def retry(self, run_id: str) -> RunStatus:
        """Retry the failed cells.

        Raises
        ------
        Conflict
            The run has no failed cells.
        """
        run = self.run(run_id)
        self._require_queue()
        with self._held(run):
            if retry_failed(run) == 0:
                raise Conflict(f"run {run_id} has no failed cells")
            run.store.markers.set_cancelled(False)
        return self._launch(run)

    def cancel(self, run_id: str) -> RunStatus:
        """Cancel a run and remove its waiting jobs."""
        run = self.run(run_id)
        with self._queue():
            cancel(run, self.supervisor.connection)
        self.supervisor.release(run.store)
        self.watch.forget(run_id)
        return self.status(run_id)

    def delete(self, run_id: str) -> None:
        """Delete a run with its files and waiting jobs."""
        run = self.run(run_id)
        with self._queue():
            delete(run, self.supervisor.connection)
        self._records.pop(run_id, None)
        self._ended.pop(run_id, None)
        self.watch.forget(run_id)

    def message(self, error: BenchError) -> str:
        """The message of an error, for a page: its paths are relative to the data root."""
        return DataRoot(self.workspace.root).hide_root(error.detail)

    def queue_status(self) -> QueueStatus:
        """Return the state of the queues and workers."""
        with self._queue():
            return queue_status(self.supervisor.connection)

    @contextmanager
    def _held(self, run: Run) -> Iterator[None]:
        """Hold the run's lock, unless the supervisor does. Raises :class:`Conflict` if another process does."""
        if self.supervisor.holds(run.store):
            yield
            return
        with run.store.lock.hold():
            yield

    def _launch(self, run: Run) -> RunStatus:
        with self._queue():
            self.supervisor.launch(run)
            remember_storage(self.workspace, self.supervisor.connection)
        self.watch.forget(run.store.id)
        return status_of(run)

    def _places(self, run: Run) -> list[QueuePlace]:
        try:
            return places_of(run, self.supervisor.connection)
        except (RedisError, Unavailable):
            return []

    def _require_queue(self) -> None:
        """Raise :class:`Unavailable` if Redis does not answer: what is refused must not happen later."""
        with self._queue():
            self.supervisor.connection.ping()

    @contextmanager
    def _queue(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise Unavailable(f"the queue does not answer: {error}") from None
