"""What can be done to a run that exists: cancel it, take it up again, try failed cells again, delete it.

Whoever goes on with a run (a launcher, the orchestrator service, its workers) reads the markers in its
directory. So these work from any process, on any machine that sees the data root.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable

from mssbench_service.errors import BadOutput, BenchError, Conflict
from mssbench_service.files import remove_folder
from mssbench_service.musdb import MIXTURE, check_track
from mssbench_service.separation import check_separation
from mssbench_service.wire import RenderResult, parse
from redis import Redis

from ..runs.formats import RENDERING_FORMAT
from ..runs.plan import planned_again
from ..runs.progress import progress_of
from ..runs.records import Cell
from ..runs.run import METADATA, Run
from ..runs.status import status_of
from ..runs.store import DELETED, Workspace
from .queues import at_work, withdraw

log = logging.getLogger("mssbench")


def cancel(run: Run, connection: Redis | None) -> int:
    """Begin no further step of `run`: its open cells stay pending; how many jobs were taken out of the queues.

    Steps that run already run to their end. Without a `connection`, whoever follows the run takes out the jobs.

    Raises
    ------
    Conflict
        It is complete.
    """
    if progress_of(run).complete:
        raise Conflict(f"run {run.store.id} is complete; there is nothing to cancel")
    run.store.cancel()
    run.store.leave()
    return withdraw(run, connection) if connection is not None else 0


def forget_unreadable(run: Run) -> int:
    """Let cells be done again whose outcome a machine that lost its power has left empty or torn; how many."""
    cells = [cell for cell in run.record.cells() if run.store.unreadable(cell)]
    for cell in cells:
        log.warning("run %s: what %s ended with cannot be read; it is done again", run.store.id, cell)
        run.store.forget_outcome(cell)
    return len(cells)


def retry_failed(run: Run) -> int:
    """Forget the errors of all failed cells; how many there were. Renderings and estimates that are sound stay.

    A track whose files were mended meanwhile is taken as it is now, unless some cell has a score of it as it was.
    """
    failed = [cell for cell in run.record.cells() if run.store.failed(cell)]
    _take_mended(run, dict.fromkeys(cell.title for cell in failed))
    for title in dict.fromkeys(cell.title for cell in failed if cell.condition == "binaural"):
        if run.rendered(title) and not _whole(run, title):
            remove_folder(run.runtime.root.resolve(run.record.track(title).folders["binaural"]))
    for cell in failed:
        if run.store.separated(cell) and not _sound(run, cell):
            remove_folder(run.store.estimates(cell))
        run.store.forget_outcome(cell)
    return len(failed)


def _take_mended(run: Run, titles: Iterable[str]) -> None:
    if run.store.held:  # whoever holds the run knows the tracks as they were
        return
    mended = False
    for track in map(run.record.track, titles):
        cells = run.record.cells_of(track.title)
        if not track.files or any(run.store.succeeded(cell) for cell in cells):
            continue
        try:
            now = planned_again(track, run.record, Workspace(run.runtime.root.root), run.runtime)
        except BenchError:
            continue  # the cells fail again, and say why
        if now.files != track.files:
            for cell in cells:
                remove_folder(run.store.estimates(cell))
            vars(track).update(vars(now))
            mended = True
    if mended:
        run.store.save(run.record)


def _sound(run: Run, cell: Cell) -> bool:
    """False where the estimates are not those that were checked when they were made: the disk has lost some."""
    mixture = f"{run.record.track(cell.title).folders[cell.condition]}/{MIXTURE}.wav"
    try:
        check_separation(cell.separator, run.store.estimates(cell), run.runtime.root.existing(mixture))
    except BadOutput:
        return False
    except BenchError:
        pass  # it is the mixture that cannot be read, of which the estimates say nothing
    return True


def _whole(run: Run, title: str) -> bool:
    """False where the rendered track is not what it was written as: the disk has lost some of it."""
    folder = run.runtime.root.resolve(run.record.track(title).folders["binaural"])
    try:
        written = parse(RenderResult, RENDERING_FORMAT.read(folder / METADATA))
        found = check_track(folder)
    except BenchError:
        return False
    return (found.samples, found.sample_rate) == (written.samples, written.sample_rate)


def delete(run: Run, connection: Redis | None) -> None:
    """Remove the run's directory. Its rendered tracks stay: other runs may use them (``mssbench gc``).

    Raises
    ------
    Conflict
        It is running, or was cancelled and steps of it still run.
    """
    if status_of(run).state == "running":
        raise Conflict(f"run {run.store.id} is running; cancel it first")
    if connection is not None and (begun := at_work(run, connection)):
        raise Conflict(f"{begun} steps of run {run.store.id} still run; delete it when they have ended")
    with run.store.exclusive():
        # Gone at once for everybody who looks, however long its files take.
        grave = run.store.folder.with_name(f"{DELETED}{run.store.id}")
        shutil.rmtree(grave, ignore_errors=True)
        run.store.folder.rename(grave)
    shutil.rmtree(grave)
