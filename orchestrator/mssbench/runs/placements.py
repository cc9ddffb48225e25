"""Where the stems of a track are in each condition, and the HRIR set that renders them.

All of this is checked before anything is rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mssbench_service.errors import BadInput
from mssbench_service.musdb import Track
from mssbench_service.wire import HrirInfo, HrirRequest, Placement, PlaceRequest, Scene

from ..datasets.angles import (
    TOLERANCE,
    angular_distance,
    draw_angles,
    draw_directions,
    draw_trajectories,
    drawable,
    read_placements,
)
from ..services.runtime import Runtime
from .conditions import STEREO, Condition, name_of, placement_of
from .config import RunConfig
from .records import PlacementRecord

_TRACKS_PER_REQUEST = 10
"""A request has at most a MiB, and a track of some minutes with moving sources has ten KiB."""


@dataclass(frozen=True)
class Arrangement:
    """The HRIR set of a rendered condition, and the placement of each title by the condition of its cells.

    With scenes, the set is described on the sphere. Without, it has a response at each azimuth.
    """

    hrir: HrirInfo
    placements: dict[str, dict[str, PlacementRecord]]


def arrange(config: RunConfig, tracks: Sequence[Track], runtime: Runtime) -> dict[str, Arrangement]:
    """Find the placements of all conditions but ``stereo``.

    Raises
    ------
    NotFound, BadInput
        A set or a table cannot be used, or a set cannot render a placement.
    """
    return {
        name: _arranged(config, name, tracks, runtime) for name in config.condition_names if name != STEREO
    }


def _arranged(config: RunConfig, name: str, tracks: Sequence[Track], runtime: Runtime) -> Arrangement:
    by_name = dict(zip(config.condition_names, config.conditions, strict=True))
    condition, placed = config.rendered(name), config.rendered(name_of(placement_of(by_name[name], by_name)))
    plane = placed.placement == "azimuths"
    hrir = _described(config, placed, tracks, runtime, sphere=not plane)
    found = {
        key: _placements(placed, seed, config.split, tracks, runtime, hrir)
        for key, seed in zip(config.replicates[name], placed.seeds, strict=True)
    }
    own = isinstance(by_name[name], Condition) and (placed.angles or placed.name != name or hrir.room)
    scenes = [placement.scene for of_seed in found.values() for placement in of_seed.values()]
    if not (own or condition.room or condition.interpolate or any(scene != Scene() for scene in scenes)):
        for of_seed in found.values():
            check_angles(hrir, {title: placement.angles for title, placement in of_seed.items()})
        # As `binaural` without settings of its own, so that the renderings are the same ones.
        plain = {
            key: {title: PlacementRecord(placement.angles) for title, placement in of_seed.items()}
            for key, of_seed in found.items()
        }
        return Arrangement(hrir, plain)
    if plane or placed.name != name:
        hrir = _described(config, condition, tracks, runtime, sphere=True)
    rate = tracks[0].sample_rate
    return Arrangement(
        hrir, {key: _checked(condition, of_seed, rate, runtime) for key, of_seed in found.items()}
    )


def _described(
    config: RunConfig, condition: Condition, tracks: Sequence[Track], runtime: Runtime, *, sphere: bool
) -> HrirInfo:
    info = runtime.describe_hrir(HrirRequest(condition.hrir, tracks[0].sample_rate, sphere=sphere))
    check_rates(info, tracks, resample=config.resample_hrir)
    return info


def _placements(
    placed: Condition, seed: int, split: str, tracks: Sequence[Track], runtime: Runtime, hrir: HrirInfo
) -> dict[str, Placement]:
    if placed.angles:
        stems = {track.title: track.stems for track in tracks}
        return read_placements(runtime.root.existing(placed.angles), split, list(stems), stems)
    if placed.placement == "sphere" and not hrir.elevations:
        raise BadInput(
            f"the condition {placed.name!r}: {hrir.name} has no directions off the horizontal plane; expected a set "
            "with elevations"
        )
    return {track.title: _drawn(placed, seed, track, hrir) for track in tracks}


def _drawn(placed: Condition, seed: int, track: Track, hrir: HrirInfo) -> Placement:
    if placed.placement == "sphere":
        directions = draw_directions(track.title, seed, hrir, placed.elevations or (-90.0, 90.0), track.stems)
        return Placement(
            {stem: azimuth for stem, (azimuth, _) in directions.items()},
            Scene(elevations={stem: elevation for stem, (_, elevation) in directions.items()}),
        )
    if placed.placement == "moving":
        ways = draw_trajectories(
            track.title, seed, track.seconds, placed.speed_deg_s or (10.0, 60.0), track.stems
        )
        return Placement(
            {stem: points[0][1] % 360.0 for stem, points in ways.items()}, Scene(trajectories=ways)
        )
    return Placement(draw_angles(track.title, seed, drawable(hrir, len(track.stems)), track.stems))


def _checked(
    condition: Condition, placements: dict[str, Placement], sample_rate: int, runtime: Runtime
) -> dict[str, PlacementRecord]:
    """The placements with the room and the interpolation of the condition, and with what the set has for them."""
    titles = list(placements)
    scenes = {
        title: replace(placement.scene, interpolate=condition.interpolate, room=condition.room, direct=True)
        for title, placement in placements.items()
    }
    found: dict[str, PlacementRecord] = {}
    for start in range(0, len(titles), _TRACKS_PER_REQUEST):
        some = titles[start : start + _TRACKS_PER_REQUEST]
        request = PlaceRequest(
            condition.hrir,
            [Placement(placements[title].angles, scenes[title]) for title in some],
            sample_rate,
        )
        try:
            placed = runtime.place(request).placed
        except BadInput as error:
            raise type(error)(f"the condition {condition.name!r}: {error.detail}") from None
        found |= {
            title: PlacementRecord(placements[title].angles, scenes[title], one)
            for title, one in zip(some, placed, strict=True)
        }
    return found


def check_angles(hrir: HrirInfo, angles: dict[str, dict[str, float]]) -> None:
    """Raise :class:`BadInput` if the HRIR set has no azimuth within half a degree of an angle."""
    for title, of_track in angles.items():
        for stem, angle in of_track.items():
            nearest = min(hrir.azimuths, key=lambda azimuth: angular_distance(azimuth, angle))
            if angular_distance(nearest, angle) > TOLERANCE:
                raise BadInput(
                    f"the HRIR set {hrir.name} has no azimuth {angle:g}°, the angle of {stem} of {title!r}; "
                    f"the nearest is {nearest:g}°"
                )


def check_rates(hrir: HrirInfo, tracks: Sequence[Track], *, resample: bool) -> None:
    """Raise :class:`BadInput` if a track and the HRIR set differ in sample rate, unless `resample` is set."""
    for track in tracks:
        if track.sample_rate != hrir.sample_rate and not resample:
            raise BadInput(
                f"{track.folder} is at {track.sample_rate} Hz and the HRIR set {hrir.name} at "
                f"{hrir.sample_rate} Hz; give --resample-hrir (resample_hrir) to resample the set"
            )
