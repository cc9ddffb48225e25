"""Starts a run, follows it, ends it with tables and a report."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

from mssbench_service.errors import BadInput, NotFound
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..runs.config import RunConfig
from ..runs.plan import plan
from ..runs.progress import Progress, progress_of
from ..runs.records import SeparatorRecord, TrackRecord
from ..runs.results import result_columns, result_rows, write_csv
from ..runs.run import Run
from ..runs.status import RunStatus, status_of
from ..runs.store import RunStore, Workspace
from ..services.runtime import Runtime
from .control import forget_unreadable
from .embedded import embedded_server, embedded_workers
from .inline import run_inline
from .queues import connect, queue_names, queues_of, reconcile, withdraw
from .steps import require_planned_files

log = logging.getLogger("mssbench")

RECONCILE_SECONDS = 5.0
LOOK_SECONDS = 0.3


def open_run(store: RunStore, runtime: Runtime) -> Run:
    """An existing run, as it is now."""
    return Run(store, store.load(), runtime)


def prepare(
    config: RunConfig, workspace: Workspace, runtime: Runtime, command: str = "", run_id: str = ""
) -> Run:
    """Plan a run and write its ``run.json``; the same run started again is continued.

    Raises
    ------
    BadInput
        Something in `config` cannot be used, `run_id` is the name of a different run, or a separator has other
        weights than those that the run was begun with.
    """
    record = plan(config, workspace, runtime, command)
    record.id = run_id or record.id
    store = workspace.run(record.id)
    if store.exists():
        before = store.load()
        if asdict(before.config) != asdict(record.config) or not _same(before.tracks, record.tracks):
            raise BadInput(
                f"run {record.id} exists with another configuration or other files; choose another id"
            )
        # What was true when it began stays; separators may have become available since.
        record.created, record.command = before.created, before.command
        record.separators = _continued(record.id, before.separators, record.separators)
    store.save(record)
    store.go_on()  # asked for again, so it is to go on
    return Run(store, record, runtime)


def _same(before: list[TrackRecord], now: list[TrackRecord]) -> bool:
    """Whether these are the same tracks. Records of early versions say nothing of the files themselves."""
    return len(before) == len(now) and all(
        had == (track if had.files else replace(track, files=""))
        for had, track in zip(before, now, strict=True)
    )


def _continued(
    run_id: str, before: list[SeparatorRecord], now: list[SeparatorRecord]
) -> list[SeparatorRecord]:
    """The separators of a run that goes on: those that it had, whether they answer now or not, and new ones."""
    had = {record.name: record for record in before if record.status == "available"}
    for record in now:
        weights = had[record.name].details.get("weights") if record.name in had else None
        if weights and record.status == "available" and record.details.get("weights") != weights:
            raise BadInput(
                f"run {run_id} was begun with other weights of {record.name} than it has now; choose another id"
            )
    services = {record.service for record in had.values()}
    new = [
        record
        for record in now
        if record.name not in had and (record.status == "available" or record.service not in services)
    ]
    return [*had.values(), *new]


def forget_scores(run: Run, metrics: str, bsseval: bool, aggregate: str) -> int:
    """Make `run` one that is to be scored like this, from the estimates that it has; how many cells.

    A cell whose separation failed keeps its error.

    Raises
    ------
    BadInput
        The files of a track are not what they were: the scores that are there stay.
    """
    config = run.record.config
    config.metrics, config.bsseval, config.aggregate = metrics, bsseval, aggregate
    config.validate()
    cells = [cell for cell in run.record.cells() if run.store.separated(cell)]
    for title in dict.fromkeys(cell.title for cell in cells if cell.condition == "stereo"):
        require_planned_files(run, run.record.track(title))
    for cell in cells:
        run.store.forget_outcome(cell)
    # Last: killed before, the run is scored again as it was, and never some cells like this and some like that.
    run.store.save(run.record)
    return len(cells)


def finish(run: Run, *, audio: bool = True, cells: Sequence[tuple[str, str, str, str]] = ()) -> None:
    """Write ``results.csv`` and the report from what is there now.

    Parameters
    ----------
    audio : bool
        Whether the report carries excerpts.
    cells : sequence of (condition, separator, title, stem)
        Excerpts to add to those that are chosen.
    """
    from ..report import build_report  # loads a plotting library, which only this needs

    store = run.store
    write_csv(store.results_csv, result_rows(store, run.record), result_columns())
    build_report(store.folder, audio=audio, cells=cells)


class Cancelled(Exception):
    """The run was cancelled, by this process or another; its open cells stay pending."""


Show = Callable[[RunStatus], None]


def execute_inline(run: Run, show: Show) -> None:
    """Everything that is left, in this process."""
    with _taken_up(run):
        _require_services(run)
        look = _Look(run, show)
        look()
        run_inline(run, look.sometimes)
        look()
        finish(run)


def execute_queued(run: Run, url: str, show: Show) -> None:
    """Everything that is left, by the workers of the Redis at `url`, which somebody else runs."""
    with _taken_up(run):
        _follow(run, connect(url), show)
        finish(run)


def execute_embedded(run: Run, show: Show) -> None:
    """Everything that is left, by a private Redis and workers that end with this process."""
    with _taken_up(run):
        if not _Look(run, show)().complete:
            _require_services(run)
            root = run.runtime.root.root
            with embedded_server() as redis, embedded_workers(redis.url, root, _served(run)) as workers:
                _follow(run, connect(redis.url), show, redis.keep_alive, workers.keep_alive)
        finish(run)


@contextlib.contextmanager
def _taken_up(run: Run) -> Iterator[None]:
    """Hold the run, whatever the last one left of it. Raises :class:`Conflict`."""
    with run.store.exclusive():
        forget_unreadable(run)
        yield


def _served(run: Run) -> list[str]:
    # One that is not registered any more has nothing left to do, or this would have ended already.
    return [name for name in queues_of(run) if name in queue_names()]


def _require_services(run: Run) -> None:
    """Raise :class:`NotFound` where something is left to separate for a service that is not registered any more."""
    left = {cell.separator for cell in run.record.cells() if not run.store.past_separation(cell)}
    services = {run.record.separator(name).service for name in left}
    if missing := sorted(services - run.runtime.registry.separators.keys()):
        raise NotFound(
            f"run {run.store.id} has tracks left for {', '.join(missing)}, not registered any more (services.toml)"
        )


class WarnsOnce:
    """Warns of what keeps a run waiting when that begins, and not again at every look."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, problem: str) -> None:
        """Nothing, where there is no `problem` any more."""
        if problem and problem != self._last:
            log.warning("%s", problem)
        self._last = problem


