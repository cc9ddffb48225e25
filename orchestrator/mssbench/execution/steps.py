"""One piece of a run's work each: render a track, separate a cell, evaluate a cell.

A step reads and writes the run directory, asks the runtime for the work, and ends: it knows neither HTTP nor
queues. All are safe to repeat: what is done already is not done again. A failure ends the cells it concerns
with an ``error.json``; :class:`Unavailable` alone is tried again, after growing pauses.
"""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from mssbench_service import logs
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    BenchError,
    Busy,
    StepFailed,
    StorageFull,
    TimedOut,
    Unavailable,
)
from mssbench_service.files import remove_folder
from mssbench_service.musdb import MIXTURE, STEMS
from mssbench_service.separation import SEPARATION_FILE, check_separation
from mssbench_service.wire import (
    EvaluateRequest,
    RenderRequest,
    RenderResult,
    SeparateRequest,
    SeparateResult,
    parse,
)

from ..runs.fingerprint import state_of_files
from ..runs.formats import RENDERING_FORMAT, SEPARATION_FORMAT
from ..runs.records import Cell, TrackRecord
from ..runs.run import METADATA, Run, Task
from ..settings.limits import Limits

log = logging.getLogger("mssbench")


def perform(run: Run, task: Task, earlier: Sequence[str] = ()) -> None:
    """Do `task`, unless it is done already. `earlier` tells of the tries before this one.

    Raises
    ------
    Unavailable
        It cannot be done now; nothing was recorded.
    """
    about = "/".join(part for part in (task.condition, task.separator, task.title) if part)
    with logs.context(request_id=logs.new_request_id(), run=run.store.id, cell=about):
        begun = time.monotonic()
        log.info("%s begins", task.step)
        _perform(run, task, earlier)
        log.info("%s ended after %.1f s", task.step, time.monotonic() - begun)


def _perform(run: Run, task: Task, earlier: Sequence[str]) -> None:
    try:
        match task.step:
            case "render":
                _render(run, task.title)
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
    except Exception as error:  # a defect of ours or of a library: it must cost its own cells only
        log.exception("%s failed", task)
        trace = "\n".join([*earlier, traceback.format_exc()])
        record_failure(run, task, StepFailed(f"{type(error).__name__}: {error}"), len(earlier) + 1, trace)


def record_failure(run: Run, task: Task, error: BenchError, tries: int = 1, trace: str = "") -> None:
    """End the cells of `task` with `error`.

    Raises
    ------
    StorageFull
        There is no room to say so.
    """
    for cell in run.cells_of(task):
        run.store.save_error(cell, task.step, error.code, error.detail, tries=tries, trace=trace)


def _render(run: Run, title: str) -> None:
    track, config = run.record.track(title), run.record.config
    out = track.folders["binaural"]
    if run.rendered(title):
        return
    with _as_planned(run, track, track.source, out):
        rendered = run.runtime.render(
            RenderRequest(
                track=track.source,
                out=out,
                hrir=config.hrir,
                angles=track.angles,
                profile=config.profile,
                resample_hrir=config.resample_hrir,
            ),
            track.seconds,
        )
        if not (run.runtime.root.resolve(out) / METADATA).exists():
            raise BadOutput(f"the rendering of {title!r} was reported done, but is not there")
        if run.record.hrir is not None and rendered.hrir_sha256 != run.record.hrir.sha256:
            remove_folder(run.runtime.root.resolve(out))
            raise BadInput(
                f"the HRIR set {config.hrir} is not what it was when the run began; put that back and retry, or "
                "begin a run with what is there now"
            )


@contextlib.contextmanager
def _as_planned(run: Run, track: TrackRecord, reads: str, out: str = "") -> Iterator[None]:
    """:func:`require_planned_files` around what `reads` the track's own folder.

    What others were made into would be scored as the track, and a rendering of them be taken for it by every run to
    come. They may change while they are read: then `out`, which was made meanwhile, goes.
    """
    if reads != track.source:
        yield
        return
    require_planned_files(run, track)
    yield
    try:
        require_planned_files(run, track)
    except BadInput:
        if out:
            remove_folder(run.runtime.root.resolve(out))
        raise


def require_planned_files(run: Run, track: TrackRecord) -> None:
    """Raise :class:`BadInput` where the track's files are not those that the run was planned over."""
    try:
        found = state_of_files(run.runtime.root.resolve(track.source))
    except OSError:
        return  # whoever reads them says what is missing
    if track.files not in ("", found):  # records of early versions say nothing of the files
        raise BadInput(
            f"the files of {track.source} are not what they were when the run began (sizes or times differ); "
            "put those back and retry, or begin a run over what is there now (retry takes a track as it is where "
            "nothing of it has been scored)"
        )


