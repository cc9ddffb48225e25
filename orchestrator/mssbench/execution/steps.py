"""The steps of a run: render a track, separate a cell, evaluate a cell.

A step calls the runtime and writes to the run directory. It depends neither on HTTP nor on queues. Steps are
idempotent: a completed step is not repeated. An error ends the cells of the step with an ``error.json``, except
:class:`Unavailable`, which leaves the task open (:mod:`mssbench.execution.retries`).
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mssbench_service import logs
from mssbench_service.errors import BadInput, BadOutput, BenchError, StepFailed, Unavailable, one_line
from mssbench_service.files import remove_folder, storage_error, storage_errors_raised, write_text
from mssbench_service.musdb import HRIR_FILE, MIXTURE
from mssbench_service.separation import SEPARATION_FILE, check_separation
from mssbench_service.wire import EvaluateRequest, RenderRequest, SeparateRequest

from ..datasets.excerpt_files import require_excerpt
from ..datasets.selection import EXCERPT_FILE
from ..runs.conditions import condition_of
from ..runs.estimates import read_separation, separated_files
from ..runs.fingerprint import state_of_files
from ..runs.formats import RENDERING_FORMAT, SEPARATION_FORMAT
from ..runs.layout import RENDERING_FILE
from ..runs.owned import move_unknown, remove_generated
from ..runs.records import RENDERED, Cell, TrackRecord
from ..runs.run import Run, Task
from ..runs.targets import folding, scored_targets
from .integrity import complete_record, estimates_problem, read_rendering, rendering_problem
from .keeping import estimates_removed, keep_estimates

log = logging.getLogger("mssbench")


def perform(run: Run, task: Task, earlier: Sequence[str] = ()) -> None:
    """Run `task` once, unless it is completed. `earlier` is the log of earlier attempts.

    Raises
    ------
    Unavailable
        The service is unavailable. The task stays open.
    """
    about = "/".join(part for part in (task.condition, task.separator, task.title) if part)
    with logs.context(request_id=logs.new_request_id(), run=run.store.id, cell=about):
        started = time.monotonic()
        log.info("%s starts", task.step)
        with storage_errors_raised(run.store.folder):
            _perform(run, task, earlier)
        log.info("%s ended after %.1f s", task.step, time.monotonic() - started)


def _perform(run: Run, task: Task, earlier: Sequence[str]) -> None:
    try:
        match task.step:
            case "render":
                _render(run, task.title, task.condition)
            case "separate":
                _separate(run, task.cell)
            case "evaluate":
                _evaluate(run, task.cell)
            case _:
                raise StepFailed(f"unknown step {task.step!r}")
    except Unavailable:
        raise
    except BenchError as error:
        record_failure(run, task, error, len(earlier) + 1, "\n".join(earlier))
    except Exception as error:  # a defect in the bench or a library must not affect other cells
        if storage_error(error, run.store.folder):
            raise
        failed = StepFailed(f"{type(error).__name__}: {error}")
        where = "/".join(filter(None, (task.condition, task.separator, task.title)))
        # One line: error.json has the traceback.
        log.error("%s: %s failed: %s", where, task.step, one_line(failed.detail))
        record_failure(run, task, failed, len(earlier) + 1, "\n".join([*earlier, traceback.format_exc()]))


def record_failure(run: Run, task: Task, error: BenchError, tries: int = 1, trace: str = "") -> None:
    """End the cells of `task` with `error`.

    Raises
    ------
    StorageUnavailable
        The ``error.json`` cannot be written: the disk is full, or the storage fails.
    """
    for cell in run.cells_of(task):
        run.store.save_error(cell, task.step, error.code, error.detail, tries=tries, trace=trace)


def _render(run: Run, title: str, condition: str) -> None:
    if not run.rendered(title, condition):
        _render_now(run, title, condition)


def _render_now(run: Run, title: str, condition: str) -> None:
    track, config = run.record.track(title), run.record.config
    rendering, hrir = config.rendered(condition_of(condition)), run.record.hrir_of(condition)
    placement = track.placement(condition)
    assert placement is not None
    out, folder = track.folders[condition], run.rendering(title, condition)
    _move_unknown(folder, RENDERING_FILE)
    with _as_planned(run, track, track.audio, lambda: remove_rendering(run, title, condition)):
        rendered = run.runtime.render(
            RenderRequest(
                track=track.audio,
                out=out,
                hrir=rendering.hrir,
                angles=placement.angles,
                profile=rendering.profile,
                resample_hrir=config.resample_hrir,
                scene=placement.scene,
            ),
            track.seconds,
        )
        if not (folder / RENDERING_FILE).exists():
            raise BadOutput(f"the rendering of {title!r} was reported as complete, but its files are missing")
        if hrir is not None and rendered.hrir_sha256 != hrir.sha256:
            remove_rendering(run, title, condition)
            raise BadInput(
                f"the HRIR set {rendering.hrir} has changed since the run was planned; restore it and retry, or start "
                "a new run with the present set"
            )
        complete_record(folder / RENDERING_FILE, RENDERING_FORMAT)


def remove_rendering(run: Run, title: str, condition: str) -> None:
    """Remove the rendered track `title`, unless it is the source itself."""
    track = run.record.track(title)
    if track.folders[condition] != track.source:
        remove_generated(run.runtime.root.root / RENDERED, run.rendering(title, condition), RENDERING_FILE)


def remove_estimates(run: Run, cell: Cell) -> None:
    """Remove the estimates of `cell`."""
    remove_generated(run.store.folder, run.estimates(cell), SEPARATION_FILE)


def _move_unknown(folder: Path, marker: str) -> None:
    if moved := move_unknown(folder, marker):
        log.warning(
            "%s holds files but no %s; it was moved to %s and is made again", folder, marker, moved.name
        )


def _require_rendering(run: Run, cell: Cell, *names: str) -> None:
    """Check the files called `names` of the cell's rendered track. If they are damaged, render the track again."""
    if not cell.rendered:
        return
    rendering = (cell.title, cell.condition)
    if problem := rendering_problem(run, *rendering, names):
        track = run.record.track(cell.title)
        if track.folders[cell.condition] == track.source:
            raise BadInput(problem)
        log.warning("run %s: %s; the track is rendered again", run.store.id, problem)
        try:
            read_rendering(run.rendering(*rendering))
        except BenchError:  # the service replaces what has a valid record only
            remove_rendering(run, *rendering)
        _render_now(run, *rendering)
        if problem := rendering_problem(run, *rendering, names):
            raise BadOutput(f"{problem}, also after the track was rendered again; check the storage")


