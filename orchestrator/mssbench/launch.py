"""Starts a run, follows it, ends it with tables and a report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from mssbench_service.errors import BadInput
from redis import Redis
from redis.exceptions import RedisError

from .config import RunConfig
from .embedded import embedded_redis, embedded_workers
from .inline import run_inline
from .plan import plan
from .queues import connect, reconcile
from .results import RESULT_COLUMNS, result_rows, write_csv
from .runtime import Runtime
from .steps import Run
from .store import RunStore, Workspace

RECONCILE_SECONDS = 5.0
LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Progress:
    """How far a run is: cells by state, and tracks rendered. Counted from the run directory."""

    cells: int
    separated: int
    ended: int
    failed: int
    to_render: int
    rendered: int

    @property
    def complete(self) -> bool:
        return self.ended == self.cells

    @property
    def state(self) -> str:
        return "complete" if self.complete else "incomplete"


def progress_of(run: Run) -> Progress:
    """Read the run's progress from its directory."""
    cells = run.record.cells()
    failed = sum(run.store.failed(cell) for cell in cells)
    succeeded = sum(run.store.succeeded(cell) for cell in cells)
    binaural = "binaural" in run.record.config.conditions
    titles = [track.title for track in run.record.tracks] if binaural else []
    return Progress(
        cells=len(cells),
        separated=sum(run.store.separated(cell) for cell in cells),
        ended=succeeded + failed,
        failed=failed,
        to_render=len(titles),
        rendered=sum(run.rendered(title) for title in titles),
    )


def open_run(store: RunStore, runtime: Runtime) -> Run:
    """An existing run, as it is on disk."""
    return Run(store, store.load(), runtime)


def prepare(
    config: RunConfig, workspace: Workspace, runtime: Runtime, command: str = "", run_id: str = ""
) -> Run:
    """Plan a run and write its ``run.json``; the same run started again is continued.

    Raises
    ------
    BadInput
        Something in `config` cannot be used, or `run_id` is the name of a different run.
    """
    record = plan(config, workspace, runtime, command)
    record.id = run_id or record.id
    store = workspace.run(record.id)
    if store.exists():
        before = store.load()
        if [asdict(before.config), before.tracks] != [asdict(record.config), record.tracks]:
            raise BadInput(
                f"run {record.id} exists with another configuration or other files; choose another id"
            )
        # What was true when it began stays; separators may have become available since.
        record.created, record.command = before.created, before.command
    store.save(record)
    return Run(store, record, runtime)


def retry_failed(run: Run) -> int:
    """Forget the errors of all failed cells; how many there were."""
    failed = [cell for cell in run.record.cells() if run.store.failed(cell)]
    for cell in failed:
        run.store.forget_outcome(cell)
    return len(failed)


def forget_scores(run: Run, metrics: str, bsseval: bool, aggregate: str) -> int:
    """Make `run` one that is to be scored like this, from the estimates that it has; how many cells.

    A cell whose separation failed keeps its error.
    """
    config = run.record.config
    config.metrics, config.bsseval, config.aggregate = metrics, bsseval, aggregate
    config.validate()
    run.store.save(run.record)
    cells = [cell for cell in run.record.cells() if run.store.separated(cell)]
    for cell in cells:
        run.store.forget_outcome(cell)
    return len(cells)


def finish(run: Run, *, audio: bool = True) -> None:
    """Write ``results.csv`` and the report from what is there now."""
    write_csv(run.store.results_csv, result_rows(run.store, run.record), RESULT_COLUMNS)
    from .report import build_report  # loads a plotting library, which only this needs

    build_report(run.store.folder, audio=audio)


def execute_inline(run: Run, show: Callable[[Progress], None]) -> None:
    """Everything that is left, in this process."""
    with run.store.exclusive():
        show(progress_of(run))
        run_inline(run, lambda: show(progress_of(run)))
        finish(run)


def execute_queued(run: Run, url: str, show: Callable[[Progress], None]) -> None:
    """Everything that is left, by the workers of the Redis at `url`, which somebody else runs."""
    with run.store.exclusive():
        _follow(run, connect(url), show, lambda: None)
        finish(run)


def execute_embedded(run: Run, show: Callable[[Progress], None]) -> None:
    """Everything that is left, by a private Redis and workers that end with this process."""
    with run.store.exclusive():
        show(progress_of(run))
        if not progress_of(run).complete:
            root = run.runtime.root.root
            with embedded_redis() as url, embedded_workers(url, root) as workers:
                _follow(run, connect(url), show, workers.keep_alive)
        finish(run)


def _follow(run: Run, connection: Redis, show: Callable[[Progress], None], tend: Callable[[], None]) -> None:
    reconciled = float("-inf")
    while not (progress := progress_of(run)).complete:
        show(progress)
        if time.monotonic() - reconciled > RECONCILE_SECONDS:
            tend()
            with contextlib.suppress(RedisError):  # it restarts or is out of reach; the run directory waits
                reconcile(run, connection)
            reconciled = time.monotonic()
        time.sleep(LOOK_SECONDS)
    show(progress)
