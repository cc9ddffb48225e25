"""Creates runs, continues runs that exist, and reopens the cells of a run for new scores."""

from __future__ import annotations

from dataclasses import asdict, replace

from mssbench_service.errors import BadInput, Conflict

from ..runs.config import RunConfig
from ..runs.plan import plan
from ..runs.records import RunRecord, SeparatorRecord, TrackRecord
from ..runs.run import Run
from ..runs.store import Workspace
from ..services.runtime import Runtime
from .same_code import present_versions, require_same_code
from .steps import require_planned_files


def prepare(
    config: RunConfig, workspace: Workspace, runtime: Runtime, command: str = "", run_id: str = ""
) -> Run:
    """Plan a run and write its ``run.json``. A run that exists is continued, unless it is executed elsewhere.

    Raises
    ------
    BadInput
        A value in `config` cannot be used, `run_id` is the name of a different run, or the weights of a separator
        have changed since the run was created.
    """
    record = plan(config, workspace, runtime, command)
    record.id = run_id or record.id
    store = workspace.run(record.id)
    try:
        with store.lock.hold():
            if store.exists():
                _continue(store.load(), record)
            store.save(record)
    except Conflict:
        # Another process executes the run, so nothing is written. Its execution here is refused.
        before = store.load()
        _continue(before, record)
        return Run(store, before, runtime)
    return Run(store, record, runtime)


def _continue(before: RunRecord, record: RunRecord) -> None:
    """Keep in `record` what the run began with: `before`."""
    if asdict(before.config) != asdict(record.config) or not _same(before.tracks, record.tracks):
        raise BadInput(f"run {record.id} exists with another configuration or other files; choose another id")
    for name in ("created", "command", "commit", "images", "machine", "accepted", "stems", "targets"):
        setattr(record, name, getattr(before, name))
    record.versions |= before.versions
    record.separators = _continued(record.id, before.separators, record.separators)


def _same(before: list[TrackRecord], now: list[TrackRecord]) -> bool:
    """Whether these are the same tracks. Records of early versions have no fingerprint of the files."""
    return len(before) == len(now) and all(
        old == (new if old.files else replace(new, files="")) for old, new in zip(before, now, strict=True)
    )


def _continued(
    run_id: str, before: list[SeparatorRecord], now: list[SeparatorRecord]
) -> list[SeparatorRecord]:
    """Separators of a continued run: its earlier ones, even if they are unavailable now, and new ones."""
    kept = {record.name: record for record in before if record.status == "available"}
    for record in now:
        weights = kept[record.name].details.get("weights") if record.name in kept else None
        if weights and record.status == "available" and record.details.get("weights") != weights:
            raise BadInput(
                f"run {run_id} was created with other weights of {record.name} than it has now; choose another id"
            )
    services = {record.service for record in kept.values()}
    new = [
        record
        for record in now
        if record.name not in kept and (record.status == "available" or record.service not in services)
    ]
    return [*kept.values(), *new]


def clear_scores(run: Run, metrics: str, bsseval: bool, aggregate: str) -> int:
    """Change the metrics of `run` and reopen its separated cells. Return their number.

    A cell whose separation failed keeps its error. The caller holds the run's lock.

    Raises
    ------
    BadInput
        The files of a track have changed, or cells are left and the code has changed. All scores are kept.
    Conflict
        The run was cancelled. All scores are kept.
    """
    if run.store.markers.cancelled:
        raise Conflict(f"run {run.store.id} was cancelled; continue it first: mssbench resume {run.store.id}")
    config = replace(run.record.config, metrics=metrics, bsseval=bsseval, aggregate=aggregate)
    config.validate()
    cells = [cell for cell in run.record.cells() if run.store.separated(cell)]
    for title in dict.fromkeys(cell.title for cell in cells if not cell.rendered):
        require_planned_files(run, run.record.track(title))
    if any(run.needs_separation(cell) for cell in run.record.cells()):
        require_same_code(run, cells)
    else:  # all scores are made by the present code
        run.record.versions |= present_versions(run, "evaluator")
    for cell in cells:
        run.store.clear_outcome(cell)
    # Written last: if the process is killed before, all cells are scored again with the old metrics, never with both.
    run.record.config = config
    run.store.save(run.record)
    return len(cells)
