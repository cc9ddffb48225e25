"""Single stages over whole folders, outside a run: render a dataset, score a folder of estimates."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from binaural_metrics.layouts import Estimates, find_estimates
from mssbench_service.checksums import damage
from mssbench_service.errors import BadInput
from mssbench_service.files import make_folder
from mssbench_service.formats import Format
from mssbench_service.musdb import HRIR_FILE, Track, stems_of
from mssbench_service.names import path_suggestion
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.stems import ACCOMPANIMENT, VOCALS, WELL_KNOWN, in_order
from mssbench_service.wire import EvaluateRequest, RenderRequest, SeparatorInfo, parse

from ..runs.conditions import BINAURAL
from ..runs.config import RunConfig
from ..runs.formats import RENDERING_FORMAT, SEPARATION_FORMAT
from ..runs.layout import RENDERING_FILE
from ..runs.placements import arrange
from ..runs.plan import checked_tracks
from ..runs.targets import choose_targets, folding, offered, scored_targets
from ..services.runtime import Runtime
from .output_folder import output_folder

log = logging.getLogger("mssbench")

Row = dict[str, Any]
Show = Callable[[int, int], None]
"""Called with (done, total) after each track."""


def synthesise(
    dataset: Path,
    out: Path,
    runtime: Runtime,
    *,
    hrir: str,
    angles: str = "",
    seed: int = 0,
    profile: str = "matched",
    split: str = "test",
    resample_hrir: bool = False,
    show: Show = lambda done, total: None,
) -> int:
    """Render every track of a split into ``<out>/<split>/<title>/``; return the number of tracks.

    A track that was rendered from the same request is kept, unless it is damaged. Temporary files of killed processes
    are removed.

    Parameters
    ----------
    dataset : Path
        Folder in the MUSDB18-HQ layout.
    out : Path
        Folder for the rendered tracks.
    hrir, angles, seed, profile, split, resample_hrir
        As of :class:`~mssbench.runs.config.RunConfig`.
    show : callable
        Called with (done, total) after each track.

    Raises
    ------
    BadInput
        The dataset, HRIR set, angles or output folder cannot be used. Nothing is rendered then.
    """
    tracks = checked_tracks(dataset, split)
    config = RunConfig(
        dataset="", hrir=hrir, angles=angles, seed=seed, split=split, resample_hrir=resample_hrir
    )
    arranged = arrange(config, tracks, runtime)[BINAURAL]
    info, placed = arranged.hrir, arranged.placements[BINAURAL]
    make_folder(out / split)
    with output_folder(out / split):
        for number, track in enumerate(tracks, start=1):
            target, scene = out / split / track.title, placed[track.title].scene
            resampled = info.sample_rate != track.sample_rate
            expected: dict[str, object] = {
                "angles": placed[track.title].angles,
                "scene": None if scene is None else asdict(scene),
                "profile": profile,
                "hrir_sha256": info.sha256,
                "hrir_resampled_from": info.sample_rate if resampled else None,
            }
            if not resampled:
                expected["samples"] = track.samples + info.taps - 1
            if _changed(track, target / RENDERING_FILE) or not _holds(target / RENDERING_FILE, expected):
                runtime.render(
                    RenderRequest(
                        track=runtime.root.reference(track.folder),
                        out=runtime.root.reference(target),
                        hrir=hrir,
                        angles=placed[track.title].angles,
                        profile=profile,
                        resample_hrir=resample_hrir,
                        scene=scene,
                    )
                )
            show(number, len(tracks))
    return len(tracks)


def _changed(track: Track, rendering: Path) -> bool:
    """Whether there is no rendering, or a stem was written after it."""
    if not rendering.exists():
        return True
    written = rendering.stat().st_mtime_ns
    return any((track.folder / f"{stem}.wav").stat().st_mtime_ns > written for stem in track.stems)


def _holds(path: Path, expected: dict[str, object]) -> bool:
    try:
        metadata = RENDERING_FORMAT.read(path)
        _require_undamaged(path.parent, metadata)
    except BadInput as error:
        log.warning("%s; the track is rendered again", error.detail)
        return False
    return all(metadata.get(key) == value for key, value in expected.items())


def _record(path: Path, kind: Format) -> Mapping[str, Any]:
    """The record beside audio that the bench made; empty for other audio."""
    return kind.read(path) if path.exists() else {}


def _require_undamaged(folder: Path, record: Mapping[str, Any], names: Iterable[str] | None = None) -> None:
    """Raise :class:`BadInput` if files (default: all) are not as they were when their `record` was written."""
    checksums = record.get("checksums")
    if isinstance(checksums, dict) and (problem := damage(folder, checksums, names or checksums)):
        raise BadInput(f"{folder}: {problem}")


@dataclass(frozen=True)
class FolderEstimates:
    """The estimates of one separator in a folder, and the references that they are scored against.

    Attributes
    ----------
    references : Path
        Folder with a folder for each title.
    stems : list of str
        Stems of any of the references.
    sets : dict of str to tuple of str
        Stems of the references of each title.
    separator : SeparatorInfo
        Its stems are what the estimates offer.
    targets : list of str
        What is scored (:mod:`mssbench.runs.targets`).
    found : dict of str to Estimates
        Files of each title.
    """

    references: Path
    stems: list[str]
    sets: dict[str, tuple[str, ...]]
    separator: SeparatorInfo
    targets: list[str]
    found: dict[str, Estimates]

    def offered(self, title: str) -> list[str]:
        """What is scored of one title."""
        return offered(self.targets, self.separator, self.stems, self.sets[title])

    @property
    def notes(self) -> list[str]:
        """What was folded, and which stems the estimates do not offer."""
        missing = [one for one in self.stems if not offered([one], self.separator, self.stems)]
        lines = folding(self.targets, self.separator, self.stems)
        return [*lines, *([f"not offered: {', '.join(missing)}"] if missing else [])]


def find_folder_estimates(
    references: Path, estimates: Path, targets: Sequence[str] = (), name: str = "the estimates"
) -> FolderEstimates:
    """Find the estimates of each title of `references` in the layouts of :mod:`binaural_metrics.layouts`.

    Estimates of vocals, or of vocals and accompaniment, alone are those of a model that offers no more. Otherwise a
    stem of the references without an estimate is missing.

    Raises
    ------
    BadInput
        A folder does not exist, the references hold no track, no title is in both, or a target cannot be scored.
    """
    sets = reference_stems(references, estimates)
    stems = list(in_order(set().union(*sets.values())))
    further = [stem for stem in WELL_KNOWN if VOCALS in stems and stem not in stems]
    found = find_estimates(estimates, {title: (*own, *further) for title, own in sets.items()})
    if not any(each.folder.is_dir() for each in found.values()):
        raise BadInput(next(iter(next(iter(found.values())).problems.values())))
    own = set().union(*(each.files for each in found.values()))
    own |= set() if own and own <= {VOCALS, ACCOMPANIMENT} else set(stems)
    return of_another_tool(references, sets, own, found, targets, name)


def reference_stems(references: Path, *others: Path) -> dict[str, tuple[str, ...]]:
    """Stems of the references of each title; raise ``BadInput`` if there are none, or one of `others` is no folder."""
    for folder in (references, *others):
        if not folder.is_dir():
            raise BadInput(
                f"{folder} is not a folder; expected <title>/<stem>.wav in it{path_suggestion(folder)}"
            )
    sets = _stem_sets(references)
    if not sets:
        hint = next((s for s in ("test", "train") if _stem_sets(references / s)), None)
        better = f"; did you mean {references / hint}?" if hint else ""
        raise BadInput(f"{references} holds no <title>/<stem>.wav{better}")
    return sets


def of_another_tool(
    references: Path,
    sets: dict[str, tuple[str, ...]],
    offered: Iterable[str],
    found: dict[str, Estimates],
    targets: Sequence[str],
    name: str,
) -> FolderEstimates:
    """What another tool, called `name`, offers and is scored on."""
    stems = list(in_order(set().union(*sets.values())))
    separator = SeparatorInfo(name, "made by another tool", stems=list(in_order(offered)))
    wanted = choose_targets(targets, [separator], stems, list(sets.values()))
    return FolderEstimates(references, stems, sets, separator, wanted, found)


def score(
    estimates: FolderEstimates,
    runtime: Runtime,
    frames: Mapping[str, Path],
    *,
    metrics: str = "all",
    bsseval: bool = True,
    aggregate: str = "median",
    device: str | None = None,
    show: Show = lambda done, total: None,
) -> dict[str, list[Row]]:
    """Score estimates; return the rows of each title.

    Parameters
    ----------
    frames : mapping of str to Path
        Files for the values of frames, by title.
    metrics, bsseval, aggregate
        As of :func:`binaural_metrics.score`.
    device : str, optional
        Device of PyTorch that this process computes on; see :func:`check_device`.
    show : callable
        Called with (done, total) after each track.
    """

    def score_title(title: str) -> list[Row]:
        kept = runtime.root.reference(frames[title]) if title in frames else ""
        own, targets = estimates.sets[title], estimates.offered(title)
        request = EvaluateRequest(
            "",
            "",
            metrics=metrics,
            bsseval=bsseval,
            aggregate=aggregate,
            frames=kept,
            stems=list(own),
            targets=scored_targets(targets, estimates.separator, estimates.stems, own),
        )
        return _score(estimates.references / title, estimates.found[title], runtime, request, device)

    titles = [title for title in estimates.sets if estimates.offered(title)]
    scored = {}
    # Threads: over HTTP they keep the service busy; in-process, NumPy and SciPy release the interpreter's lock.
    # A device has memory for one.
    with ThreadPoolExecutor(1 if device else max(1, os.cpu_count() or 1)) as pool:
        for number, (title, rows) in enumerate(
            zip(titles, pool.map(score_title, titles), strict=True), start=1
        ):
            scored[title] = rows
            show(number, len(titles))
    return scored


def check_device(device: str, runtime: Runtime) -> None:
    """Raise :class:`BadInput` if the metrics cannot be computed on `device`."""
    service = runtime.service_of("evaluate")
    if runtime.is_remote(service):
        raise BadInput(f"the evaluator is a service ({service.url}); set its DEVICE instead")
    try:
        with _on_device(device):
            return
    except ValueError as error:
        raise BadInput(str(error)) from None


def _on_device(device: str | None) -> AbstractContextManager[None]:
    if device is None:
        return nullcontext()
    from binaural_metrics import on_device  # imports SciPy

    return on_device(device)


def _stem_sets(folder: Path) -> dict[str, tuple[str, ...]]:
    """Stems of the references of each title."""
    if not folder.is_dir():
        return {}
    folders = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_dir())
    return {path.name: stems for path in folders if (stems := stems_of(path))}


def rendering_of(reference: Path) -> Mapping[str, Any]:
    """The record beside a rendered track; empty for other references."""
    return _record(reference / RENDERING_FILE, RENDERING_FORMAT)


def _score(
    reference: Path, estimates: Estimates, runtime: Runtime, request: EvaluateRequest, device: str | None
) -> list[Row]:
    title, problems = reference.name, estimates.problems

    def problem_of(target: str, otherwise: str) -> str:
        parts = request.targets[target].estimate
        return next((problems[part] for part in parts if part in problems), otherwise)

    try:
        if not estimates.files:
            return [
                _failed_row(title, one, problem_of(one, "there is no estimate")) for one in request.targets
            ]
        metadata = rendering_of(reference)
        _require_undamaged(reference, metadata, [*(f"{stem}.wav" for stem in request.stems), HRIR_FILE])
        _require_undamaged(
            estimates.folder,
            _record(estimates.folder / SEPARATION_FILE, SEPARATION_FORMAT),
            [path.name for path in estimates.files.values()],
        )
        request.reference = runtime.root.reference(reference)
        request.estimate = runtime.root.reference(estimates.folder)
        request.files = {stem: runtime.root.reference(path) for stem, path in estimates.files.items()}
        request.mixture_gain = metadata.get("mixture_gain", 1.0)
        request.binaural = "angles" in metadata
        with _on_device(device):
            result = runtime.evaluate(parse(EvaluateRequest, asdict(request)))
    except (BadInput, MemoryError) as error:
        # The other tracks are still scored.
        return [_failed_row(title, one, str(error)) for one in request.targets]
    return [row | {"title": title, "reason": problem_of(row["source"], row["reason"])} for row in result.rows]


def _failed_row(title: str, stem: str, reason: str) -> Row:
    return {"title": title, "source": stem, "status": "failed", "reason": reason}


def failed(rows: Iterable[Row]) -> int:
    """Count the rows without scores."""
    return sum(row["status"] == "failed" for row in rows)
