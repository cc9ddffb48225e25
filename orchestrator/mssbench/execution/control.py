"""Operations on an existing run: cancel, retry failed cells, delete.

They write markers into the run directory, which launchers, the orchestrator service and its workers read. They
therefore work from any process, on any machine that shares the data root.
"""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Iterable

from mssbench_service.errors import BadOutput, BenchError, Conflict
from mssbench_service.musdb import HRIR_FILE, MIXTURE, check_track
from mssbench_service.separation import check_separation
from redis import Redis

from ..runs.estimates import separated_files
from ..runs.layout import DELETED_PREFIX
from ..runs.plan import plan_track_again
from ..runs.progress import progress_of
from ..runs.records import Cell
from ..runs.run import Run
from ..runs.status import status_of
from ..runs.store import has_damaged_outcome
from .integrity import estimates_problem, read_rendering, rendering_problem
from .keeping import estimates_replaced
from .queues import count_running, remove_jobs
from .same_code import require_same_code
from .steps import remove_estimates, remove_rendering

log = logging.getLogger("mssbench")


def cancel(run: Run, connection: Redis | None) -> int:
    """Start no further step of `run`. Its open cells stay pending, and running steps are completed.

    Return the number of jobs that were removed from the queues. Without a connection, the process that executes the run
    removes its jobs.

    Raises
    ------
    Conflict
        The run is complete.
    """
    if progress_of(run).complete:
        raise Conflict(f"run {run.store.id} is complete; there is nothing to cancel")
    run.store.markers.set_cancelled(True)
    run.store.markers.set_supervised(False)
    return remove_jobs(run, connection) if connection is not None else 0


def clear_damaged(run: Run) -> int:
    """Reopen cells whose outcome is truncated, changed, or that of another cell. Return their number."""
    cells = [cell for cell in run.record.cells() if has_damaged_outcome(run.store, cell)]
    registered = run.runtime.registry.separators
    for cell in cells:
        log.warning("run %s: the outcome of %s is damaged; the cell is repeated", run.store.id, cell)
        if estimates_replaced(run, cell) and run.record.separator(cell.separator).service in registered:
            remove_estimates(run, cell)  # FLAC files have other scores in the last digits
        run.store.clear_outcome(cell)
    return len(cells)


def retry_failed(run: Run, *, accept: bool = False) -> int:
    """Reopen all failed cells. Return their number. Valid renderings and estimates are kept.

    The caller holds the run's lock. `accept` is for :func:`~mssbench.execution.same_code.require_same_code`.

    If the files of a track have changed and no cell of it has a score, the present files are used.
    """
    run.store.outages.clear()
    failed = [cell for cell in run.record.cells() if run.store.failed(cell)]
    require_same_code(run, failed, accept=accept)
    _accept_changed_tracks(run, dict.fromkeys(cell.title for cell in failed))
    for title, condition in dict.fromkeys((cell.title, cell.condition) for cell in failed if cell.rendered):
        if run.rendered(title, condition) and not _rendering_is_valid(run, title, condition):
            remove_rendering(run, title, condition)
    for cell in failed:
        if run.store.separated(cell) and not _estimates_are_valid(run, cell):
            remove_estimates(run, cell)
        run.store.clear_outcome(cell)
    return len(failed)


def _accept_changed_tracks(run: Run, titles: Iterable[str]) -> None:
    changed = False
    for track in map(run.record.track, titles):
        cells = run.record.cells_of(track.title)
        if not track.files or any(run.store.succeeded(cell) for cell in cells):
            continue
        try:
            now = plan_track_again(track, run.record, run.runtime)
        except BenchError:
            continue  # the retried cells report it
        if now.files != track.files:
            for cell in cells:
                remove_estimates(run, cell)
            vars(track).update(vars(now))
            changed = True
    if changed:
        run.store.save(run.record)


def _estimates_are_valid(run: Run, cell: Cell) -> bool:
    """Whether the estimates are as they were written, and pass the check that they passed after the separation."""
    if estimates_problem(run, cell):
        return False
    mixture = f"{run.record.track(cell.title).folders[cell.condition]}/{MIXTURE}.wav"
    try:
        with separated_files(run.store.layout.estimates(cell)) as estimates:
            check_separation(cell.separator, estimates, run.runtime.root.existing(mixture))
    except BadOutput:
        return False
    except BenchError:
        pass  # the mixture cannot be read, so the estimates are kept
    return True


def _rendering_is_valid(run: Run, title: str, condition: str) -> bool:
    """Whether the rendered track is as it was written. Without checksums, its lengths are checked."""
    names = (MIXTURE, *run.record.stems_of(title))
    if rendering_problem(run, title, condition, [*(f"{name}.wav" for name in names), HRIR_FILE]):
        return False
    folder = run.rendering(title, condition)
    try:
        written, found = read_rendering(folder), check_track(folder, names)
        hrirs = zipfile.ZipFile(folder / HRIR_FILE).testzip() if (folder / HRIR_FILE).exists() else None
    except (BenchError, OSError, zipfile.BadZipFile):
        return False
    return hrirs is None and (found.samples, found.sample_rate) == (written.samples, written.sample_rate)


def delete(run: Run, connection: Redis | None) -> None:
    """Remove the run's directory. Its rendered tracks stay, as other runs may use them (``mssbench gc``).

    Raises
    ------
    Conflict
        The run is running, or was cancelled and steps of it still run.
    """
    if status_of(run).state == "running":
        raise Conflict(f"run {run.store.id} is running; cancel it first")
    if connection is not None and (running := count_running(run, connection)):
        raise Conflict(f"{running} steps of run {run.store.id} still run; delete it when they have ended")
    with run.store.lock.hold():
        # Renamed first, so that the run disappears at once. Removing its files may take long.
        renamed = run.store.folder.with_name(f"{DELETED_PREFIX}{run.store.id}")
        shutil.rmtree(renamed, ignore_errors=True)
        run.store.folder.rename(renamed)
    shutil.rmtree(renamed)