class _Look:
    """Looks at the run directory, shows what is there, and heeds a cancellation."""

    def __init__(self, run: Run, show: Show) -> None:
        self._run, self._show = run, show
        self.pause = LOOK_SECONDS
        self._last = 0.0

    def __call__(self) -> Progress:
        """The progress. Raises :class:`Cancelled`, or :class:`NotFound` where the run was removed by hand."""
        begun = time.monotonic()
        if not self._run.store.exists():
            raise NotFound(f"run {self._run.store.id} is gone: its run.json was removed")
        status = status_of(self._run)
        self._show(status)
        self._last = time.monotonic()
        # Ten thousand cells take a moment to look at; most of the time is left to the work.
        self.pause = max(LOOK_SECONDS, 10 * (self._last - begun))
        if self._run.store.cancelled and not status.progress.complete:
            raise Cancelled(self._run.store.id)
        return status.progress

    def sometimes(self) -> None:
        if self._run.store.cancelled or time.monotonic() - self._last > self.pause:
            self()


def _tend(run: Run, connection: Redis, tend: Sequence[Callable[[], None]]) -> str:
    """Put back what got lost; what a person has to mend before that is possible, or nothing."""
    try:
        for one in tend:
            one()
        reconcile(run, connection)
    except (ResponseError, AuthenticationError) as error:  # it is there, and full, or a replica, or locked
        return f"run {run.store.id} waits, as Redis refuses what it is told: {error}"
    except RedisError:
        pass  # it restarts or is out of reach; the run directory waits
    except Exception:  # the workers go on with what is queued, and the next look may go better
        log.exception("run %s: what got lost could not be put back", run.store.id)
    return ""


def _follow(run: Run, connection: Redis, show: Show, *tend: Callable[[], None]) -> None:
    tended = float("-inf")
    look, warn = _Look(run, show), WarnsOnce()
    try:
        while not look().complete:
            if time.monotonic() - tended > RECONCILE_SECONDS:
                warn(_tend(run, connection, tend))
                tended = time.monotonic()
            time.sleep(look.pause)
    except Cancelled:
        with contextlib.suppress(RedisError):
            withdraw(run, connection)
        raise


__all__ = [
    "Cancelled",
    "WarnsOnce",
    "execute_embedded",
    "execute_inline",
    "execute_queued",
    "finish",
    "forget_scores",
    "open_run",
    "prepare",
    "progress_of",
]
