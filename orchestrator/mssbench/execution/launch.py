"""Executes a run to its end, and writes its tables and report."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from mssbench_service.errors import BenchError, NotFound, NotReady
from mssbench_service.files import storage_errors_raised
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..runs.progress import Progress
from ..runs.results import result_columns, result_rows, write_csv
from ..runs.run import Run
from ..runs.status import RunStatus, status_of
from .control import clear_damaged
from .embedded import embedded_server, embedded_workers
from .inline import run_inline
from .keeping import keep_at_end
from .queues import connect, queue_names, queues_of, queues_without_worker, reconcile, remove_jobs
from .same_code import require_same_code

log = logging.getLogger("mssbench")

RECONCILE_SECONDS = 5.0
POLL_SECONDS = 0.3

Show = Callable[[RunStatus], None]
"""Called with the status of the run, a few times per second."""


Change = Callable[[], object]
"""Changes the run before it is executed, such as :func:`~mssbench.execution.control.retry_failed`."""


def no_change() -> None:
    """Change nothing before the run is executed."""


class Cancelled(Exception):
    """The run was cancelled, by this process or another one. Its open cells stay pending."""


def execute_inline(run: Run, show: Show, change: Change = no_change, *, accept: bool = False) -> None:
    """Run all open tasks in this process.

    `show` is called with the status. `change` is called under the run's lock, before the first task. With `accept`, the
    run continues also with other weights, versions or settings than those in ``run.json``.

    Raises
    ------
    Conflict
        Another process executes the run. Nothing is changed.
    BadInput
        The code has changed, and `accept` is false.
    Cancelled
        The run was cancelled.
    """
    with _execution(run, change, accept):
        _require_services(run)
        monitor = _Monitor(run, show)
        monitor.update()
        run_inline(run, monitor.update_if_due)
        monitor.update()


def execute_queued(
    run: Run, show: Show, change: Change = no_change, *, url: str, accept: bool = False
) -> None:
    """Run all open tasks by the workers of the Redis at `url`, which were started separately."""
    connection = connect(url)
    with _execution(run, change, accept):
        _follow(run, connection, show)


def execute_embedded(run: Run, show: Show, change: Change = no_change, *, accept: bool = False) -> None:
    """Run all open tasks by a private Redis and workers, which end with this process."""
    with _execution(run, change, accept):
        if not _Monitor(run, show).update().complete:
            _require_services(run)
            # A service that is no longer registered has no open tasks: `_require_services` checked it.
            queues = [name for name in queues_of(run) if name in queue_names()]
            root = run.runtime.root.root
            with embedded_server() as redis, embedded_workers(redis.url, root, queues) as workers:
                _follow(run, connect(redis.url), show, redis.keep_alive, workers.keep_alive)


def executor(inline: bool, redis_url: str) -> Callable[..., None]:
    """The function that executes a run: in this process, on the Redis at `redis_url` or, if empty, on a private one."""
    if inline:
        return execute_inline
    return functools.partial(execute_queued, url=redis_url) if redis_url else execute_embedded


def finish(
    run: Run,
    *,
    audio: bool = True,
    cells: Sequence[tuple[str, str, str, str]] = (),
    targets: Sequence[str] = (),
) -> None:
    """Write ``results.csv`` and the report from the present outcomes.

    `audio`, `cells` and `targets` are those of :func:`mssbench.report.build_report`.
    """
    from ..report import build_report  # imports a plotting library, which workers do not need

    store = run.store
    write_csv(store.layout.results_csv, result_rows(store, run.record), result_columns())
    build_report(store.folder, audio=audio, cells=cells, targets=targets)


@contextlib.contextmanager
def _execution(run: Run, change: Change, accept: bool) -> Iterator[None]:
    """Hold the run's lock, under which all changes of its state are made. Write the report when all tasks are done."""
    with run.store.lock.hold():
        reload(run)  # another process may have executed it since it was read
        change()
        clear_damaged(run)
        require_same_code(run, accept=accept)
        run.store.markers.set_cancelled(False)
        yield
        finish(run)
        keep_at_end(run)


def reload(run: Run) -> None:
    """Read the run's record again."""
    vars(run.record).pop("_tracks", None)
    vars(run.record).update(vars(run.store.load()))


def _require_services(run: Run) -> None:
    """Raise :class:`NotFound` if tracks are left for a service that is no longer registered."""
    left = {cell.separator for cell in run.record.cells() if run.needs_separation(cell)}
    services = {run.record.separator(name).service for name in left}
    if missing := sorted(services - run.runtime.registry.separators.keys()):
        raise NotFound(
            f"run {run.store.id} has tracks left for {', '.join(missing)}, which is no longer registered "
            "(services.toml)"
        )


class _Monitor:
    """Reads the status of a run, shows it, and raises if the run was cancelled."""

    def __init__(self, run: Run, show: Show) -> None:
        self._run, self._show = run, show
        self.pause = POLL_SECONDS
        self._last = 0.0

    def update(self) -> Progress:
        """Read and show the status. Raises Cancelled, or NotFound if ``run.json`` was removed."""
        started = time.monotonic()
        if not self._run.store.exists():
            raise NotFound(f"run {self._run.store.id} no longer exists: its run.json was removed")
        status = status_of(self._run)
        self._show(status)
        self._last = time.monotonic()
        # The survey of a large run takes a second. It may use a tenth of the time.
        self.pause = max(POLL_SECONDS, 10 * (self._last - started))
        if self._run.store.markers.cancelled and not status.progress.complete:
            raise Cancelled(self._run.store.id)
        return status.progress

    def update_if_due(self) -> None:
        if self._run.store.markers.cancelled or time.monotonic() - self._last > self.pause:
            self.update()


def _follow(run: Run, connection: Redis, show: Show, *repairs: Callable[[], None]) -> None:
    """Show the status of `run` until it is complete. Every few seconds, call `repairs` and requeue lost tasks."""
    repaired, problem = float("-inf"), ""
    monitor = _Monitor(run, show)
    try:
        while not monitor.update().complete:
            if time.monotonic() - repaired > RECONCILE_SECONDS:
                before, problem = problem, _repair(run, connection, repairs)
                if problem and problem != before:  # logged once, not every few seconds
                    log.warning("%s", problem)
                repaired = time.monotonic()
            time.sleep(monitor.pause)
    except Cancelled:
        with contextlib.suppress(RedisError):
            remove_jobs(run, connection)
        raise


def _repair(run: Run, connection: Redis, repairs: Sequence[Callable[[], None]]) -> str:
    """Call `repairs` and requeue lost tasks. Return a problem that the user has to solve, or an empty string."""
    try:
        for repair in repairs:
            repair()
        with storage_errors_raised(run.store.folder):
            reconcile(run, connection)
        # Embedded workers have `repairs`, and need time to start.
        if not repairs and (queues := queues_without_worker(run, connection)):
            return f"run {run.store.id} waits, because no worker listens on {', '.join(queues)}"
    except NotReady:  # Redis or a worker does not start
        raise
    except BenchError as error:
        return f"run {run.store.id} waits: {error.detail}"
    except (ResponseError, AuthenticationError) as error:
        # Redis is full, is a replica, or requires a password.
        return f"run {run.store.id} waits, because Redis refuses a command: {error}"
    except RedisError:
        pass  # Redis restarts or is unreachable; the next call tries again
    except Exception as error:  # workers continue with the queued jobs, and the next call tries again
        return f"run {run.store.id}: lost tasks could not be queued again: {type(error).__name__}: {error}"
    return ""
