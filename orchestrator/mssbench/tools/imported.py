"""Runs made of estimates, or of scores, of another tool. Reports, exports and leaderboards read them like others.

Nothing is separated in such a run. Its references are used where they are, and its estimates are hard links to the
files, or copies where that is not possible.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mssbench_service import audio
from mssbench_service.audio import read_header
from mssbench_service.checksums import checksums_of
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder, write_json
from mssbench_service.musdb import MIXTURE, SPLITS
from mssbench_service.names import check_name
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.wire import HrirInfo, HrirRequest, Scene, SeparateResult, parse

from ..runs.conditions import BINAURAL, STEREO
from ..runs.config import RunConfig
from ..runs.fingerprint import digest, state_of_files
from ..runs.formats import SEPARATION_FORMAT
from ..runs.provenance import provenance
from ..runs.records import Cell, PlacementRecord, RunRecord, SeparatorRecord, TrackRecord
from ..runs.run import Run
from ..runs.store import Workspace
from ..services.health import survey
from ..services.runtime import Runtime
from .batch import FolderEstimates, Row, rendering_of


@dataclass(frozen=True)
class ImportedRun:
    """A run that is being made."""

    run: Run
    estimates: FolderEstimates

    def cell(self, title: str) -> Cell:
        return Cell(self.run.record.config.condition_names[0], self.estimates.separator.name, title)

    def frames(self) -> dict[str, Path]:
        """Files for the values of frames, by title."""
        return {title: self.run.store.layout.frames(self.cell(title)) for title in self.estimates.sets}

    def save(self, rows: Mapping[str, list[Row]]) -> None:
        """Write the outcome of each title, then the record, by which the run exists."""
        for track in self.run.record.tracks:
            if track.title in rows:
                self._save(track, rows[track.title])
        self.run.store.save(self.run.record)

    def _save(self, track: TrackRecord, rows: list[Row]) -> None:
        cell, store = self.cell(track.title), self.run.store
        if all(set(row) <= {"title", "source", "status", "reason"} for row in rows):
            store.layout.result(cell).unlink(missing_ok=True)
            store.save_error(cell, "separate", "not-found", rows[0]["reason"])
            return
        found = self.estimates.found[track.title]
        if found.files:
            _link_estimates(self.run.estimates(cell), found.files, self.estimates.separator.name, track)
        metadata = rendering_of(self.estimates.references / track.title)
        store.save_result(
            cell,
            {
                "rows": rows,
                "mixture_gain": metadata.get("mixture_gain", 1.0),
                "device": "",
                "notes": [
                    store.hide_root(f"made by another tool, from {found.folder}"),
                    *self.estimates.notes,
                ],
                "details": {},
                "seconds": {},
                "audio_seconds": track.seconds,
                "made_by": {
                    "separator_version": "",
                    "weights": [],
                    "evaluator_version": self.run.record.versions.get("evaluator", ""),
                    "accepted_changes": [],
                },
            },
        )


@contextlib.contextmanager
def imported_run(
    estimates: FolderEstimates,
    runtime: Runtime,
    settings: Mapping[str, Any],
    command: str = "",
    run_id: str = "",
) -> Iterator[ImportedRun]:
    """Plan the run of `estimates`, and hold its lock. `settings` are those of the scores, as of :class:`RunConfig`.

    The same estimates, references and settings give the same run.

    Raises
    ------
    BadInput
        The name of the separator or `run_id` cannot be used, or only some of the references are renderings.
    """
    check_name(estimates.separator.name, "separator")
    record = _record(estimates, runtime, settings, command)
    record.id = run_id or record.id
    store = Workspace(runtime.root.root).run(record.id)
    if store.exists() and store.load().config != record.config:
        raise BadInput(f"run {record.id} exists with another configuration; choose another id")
    with store.lock.hold():
        yield ImportedRun(Run(store, record, runtime), estimates)


def _record(
    estimates: FolderEstimates, runtime: Runtime, settings: Mapping[str, Any], command: str
) -> RunRecord:
    references, root = estimates.references, runtime.root
    renderings = {title: rendering_of(references / title) for title in estimates.sets}
    binaural = {"angles" in metadata for metadata in renderings.values()}
    if len(binaural) > 1:
        raise BadInput(f"{references} holds renderings and other tracks; a run has one of them")
    condition = BINAURAL if True in binaural else STEREO
    first = next(iter(renderings.values()))
    split = references.resolve().name if references.resolve().name in SPLITS else ""
    config = RunConfig(
        dataset=root.reference(references.resolve().parent if split else references),
        split=split or SPLITS[-1],
        profile=first.get("profile", "matched"),
        separators=[estimates.separator.name],
        conditions=[condition],
        **settings,
    )
    config.validate()
    tracks = [
        _track(references / title, own, estimates, root.reference(references / title), condition, metadata)
        for (title, own), metadata in zip(estimates.sets.items(), renderings.values(), strict=True)
    ]
    state = [[asdict(track), _state(estimates.found[track.title].files)] for track in tracks]
    evaluator = survey(runtime, [runtime.registry.tools["evaluator"]])
    return RunRecord(
        id=config.run_id(digest(state)),
        config=config,
        tracks=tracks,
        separators=[SeparatorRecord(**vars(estimates.separator))],
        hrir=_hrir(runtime, first),
        stems=estimates.stems,
        targets=[] if estimates.targets == estimates.stems else estimates.targets,
        **provenance(command, {one.name: one.version for one in evaluator if one.ready and one.version}),
    )


def _track(
    folder: Path,
    own: tuple[str, ...],
    estimates: FolderEstimates,
    source: str,
    condition: str,
    metadata: Mapping[str, Any],
) -> TrackRecord:
    header = read_header(folder / f"{own[0]}.wav")
    angles, placements = dict(metadata.get("angles", {})), {}
    if "scene" in metadata:
        placements[condition] = PlacementRecord(angles, parse(Scene, metadata["scene"]))
    return TrackRecord(
        folder.name,
        header.samples,
        header.sample_rate,
        source,
        {condition: source},
        angles,
        state_of_files(folder, own) if (folder / f"{MIXTURE}.wav").is_file() else "",
        stems=[] if list(own) == estimates.stems else list(own),
        placements=placements,
    )


def _state(files: Mapping[str, Path]) -> list[list[object]]:
    stats = [(stem, path.stat()) for stem, path in files.items()]
    return [[stem, stat.st_size, stat.st_mtime_ns] for stem, stat in stats]


def _hrir(runtime: Runtime, metadata: Mapping[str, Any]) -> HrirInfo | None:
    """The set of the renderings, if it is one that the bench can describe without its files."""
    if metadata.get("hrir") != "sphere":
        return None
    info = runtime.describe_hrir(HrirRequest("sphere"))
    return info if info.sha256 == metadata.get("hrir_sha256") else None


def _link_estimates(folder: Path, files: Mapping[str, Path], separator: str, track: TrackRecord) -> None:
    result = SeparateResult(separator, list(files), track.sample_rate, track.samples, "", 0.0)
    with atomic_folder(folder, replace=True) as temporary:
        for stem, path in files.items():
            _as_wav(path, temporary / f"{stem}.wav")
        result.checksums = checksums_of(temporary)
        write_json(temporary / SEPARATION_FILE, SEPARATION_FORMAT.stamped(asdict(result)))


def _as_wav(path: Path, target: Path) -> None:
    """Link or copy a WAV file, and decode others."""
    if path.suffix.lower() != ".wav":
        with contextlib.suppress(BadInput):  # the copy cannot be read either, and the row says so
            signal, rate = audio.read_unrounded(path)
            audio.write_wav(target, signal, rate, "DOUBLE" if signal.dtype == "float64" else "FLOAT")
            return
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)
