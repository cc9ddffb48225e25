"""The step of this service as a function from request to result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from binaural_metrics import Hrirs, InputError, load_hrirs, on_device
from binaural_metrics.layouts import stem_files
from binaural_metrics.scoring import Row, score_track
from mssbench_service import audio
from mssbench_service.errors import BadInput
from mssbench_service.files import DataRoot, atomic_file
from mssbench_service.musdb import HRIR_FILE
from mssbench_service.stems import check_stem_names
from mssbench_service.wire import EvaluateRequest, EvaluateResult, Target

from . import __version__
from .dry import DirectStems, DryStems, moving_stems
from .frames import write_frames
from .shared import reference_cache
from .targets import frames_of, scored_sets, total, without_direction

_REFERENCES = reference_cache()  # of the tracks that were scored last: the next separator has the same


def evaluate(
    root: DataRoot,
    request: EvaluateRequest,
    *,
    max_seconds: float | None = None,
    device: str | None = None,
) -> EvaluateResult:
    """Score the targets of one track; by default its stems, as far as the reference has them.

    If an estimate is missing, unreadable or has another sample rate, only its own row fails. Estimates are found as
    :func:`binaural_metrics.layouts.stem_files` does, unless the request names their files. `device` is that of
    :func:`binaural_metrics.on_device`.

    Raises
    ------
    NotFound
        A folder does not exist.
    BadInput
        The reference folder has no stem, one of its stems cannot be read, or the request is invalid.
    TooLarge
        A file is longer than `max_seconds`.
    """
    started = time.perf_counter()
    truth, found = root.existing(request.reference), root.existing(request.estimate)
    named = request.stems
    check_stem_names(named, "the request")
    for name, target in request.targets.items():
        check_stem_names([name], "the request")
        check_stem_names(target.estimate, f"the target {name!r}")
    stems = [stem for stem in named if (truth / f"{stem}.wav").exists()]
    if not stems:
        raise BadInput(f"{truth} holds none of {', '.join(f'{stem}.wav' for stem in named)}")
    targets = request.targets or {stem: Target([stem], [stem]) for stem in stems}
    parts = list(dict.fromkeys(part for target in targets.values() for part in target.estimate))
    sets = scored_sets(targets, stems)
    references, rates = {}, {}
    for stem in stems:
        references[stem], rates[stem] = audio.read_unrounded(truth / f"{stem}.wav", max_seconds=max_seconds)
    sample_rate = rates[stems[0]]
    for stem in stems:
        if rates[stem] != sample_rate:
            raise BadInput(f"{truth / stem}.wav is at {rates[stem]} Hz; expected {sample_rate} Hz")
    files, problems = {stem: root.existing(file) for stem, file in request.files.items()}, {}
    if not files:
        in_folder = stem_files(found, parts)
        files, problems = in_folder.files, in_folder.problems
    signals, unusable = _estimates(files, sample_rate, max_seconds)
    estimates, problems = _of_targets(targets, signals, problems | unusable)
    hrir = _hrirs(truth) if request.binaural else None
    dry = None
    if request.binaural and request.dry:
        dry = DryStems(root.resolve(request.dry), truth, stems, sample_rate, max_seconds)
    scored: dict[str, Row] = {}
    tables = []
    for scored_set in sets:
        try:
            with on_device(device):
                rows, frames = score_track(
                    {name: total(sources, references) for name, sources in scored_set.references.items()},
                    {name: estimates[name] for name in scored_set.targets if name in estimates},
                    sample_rate,
                    metrics=request.metrics,
                    mixture_gain=request.mixture_gain,
                    binaural=request.binaural,
                    hrir=hrir,
                    bsseval=request.bsseval,
                    aggregate=request.aggregate,
                    workers=_thread_count(),
                    dry=dry,
                    moving=moving_stems(truth) if request.binaural else (),
                    cache=_REFERENCES,
                    direct=DirectStems(truth, sample_rate) if dry is not None else None,
                )
        except InputError as error:
            raise BadInput(str(error)) from None
        composite = [name for name, sources in scored_set.references.items() if len(sources) > 1]
        scored |= {
            row["source"]: without_direction(row) if row["source"] in composite else row
            for row in rows
            if row["source"] in scored_set.targets
        }
        tables.append(frames_of(scored_set.targets, composite, frames) if request.targets else frames)
    rows = [scored[name] for name in targets]
    if request.frames:
        frames = {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}
        with atomic_file(root.resolve(request.frames), record=True) as temporary:
            write_frames(temporary, frames)
    # Reasons are part of results, which are published; those of errors are made relative elsewhere.
    problems = {stem: root.hide_root(problem) for stem, problem in problems.items()}
    return EvaluateResult(
        [_with_problem(row, problems) for row in rows], time.perf_counter() - started, __version__
    )


def _thread_count() -> int | None:
    """Number of threads set by ``MSSBENCH_THREADS``; None (all cores) if it is 0 or not set."""
    text = os.environ.get("MSSBENCH_THREADS", "").strip() or "0"
    if not text.isdecimal():
        raise BadInput(f"MSSBENCH_THREADS is {text!r}; expected a number of threads, or 0 for every core")
    return int(text) or None


def _hrirs(folder: Path) -> Hrirs | None:
    """The HRIR set that the stems of `folder` were rendered with; None if the rendering did not keep it."""
    path = folder / HRIR_FILE
    if not path.exists():
        return None
    try:
        return load_hrirs(path)
    except InputError as error:
        raise BadInput(str(error)) from None


def _estimates(
    files: Mapping[str, Path], sample_rate: int, max_seconds: float | None
) -> tuple[dict[str, npt.NDArray[np.floating[Any]]], dict[str, str]]:
    """Usable estimates, and the problems of the others, both by stem."""
    estimates, problems = {}, {}
    for stem, path in files.items():
        try:
            signal, rate = audio.read_unrounded(path, max_seconds=max_seconds)
            if rate != sample_rate:
                raise BadInput(f"{path} is at {rate} Hz; expected {sample_rate} Hz as the reference")
            estimates[stem] = signal
        except BadInput as error:
            problems[stem] = error.detail
    return estimates, problems


def _of_targets(
    targets: Mapping[str, Target], signals: Mapping[str, npt.NDArray[Any]], problems: Mapping[str, str]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Estimates of the targets, and the problems of the others: of the first stem that is missing or wrong."""
    estimates, unusable = {}, {}
    for name, target in targets.items():
        wrong = [problems.get(part, f"there is no {part}") for part in target.estimate if part not in signals]
        try:
            if not wrong:
                estimates[name] = total(target.estimate, signals)
        except BadInput as error:
            wrong = [error.detail]
        if wrong:
            unusable[name] = wrong[0]
    return estimates, unusable


def _with_problem(row: Row, problems: dict[str, str]) -> Row:
    """Replace the reason of a stem without an estimate by the problem of its file."""
    problem = problems.get(str(row["source"]))
    return row | {"status": "failed", "reason": problem} if problem else row
