"""How a run stands, in one object: what the API answers and the command line shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from .progress import Progress, Share, seconds_left, survey, throughput
from .run import Run

State = Literal["running", "cancelled", "complete", "incomplete"]


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes
    ----------
    id : str
    state : str
        ``running``: somebody goes on with it. ``complete``: every cell has ended, and `links` has the table and
        the report. ``cancelled``: it waits until it is resumed. ``incomplete``: nobody follows it.
    created : str
        ISO 8601.
    progress : Progress
    by_separator : list of Share
        The same counts for each separator and condition.
    throughput : float or None
        Cells per minute over the recent past; None unless it is running and something has ended.
    seconds_left : float or None
        At this throughput.
    separators : list
        What ``run.json`` says of each, those that were unavailable included.
    links : dict
        Paths of the run, its table and its report.
    problem : str
        What went wrong with the run as a whole, such as a report that could not be written.
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
    problem: str = ""


@dataclass(frozen=True)
class Failure:
    """A cell that ended with an error: in which `step`, which kind (`code`), why, and what was logged."""

    condition: str
    separator: str
    title: str
    step: str
    code: str
    detail: str
    log: str = ""


def status_of(run: Run) -> RunStatus:
    """Read from the run directory how `run` stands."""
    store = run.store
    # Before the cells: a run that ends while they are looked at is running, not incomplete.
    state = _state_of_unfinished(run)
    found = survey(run)
    if found.progress.complete and state != "running":
        state = "complete"
    speed = throughput(found.ended_at, store.taken_up) if state == "running" else None
    links = {"self": f"/runs/{store.id}"}
    for path in (store.results_csv, store.report):
        if state == "complete" and path.exists():
            name = path.relative_to(store.folder).as_posix()
            links[name] = f"/runs/{store.id}/{name}"
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
        problem=store.problem.read_text(encoding="utf-8") if store.problem.exists() else "",
    )


def _state_of_unfinished(run: Run) -> State:
    if run.store.cancelled:
        return "cancelled"
    if run.store.launched.exists() or run.store.held:
        return "running"
    return "incomplete"


def failures_of(run: Run) -> list[Failure]:
    """All cells that ended with an error, in the run's order."""
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