@contextlib.contextmanager
def _as_planned(
    run: Run, track: TrackRecord, reads: str, remove: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Call :func:`require_planned_files` before and after a step that `reads` the track's source folder or excerpt.

    Otherwise the result of changed files would be scored as the track, and later runs would reuse their rendering. If
    the files change during the step, `remove` is called, which removes its output.
    """
    if reads != track.audio:
        yield
        return
    require_planned_files(run, track)
    if track.start is not None:
        source, cut = run.runtime.root.resolve(track.source), run.generated_folder(track.title, track.cut)
        _move_unknown(cut, EXCERPT_FILE)
        require_excerpt(source, cut, track.start, track.samples, [MIXTURE, *run.record.stems_of(track.title)])
    yield
    try:
        require_planned_files(run, track)
    except BadInput:
        remove()
        raise


def require_planned_files(run: Run, track: TrackRecord) -> None:
    """Raise :class:`BadInput` if the track's files have changed since the run was planned."""
    try:
        found = state_of_files(run.runtime.root.resolve(track.source), run.record.stems_of(track.title))
    except OSError:
        return  # the step that reads them reports what is missing
    if track.files not in ("", found):  # records of early versions have no fingerprint
        raise BadInput(
            f"the files of {track.source} have changed since the run was planned (sizes or times differ); restore "
            "them and retry, or start a new run with the present files (retry accepts the present files of a track "
            "that has no scores yet)"
        )


def _mixture_gain(run: Run, cell: Cell) -> float:
    """Gain that brings the track's reference stems to their level in its mixture."""
    if not cell.rendered:
        return 1.0
    return read_rendering(run.rendering(cell.title, cell.condition)).mixture_gain


def _separate(run: Run, cell: Cell) -> None:
    if not run.needs_separation(cell):
        return
    made = run.estimates(cell)
    _move_unknown(made, SEPARATION_FILE)
    existed = made.exists()
    track, separator = run.record.track(cell.title), run.record.separator(cell.separator)
    folder = track.folders[cell.condition]
    mixture = f"{folder}/{MIXTURE}.wav"
    read = [MIXTURE, *(run.record.stems_of(cell.title) if separator.needs_references else ())]
    _require_rendering(run, cell, *(f"{name}.wav" for name in read))
    with _as_planned(run, track, folder, lambda: remove_estimates(run, cell)):
        run.runtime.separate(
            separator.service,
            SeparateRequest(
                mixture=mixture,
                out=run.runtime.root.reference(made),
                separator=cell.separator,
                references=folder if separator.needs_references else "",
                stems=_stems(run, cell),
                reference_gain=_mixture_gain(run, cell) if separator.needs_references else 1.0,
            ),
            track.seconds,
        )
        try:
            if not (made / SEPARATION_FILE).exists():
                raise BadOutput(
                    f"{cell.separator} reported {cell.title!r} as complete, but the stems are missing"
                )
            check_separation(
                cell.separator, made, run.runtime.root.resolve(mixture), separator.stems or _stems(run, cell)
            )
            if (label := read_separation(made).separator) != cell.separator:
                raise BadOutput(
                    f"{separator.service} returned estimates of {label!r}; expected {cell.separator!r}"
                )
        except BadOutput:
            # Otherwise a retry would find them and keep them. Files that were there before are not this run's.
            remove_estimates(run, cell) if existed else remove_folder(made)
            raise
        version = run.record.versions.get(separator.service, "")
        complete_record(made / SEPARATION_FILE, SEPARATION_FORMAT, service_version=version)


def _discard_damaged(run: Run, cell: Cell) -> bool:
    """Remove estimates that are damaged, and the records of removed ones, so that `cell` is separated again.

    Return whether there were any. Raises BadOutput if they are damaged again, or their service is no longer registered.
    """
    problem = estimates_problem(run, cell)
    removed = not problem and estimates_removed(run, cell)
    if not problem and not removed:
        return False
    if not run.store.separated(cell):  # another worker has removed them meanwhile
        return True
    problem = problem or "the estimates were removed after they were scored"
    if not removed and run.store.layout.damaged(cell).exists():
        raise BadOutput(f"{problem}, also after the track was separated again; check the storage")
    if run.record.separator(cell.separator).service not in run.runtime.registry.separators:
        raise BadOutput(f"{problem}, and its service is no longer registered (services.toml)")
    if not removed:
        log.warning("run %s: %s; the track is separated again", run.store.id, problem)
        write_text(run.store.layout.damaged(cell), f"{problem}\n")
    remove_estimates(run, cell)
    return True


def _stems(run: Run, cell: Cell) -> list[str]:
    """Stems of a request to a separator that takes any stem set."""
    separator = run.record.separator(cell.separator)
    if separator.stems:
        return []
    if separator.needs_references:
        return list(run.record.stems_of(cell.title))
    return run.record.offered(cell.separator, cell.title)


def _evaluate(run: Run, cell: Cell) -> None:
    root, layout = run.runtime.root, run.store.layout
    if run.store.ended(cell):
        return
    track, config = run.record.track(cell.title), run.record.config
    separator, stems = run.record.separator(cell.separator), run.record.stems
    own = run.record.stems_of(cell.title)
    _require_rendering(run, cell, *(f"{stem}.wav" for stem in own), HRIR_FILE)
    gain = _mixture_gain(run, cell)
    offered = run.record.offered(cell.separator, cell.title)
    folded = folding(offered, separator, stems, own)
    with _as_planned(run, track, track.folders[cell.condition]):
        if not run.store.separated(cell) or _discard_damaged(run, cell):
            return
        with separated_files(layout.estimates(cell)) as estimates:
            evaluation = run.runtime.evaluate(
                EvaluateRequest(
                    reference=track.folders[cell.condition],
                    estimate=root.reference(estimates),
                    metrics=config.metrics,
                    mixture_gain=gain,
                    binaural=cell.rendered,
                    bsseval=config.bsseval,
                    aggregate=config.aggregate,
                    frames=root.reference(layout.frames(cell)),
                    targets=scored_targets(offered, separator, stems, own),
                    stems=own,
                    dry=track.audio,
                ),
                track.seconds,
            )
            if separator.service and any(row.get("status") == "failed" for row in evaluation.rows):
                # A stem may fail because of its content, such as silence. A file that cannot be read is an error.
                mixture = root.resolve(f"{track.folders[cell.condition]}/{MIXTURE}.wav")
                check_separation(cell.separator, estimates, mixture)
    sources = [row.get("source") for row in evaluation.rows]
    if sources != offered:
        raise BadOutput(f"the evaluator scored {sources}; expected {offered}")
    separation, versions = read_separation(layout.estimates(cell)), run.record.versions
    run.store.save_result(
        cell,
        {
            "rows": evaluation.rows,
            "mixture_gain": gain,
            "device": separation.device,
            "notes": [*separation.notes, *folded],
            "details": separation.details,
            "seconds": {"separate": separation.seconds, "evaluate": evaluation.seconds},
            "audio_seconds": separation.samples / separation.sample_rate,
            "made_by": {
                "separator_version": separation.service_version or versions.get(separator.service, ""),
                "weights": separation.details.get("weights", []),
                "evaluator_version": evaluation.version or versions.get("evaluator", ""),
                "accepted_changes": run.record.accepted or [],
            },
        },
    )
    layout.damaged(cell).unlink(missing_ok=True)
    keep_estimates(run, cell)
