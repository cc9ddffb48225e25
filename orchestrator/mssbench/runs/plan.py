"""Plans a run: checks the configuration, and collects tracks, angles, separators and versions.

Errors in the input are found here, before any step runs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import BadInput, TooLarge, Unavailable
from mssbench_service.musdb import MIXTURE, Track, check_track, stem_sets, track_folders
from mssbench_service.names import suggestion
from mssbench_service.stems import in_order
from mssbench_service.wire import HrirInfo

from ..datasets.excerpt_files import place_excerpt
from ..datasets.selection import Excerpt, choose_titles
from ..services.health import ServiceHealth, survey_separators
from ..services.runtime import Runtime
from .conditions import BINAURAL, STEREO, condition_of
from .config import RunConfig
from .fingerprint import digest, fingerprint, state_of_files
from .placements import arrange, check_rates
from .provenance import provenance
from .records import PlacementRecord, RunRecord, SeparatorRecord, TrackRecord
from .store import Workspace
from .targets import choose_targets, offered

RENDERER = 1
"""Part of the key of every rendering. Increase it when the output of the renderer changes."""


def plan(config: RunConfig, runtime: Runtime, command: str = "") -> RunRecord:
    """Check what `config` refers to, and return the record of the run. Writes nothing.

    Each service that the run needs is called once, all in parallel; other services are not called.

    Raises
    ------
    BadInput
        The dataset, the HRIR set, the angles or a separator cannot be used.
    Unavailable
        None of the separators is available.
    """
    config.validate()
    dataset = runtime.root.existing(config.dataset)
    whole = checked_tracks(dataset, config.split, config.tracks, config.titles, excerpts=bool(config.excerpt))
    starts, tracks = place_excerpts(config.excerpt, whole)
    stems = dataset_stems(dataset, config.split)
    services = survey_separators(runtime, config.separators, tools=True)
    separators = choose_separators(config.separators, [one for one in services if one.kind == "separator"])
    usable = [one for one in separators if one.status == "available"]
    targets = choose_targets(config.targets, usable, stems, [track.stems for track in tracks])
    for one in usable:
        if not any(offered(targets, one, stems, track.stems) for track in tracks):
            one.status, one.reason = "unavailable", f"it offers none of the targets {', '.join(targets)}"
    arranged = arrange(config, tracks, runtime)
    hrirs = {name: one.hrir for name, one in arranged.items()}
    by_key = {key: of_title for one in arranged.values() for key, of_title in one.placements.items()}
    records = [
        _track_record(
            track, start, config, runtime, hrirs, {key: by_key[key][track.title] for key in by_key}, stems
        )
        for track, start in zip(tracks, starts, strict=True)
    ]
    of_files = digest(
        [
            [record.title, record.folders, fingerprint(track.folder, track.stems)]
            for record, track in zip(records, tracks, strict=True)
        ]
    )
    return RunRecord(
        id=config.run_id(of_files),
        config=config,
        tracks=records,
        separators=separators,
        hrir=hrirs.pop(BINAURAL, None) if BINAURAL in config.conditions else None,
        hrirs={name: replace(hrir, azimuths=[], elevations=[]) for name, hrir in hrirs.items()},
        stems=stems,
        targets=[] if targets == stems else targets,
        **provenance(command, {one.name: one.version or "unknown" for one in services if one.ready}),
    )


def checked_tracks(
    dataset: Path, split: str, first: int | None = None, titles: Sequence[str] = (), *, excerpts: bool = False
) -> list[Track]:
    """The dataset's tracks in the order of their titles. All files of each track exist and have the same format.

    `titles` and `first` select some of them. With `excerpts`, they may have any length.
    """
    longest = None if excerpts else max_track_seconds()
    folders = track_folders(dataset, split)
    found = {folder.name: (folder, stems) for folder, stems in zip(folders, stem_sets(folders), strict=True)}
    chosen = [found[title] for title in choose_titles(titles, list(found))[:first]]
    return [check_track(folder, (MIXTURE, *stems), max_seconds=longest) for folder, stems in chosen]


def dataset_stems(dataset: Path, split: str) -> list[str]:
    """Stems of a split: those that any of its tracks has.

    All tracks of the split count, even if a run has only some of them, so that the stems of a separator are folded in
    the same way in every run.
    """
    return list(in_order(set().union(*stem_sets(track_folders(dataset, split)))))


def place_excerpts(excerpt: str, tracks: Sequence[Track]) -> tuple[list[int | None], list[Track]]:
    """First sample of the excerpt in each track (None: the whole track), and the tracks with its length."""
    if not excerpt:
        return [None] * len(tracks), list(tracks)
    wanted, longest = Excerpt.parse(excerpt), max_track_seconds()
    if longest is not None and wanted.seconds > longest:
        raise TooLarge(f"the excerpt lasts {wanted.seconds:g} s; at most {longest:g} s are accepted")
    for track in tracks:  # before any of them is read for its loudest part
        place_excerpt(replace(wanted, start=wanted.start or 0.0), track)
    places = [place_excerpt(wanted, track) for track in tracks]
    return [start for start, _ in places], [
        replace(track, samples=count) for track, (_, count) in zip(tracks, places, strict=True)
    ]


def choose_separators(asked: Sequence[str], available: Sequence[ServiceHealth]) -> list[SeparatorRecord]:
    """The separators called `asked`, in its order. Unavailable ones are included, with the reason.

    The name of a service selects all its separators. An empty `asked` selects all services.
    """
    offered = {
        info.name: SeparatorRecord(
            **asdict(info) | {"expected": info.expected, "card": info.card},
            service=service.name,
            status="unavailable" if info.reason else "available",
        )
        for service in available
        for info in service.separators
    }
    services = {service.name: service for service in available}
    owners = Counter(info.name for service in available for info in service.separators)
    chosen: dict[str, SeparatorRecord] = {}
    for name in asked or services:
        service = services.get(name) or services.get(re.split("[-:]", name)[0])
        if name in offered:
            chosen[name] = offered[name]
        elif service and not service.separators:
            chosen[name] = SeparatorRecord(
                name, "", service=service.name, status="unavailable", reason=service.reason
            )
        elif name in services:
            chosen |= {info.name: offered[info.name] for info in services[name].separators if not info.reason}
        else:
            known = [*services, *offered]
            near = suggestion(name, known) or f"; known: {', '.join(known)}"
            raise BadInput(f"unknown separator {name!r}{near}")
    for name in chosen:
        if owners[name] > 1:
            several = [one.name for one in available for info in one.separators if info.name == name]
            raise BadInput(
                f"the separator {name!r} is offered {owners[name]} times, by {', '.join(several)}; expected one "
                "service (services.toml)"
            )
    if all(record.status == "unavailable" for record in chosen.values()):
        reasons = "; ".join(f"{record.name}: {record.reason}" for record in chosen.values())
        raise Unavailable(f"no separator is available: {reasons}")
    return list(chosen.values())


def _track_record(
    track: Track,
    start: int | None,
    config: RunConfig,
    runtime: Runtime,
    hrirs: Mapping[str, HrirInfo],
    placements: Mapping[str, PlacementRecord],
    stems: Sequence[str],
) -> TrackRecord:
    workspace = Workspace(runtime.root.root)
    source = runtime.root.reference(runtime.root.resolve(config.dataset) / config.split / track.title)
    cut = ""
    if start is not None:
        key = digest([source, fingerprint(track.folder), start, track.samples])
        cut = runtime.root.reference(workspace.rendered(key[:20], track.title))
    folders = {STEREO: cut or source} if STEREO in config.condition_names else {}
    for condition, placement in placements.items():
        name = condition_of(condition)
        key = digest(
            [
                RENDERER,
                cut or source,
                fingerprint(track.folder, track.stems),
                hrirs[name].sha256,
                placement.angles,
                config.rendered(name).profile,
                config.resample_hrir,
                *([asdict(placement.scene)] if placement.scene else []),
            ]
        )
        folders[condition] = runtime.root.reference(workspace.rendered(key[:20], track.title))
    angles = placements[BINAURAL].angles if BINAURAL in config.conditions else {}
    own = {
        condition: placement
        for condition, placement in placements.items()
        if condition != BINAURAL or not angles or placement.scene
    }
    return TrackRecord(
        track.title,
        track.samples,
        track.sample_rate,
        source,
        folders,
        angles,
        files=state_of_files(track.folder, track.stems),
        stems=[] if list(track.stems) == list(stems) else list(track.stems),
        start=start,
        cut=cut,
        placements=own,
    )


def plan_track_again(track: TrackRecord, record: RunRecord, runtime: Runtime) -> TrackRecord:
    """Plan `track` of an existing run again, from its present files.

    Raises
    ------
    BadInput, TooLarge
        The files are not a valid track.
    """
    names = (MIXTURE, *record.stems_of(track.title))
    longest = None if record.config.excerpt else max_track_seconds()
    whole = check_track(runtime.root.resolve(track.source), names, max_seconds=longest)
    (start,), (found,) = place_excerpts(record.config.excerpt, [whole])
    placements = {
        condition: placement
        for condition in record.rendered_conditions
        if (placement := track.placement(condition)) is not None
    }
    hrirs = record.hrirs | ({BINAURAL: record.hrir} if record.hrir is not None else {})
    for hrir in hrirs.values():
        check_rates(hrir, [found], resample=record.config.resample_hrir)
    return _track_record(found, start, record.config, runtime, hrirs, placements, record.stems)
