"""Status of a run in one object, as the API returns it and the command line prints it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .progress import Progress, Share, seconds_left, survey, throughput
from .run import Run

State = Literal["running", "cancelled", "complete", "incomplete"]


@dataclass(frozen=True)
class QueuePlace:
    """A queue in which jobs of a run wait.

    `waiting` is their number, `ahead` the number of other runs' jobs before the first of them, and `workers` the
    number of workers of the queue.
    """

    queue: str
    waiting: int
    ahead: int
    workers: int


@dataclass(frozen=True)
class RunStatus:
    """Status of a run.

    Attributes
    ----------
    id : str
    state : str
        ``running``: a process executes it. ``complete``: every cell has ended, and `links` has the table and the
        report. ``cancelled``: no step starts until it is resumed. ``incomplete``: cells are open, and no process
        executes it.
    created : str
        ISO 8601.
    progress : Progress
    by_separator : list of Share
        The same counts for each separator and condition.
    throughput : float or None
        Cells per minute over the latest cells; None unless the run is running and a cell has ended.
    seconds_left : float or None
        At this throughput.
    separators : list
        The separators in ``run.json``, with those that were unavailable.
    links : dict
        Paths of the run, its table and its report.
    waiting_for : list of str
        Services that do not answer or are not ready, for which the run waits.
    queues : list of QueuePlace
        Queues in which jobs of the run wait. Empty if the run does not use Redis, or Redis does not answer.
    problem : str
        An error of the run as a whole, such as a report that could not be written.
    """

    id: str
    state: State
    created: str
    progress: Progress
    by_separator: list[Share]
    throughput: float | None
    seconds_left: float | None
    separators: list[dict[str, Any]]
    links: dict[str, str]
    waiting_for: list[str] = field(default_factory=list)
    queues: list[QueuePlace] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Failure:
    """A cell that ended with an error: the failed `step`, the error's `code` and `detail`, and its log."""

    condition: str
    separator: str
    title: str
    step: str
    code: str
    detail: str
    log: str = ""


def status_of(run: Run) -> RunStatus:
    """Read the status of `run` from its directory."""
    store = run.store
    # Read before the cells: a run that ends during the survey is reported as running, not as incomplete.
    state = _state_of_unfinished(run)
    found = survey(run)
    if found.progress.complete and state != "running":
        state = "complete"
    speed = throughput(found.ended_at, store.lock.last_held) if state == "running" else None
    links = {"self": f"/runs/{store.id}"}
    for path in (store.layout.results_csv, store.layout.report):
        if state == "complete" and path.exists():
            name = path.relative_to(store.folder).as_posix()
            links[name] = f"/runs/{store.id}/{name}"
    problem = store.layout.problem
    return RunStatus(
        id=store.id,
        state=state,
        created=run.record.created,
        progress=found.progress,
        by_separator=found.by_separator,
        throughput=speed,
        seconds_left=seconds_left(found.progress, speed),
        separators=[asdict(separator) for separator in run.record.separators],
        links=links,
        waiting_for=store.outages.current() if state == "running" else [],
        problem=problem.read_text(encoding="utf-8") if problem.exists() else "",
    )


def _state_of_unfinished(run: Run) -> State:
    if run.store.markers.cancelled:
        return "cancelled"
    if run.store.markers.supervised or run.store.lock.is_held:
        return "running"
    return "incomplete"


def failures_of(run: Run) -> list[Failure]:
    """All cells that ended with an error, in the order of the run."""
    return [
        Failure(
            cell.condition,
            cell.separator,
            cell.title,
            **{name: str(error.get(name, "")) for name in ("step", "code", "detail", "log")},
        )
        for cell in run.record.cells()
        if run.store.failed(cell) and not run.store.succeeded(cell)
        for error in [run.store.outcome(cell) or {}]
    ]


def format_duration(seconds: float) -> str:
    """Format as ``40 s``, ``12 min``, ``3 h 5 min`` or ``2 d 4 h``."""
    minutes = round(seconds / 60)
    hours = minutes // 60
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
