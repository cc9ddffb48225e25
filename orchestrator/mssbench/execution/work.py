"""The function of a job: runs one step, then queues the steps that it unlocked."""

from __future__ import annotations

import contextlib
import functools
import logging
from pathlib import Path

from mssbench_service.errors import BadInput, StorageUnavailable
from mssbench_service.files import storage_errors_raised
from redis.exceptions import RedisError
from rq import get_current_job

from ..runs.fingerprint import FileState, file_state
from ..runs.records import RunRecord
from ..runs.run import Run, Task
from ..runs.store import RunStore, open_workspace
from ..services.runtime import Runtime, make_runtime
from .queues import enqueue
from .retries import perform_with_retries

log = logging.getLogger("mssbench")


def work(run_id: str, task: dict[str, str]) -> None:
    """Run one step, then queue the steps that it unlocked.

    Does nothing if the run was removed or cancelled: its open cells stay pending.
    """
    step = Task(**task)
    root = open_workspace().root
    try:
        with storage_errors_raised(root):
            run = load_run(run_id)
            if run is None or run.store.markers.cancelled:
                return
            perform_with_retries(run, step)
    except StorageUnavailable as error:
        # The task stays open. `reconcile` queues it again.
        log.warning("%s is postponed: %s", step, error.detail)
        return
    job = get_current_job()
    assert job is not None
    with contextlib.suppress(RedisError):  # `reconcile` queues what is missing
        enqueue(run, dict.fromkeys(run.unlocked_by(step), 0), job.connection)


def load_run(run_id: str) -> Run | None:
    """Load a run; None if it was removed. The record is cached until the file changes."""
    workspace = open_workspace()
    store = workspace.run(run_id)
    if (state := file_state(store.layout.record)) is None:
        return None
    runtime = _runtime(workspace.root)
    with contextlib.suppress(BadInput):  # a file that is just being written
        runtime.reload()  # a service may have been started, or started again with another URL, since the last job
    return Run(store, _record(store, state), runtime)


@functools.lru_cache(maxsize=2)
def _record(store: RunStore, state: FileState) -> RunRecord:
    # `state` is only part of the cache's key.
    return store.load()


@functools.lru_cache(maxsize=1)
def _runtime(root: Path) -> Runtime:
    return make_runtime(root)
