"""The responses of the stems of a scene: elevations, movements, and a simulated room."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from mssbench_service.errors import BadInput
from mssbench_service.wire import Placed, Scene

from . import rooms
from .hrir import HrirSet
from .interpolation import Interpolator
from .measured import Float64Array
from .moving import Trajectory

FAR = 5.0
"""A response farther than this from the requested direction, degrees, is noted."""


class Moving(NamedTuple):
    """A moving source: see :func:`synth_service.moving.convolved`."""

    source: Interpolator
    trajectory: Trajectory


Response = Float64Array | Moving
"""Of a stem: at rest, the response of shape (2, K)."""


@dataclass(frozen=True)
class Responses:
    """Responses of the stems, all of `taps` taps; `direct` is that of their direct sound, if it is wanted."""

    responses: Mapping[str, Response]
    taps: int
    direct: Mapping[str, Response] = field(default_factory=dict)
    record: Placed = field(default_factory=lambda: Placed({}, {}))


def at_rest(responses: Mapping[str, Float64Array]) -> Responses:
    """Responses of stems at rest."""
    return Responses(responses, next(iter(responses.values())).shape[1])


def locate(hrir: HrirSet, azimuths: Mapping[str, float], scene: Scene) -> Placed:
    """Find the direction of each stem that is at rest, and check that the scene can be rendered.

    Parameters
    ----------
    hrir : HrirSet
        With all its directions.
    azimuths : mapping
        Degrees, by stem. That of a moving stem is not used.
    scene : Scene

    Raises
    ------
    BadInput
        A stem is unknown, the set lacks the elevation or a part of a trajectory, or the room is impossible.
    """
    unknown = {*scene.elevations, *scene.trajectories} - set(azimuths)
    if unknown:
        raise BadInput(f"the scene names {', '.join(sorted(unknown))}; expected {', '.join(azimuths)}")
    for stem, elevation in scene.elevations.items():
        if not (math.isfinite(elevation) and abs(elevation) <= 90.0):
            raise BadInput(f"the elevation of {stem} is {elevation}; expected -90 to 90 degrees")
    if hrir.elevations is None and any(scene.elevations.values()):
        raise BadInput(
            f"{hrir.name} has no directions off the horizontal plane; expected a set with elevations"
        )
    if scene.trajectories and (hrir.room or scene.room):
        raise BadInput("moving sources in a room are not supported; give trajectories or a room")
    if scene.room:
        rooms.check_set(hrir)
        rooms.check_room(scene.room)
    record = Placed({}, {})
    source = interpolator(hrir) if scene.interpolate or scene.trajectories else None
    for stem in azimuths:
        azimuth, elevation = azimuths[stem], scene.elevations.get(stem, 0.0)
        if source is not None and stem in scene.trajectories:
            source.neighbours(*_trajectory(scene, stem).path())
            continue
        index, apart = hrir.nearest(azimuth, elevation)
        used = [
            float(hrir.azimuths[index]),
            0.0 if hrir.elevations is None else float(hrir.elevations[index]),
        ]
        if scene.interpolate and source is not None:
            source.neighbours([azimuth], [elevation])
            used, apart = [azimuth, elevation], 0.0
        if scene.room:
            rooms.source_position(scene.room, *used)
        record.directions[stem], record.apart_deg[stem] = used, round(apart, 3)
        if apart > FAR:
            record.notes.append(
                f"{stem} is at azimuth {used[0]:g}°, elevation {used[1]:g}°, {apart:.1f}° from the requested direction"
            )
    if scene.room and hrir.elevations is None and scene.room.rt60:
        record.notes.append(
            f"{hrir.name} has no elevations: reflections from floor and ceiling come from the horizontal plane"
        )
    return record


def place(hrir: HrirSet, azimuths: Mapping[str, float], scene: Scene) -> Responses:
    """Find the response of each stem. The arguments and the errors are those of :func:`locate`."""
    record = locate(hrir, azimuths, scene)
    responses: dict[str, Response] = {}
    direct: dict[str, Float64Array] = {}
    for stem in azimuths:
        if stem in scene.trajectories:
            responses[stem] = Moving(interpolator(hrir), _trajectory(scene, stem))
            continue
        used = record.directions[stem]
        index, _ = hrir.nearest(*used)
        if scene.room:
            responses[stem], direct[stem] = rooms.response(scene.room, hrir, *used)
        elif scene.interpolate:
            responses[stem] = interpolator(hrir).at(*used)
        else:
            responses[stem] = hrir.irs[index]
            direct[stem] = hrir.direct()[index] if hrir.room and scene.direct else hrir.irs[index]
    taps = max(
        hrir.irs.shape[2], *(ir.shape[1] for ir in responses.values() if isinstance(ir, np.ndarray)), 1
    )
    in_room = scene.direct and (hrir.room or scene.room)
    return Responses(
        {stem: _padded(response, taps) for stem, response in responses.items()},
        taps,
        {stem: _padded(direct[stem], taps) for stem in azimuths} if in_room else {},
        record,
    )


@functools.lru_cache(maxsize=2)
def interpolator(hrir: HrirSet) -> Interpolator:
    """Interpolator of a set. It is cached, because its triangulation of thousands of directions is slow."""
    return Interpolator(hrir)


def _trajectory(scene: Scene, stem: str) -> Trajectory:
    return Trajectory.from_points(scene.trajectories[stem], f"the trajectory of {stem}")


def _padded(response: Response, taps: int) -> Response:
    if isinstance(response, Moving) or response.shape[1] == taps:
        return response
    return np.pad(response, ((0, 0), (0, taps - response.shape[1])))