def _mixture_gain(run: Run, cell: Cell) -> float:
    """What brings the track's reference stems to the level that they have in its mixture."""
    if cell.condition != "binaural":
        return 1.0
    folder = run.runtime.root.resolve(run.record.track(cell.title).folders["binaural"])
    return parse(RenderResult, RENDERING_FORMAT.read(folder / METADATA)).mixture_gain


def _separate(run: Run, cell: Cell) -> None:
    out = run.runtime.root.reference(run.store.estimates(cell))
    if run.store.past_separation(cell):
        return
    track, separator = run.record.track(cell.title), run.record.separator(cell.separator)
    folder = track.folders[cell.condition]
    mixture = f"{folder}/{MIXTURE}.wav"
    with _as_planned(run, track, folder, out):
        run.runtime.separate(
            separator.service,
            SeparateRequest(
                mixture=mixture,
                out=out,
                separator=cell.separator,
                references=folder if separator.needs_references else "",
                reference_gain=_mixture_gain(run, cell) if separator.needs_references else 1.0,
            ),
            track.seconds,
        )
        made = run.runtime.root.resolve(out)
        try:
            if not (made / SEPARATION_FILE).exists():
                raise BadOutput(f"{cell.separator} reported {cell.title!r} done, but the stems are not there")
            check_separation(cell.separator, made, run.runtime.root.resolve(mixture))
        except BadOutput:
            remove_folder(made)  # or no later try could mend it
            raise


def _evaluate(run: Run, cell: Cell) -> None:
    root = run.runtime.root
    if run.store.ended(cell):
        return
    track, config = run.record.track(cell.title), run.record.config
    estimates, frames = (root.reference(path) for path in (run.store.estimates(cell), run.store.frames(cell)))
    gain = _mixture_gain(run, cell)
    with _as_planned(run, track, track.folders[cell.condition]):
        evaluation = run.runtime.evaluate(
            EvaluateRequest(
                reference=track.folders[cell.condition],
                estimate=estimates,
                metrics=config.metrics,
                mixture_gain=gain,
                binaural=cell.condition == "binaural",
                bsseval=config.bsseval,
                aggregate=config.aggregate,
                frames=frames,
            ),
            track.seconds,
        )
    sources = [row.get("source") for row in evaluation.rows]
    if sources != list(STEMS):
        raise BadOutput(f"the evaluator scored {sources}; expected {list(STEMS)}")
    if any(row.get("status") == "failed" for row in evaluation.rows):
        # A stem may fail for what it holds, such as silence. That it cannot be read any more is no score of it.
        mixture = root.resolve(f"{track.folders[cell.condition]}/{MIXTURE}.wav")
        check_separation(cell.separator, run.store.estimates(cell), mixture)
    separation = parse(SeparateResult, SEPARATION_FORMAT.read(run.store.estimates(cell) / SEPARATION_FILE))
    run.store.save_result(
        cell,
        {
            "rows": evaluation.rows,
            "mixture_gain": gain,
            "device": separation.device,
            "notes": separation.notes,
            "details": separation.details,
            "seconds": {"separate": separation.seconds, "evaluate": evaluation.seconds},
            "audio_seconds": separation.samples / separation.sample_rate,
        },
    )


def perform_patiently(
    run: Run,
    task: Task,
    pauses: Sequence[float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """:func:`perform`, tried again after each pause while the service is unavailable; then the task fails.

    A service that has no free place does what it can: the last pause is repeated for as long as a step may take,
    in which a place becomes free.

    Parameters
    ----------
    pauses : sequence of float, optional
        Seconds, growing; default: those of :class:`Limits`. A service that names a later time is given it,
        though no more than the longest pause.

    Raises
    ------
    StorageFull
        The disk is still full, and nothing was recorded. The task stays open.
    """
    limits = Limits.from_environment()
    pauses = limits.pauses if pauses is None else pauses
    longest, for_a_place = max(pauses, default=0.0), limits.of_step(run.record.track(task.title).seconds)
    left, waited = iter(pauses), 0.0
    earlier: list[str] = []
    timeouts = 0
    while True:
        try:
            return perform(run, task, earlier)
        except Unavailable as error:
            timeouts += isinstance(error, TimedOut)
            pause = next(left, None)
            if pause is None and isinstance(error, Busy) and waited < for_a_place:
                pause = max(longest, 1.0)
            if pause is None and isinstance(error, StorageFull):
                raise
            if pause is None or timeouts >= limits.timeouts:
                record_failure(run, task, error, len(earlier) + 1, "\n".join(earlier))
                return
            pause = max(pause, min(error.retry_after, longest))
            waited += pause
            earlier.append(f"try {len(earlier) + 1}: {error.code}: {error.detail}; again in {pause:g} s")
            log.warning("%s %s: %s", task.step, task.title, earlier[-1])
            sleep(pause)
