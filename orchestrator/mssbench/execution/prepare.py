"""Creates runs, continues runs that exist, and reopens the cells of a run for new scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mssbench_service.errors import BadInput, Conflict

from ..runs.config import RunConfig
from ..runs.plan import plan
from ..runs.records import Cell, RunRecord, SeparatorRecord, TrackRecord
from ..runs.run import Run
from ..runs.space import require_space
from ..runs.store import Workspace
from ..runs.targets import choose_targets
from ..services.runtime import Runtime
from .keeping import estimates_removed
from .same_code import present_versions, require_same_code
from .steps import remove_estimates, require_planned_files


def prepare(config: RunConfig, runtime: Runtime, command: str = "", run_id: str = "") -> Run:
    """Plan a run and write its ``run.json``. A run that exists is continued, unless it is executed elsewhere.

    Raises
    ------
    BadInput
        A value in `config` cannot be used, there is too little room on the disk, `run_id` is the name of a different
        run, or the weights of a separator have changed since the run was created.
    """
    record = plan(config, runtime, command)
    record.id = run_id or record.id
    store = Workspace(runtime.root.root).run(record.id)
    try:
        with store.lock.hold():
            if store.exists():
                _continue(store.load(), record)
            require_space(Run(store, record, runtime))
            store.save(record)
    except Conflict:
        # Another process executes the run, so nothing is written. Its execution here is refused.
        before = store.load()
        _continue(before, record)
        return Run(store, before, runtime)
    return Run(store, record, runtime)


def _continue(before: RunRecord, record: RunRecord) -> None:
    """Keep in `record` what the run began with: `before`."""
    # What is kept of the estimates may be changed.
    config = replace(before.config, keep_estimates=record.config.keep_estimates)
    if config != record.config or not _same(before.tracks, record.tracks):
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


def clear_scores(
    run: Run, metrics: str, bsseval: bool, aggregate: str, targets: Sequence[str] = ()
) -> tuple[int, int]:
    """Change the metrics and targets of `run` and reopen its separated cells.

    Return their number, and that of those whose estimates were removed, which are separated again.

    A cell whose separation failed keeps its error. A separator that estimates what it is asked for separates again
    what it was not asked for before. The caller holds the run's lock. Without `targets`, those of the run are kept.

    Raises
    ------
    BadInput
        The files of a track have changed, cells are left and the code has changed, or the targets cannot be scored.
        All scores are kept.
    Conflict
        The run was cancelled. All scores are kept.
    """
    if run.store.markers.cancelled:
        raise Conflict(f"run {run.store.id} was cancelled; continue it first: mssbench resume {run.store.id}")
    config = replace(run.record.config, metrics=metrics, bsseval=bsseval, aggregate=aggregate)
    before = run.record.targets
    if targets:
        config = replace(config, targets=list(targets))
        config.validate()
        run.record.targets = _new_targets(run, config.targets)
    config.validate()
    try:
        return _clear_scores(run, config)
    except BaseException:
        run.record.targets = before
        raise


def _new_targets(run: Run, asked: Sequence[str]) -> list[str]:
    """Targets that are scored in place of those of the run; empty for the stems."""
    record = run.record
    found = choose_targets(
        asked, record.available, record.stems, [record.stems_of(one.title) for one in record.tracks]
    )
    lost = sum(run.store.succeeded(cell) and not run.store.separated(cell) for cell in record.cells())
    if found != record.sources and lost:
        raise BadInput(
            f"the estimates of {lost} cells of run {record.id} were removed; only its targets can be scored"
        )
    return [] if found == record.stems else found


def _lacks_estimates(run: Run, cell: Cell) -> bool:
    """Whether the separator of `cell` estimates any stems, and was not asked for a target."""
    separator = run.record.separator(cell.separator)
    if separator.stems or separator.needs_references:
        return False
    folder = run.store.layout.estimates(cell)
    return not all(
        any((folder / f"{one}.{suffix}").exists() for suffix in ("wav", "flac"))
        for one in run.record.offered(cell.separator, cell.title)
    )


def _clear_scores(run: Run, config: RunConfig) -> tuple[int, int]:
    cells = [cell for cell in run.record.cells() if run.store.separated(cell)]
    for title in dict.fromkeys(cell.title for cell in cells if not cell.rendered):
        require_planned_files(run, run.record.track(title))
    removed = [cell for cell in cells if estimates_removed(run, cell)]
    again = [cell for cell in cells if cell in removed or _lacks_estimates(run, cell)]
    if again or any(run.needs_separation(cell) for cell in run.record.cells()):
        require_same_code(run, cells)
    else:  # all scores are made by the present code
        run.record.versions |= present_versions(run, "evaluator")
    for cell in cells:
        run.store.clear_outcome(cell)
    for cell in again:
        remove_estimates(run, cell)
    # Written last: if the process is killed before, all cells are scored again with the old metrics, never with both.
    run.record.config = config
    run.store.save(run.record)
    return len(cells), len(removed)
