"""Azimuths, directions and trajectories of the stems of a track: read from a table, or drawn by a seeded generator.

Azimuths are in degrees counter-clockwise: 0 = front, 90 = left ear, 270 = right ear.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from binaural_metrics.layouts import composed
from mssbench_service.errors import BadInput
from mssbench_service.files import read_json
from mssbench_service.musdb import STEMS
from mssbench_service.names import check_name
from mssbench_service.wire import HrirInfo, Placement

CHOICES = (*range(0, 91, 10), *range(270, 360, 10))
"""Azimuths to draw from: the frontal half plane in steps of 10°."""

TOLERANCE = 0.5
"""Largest difference in degrees between an azimuth and that of an HRIR."""

ARC = (30.0, 180.0)
"""Smallest and largest arc of a moving stem before it turns or changes its speed, degrees."""

_LARGEST_ANGLE = 3600.0  # degrees
_MOST_TRIES = 1000

Angles = dict[str, float]
Directions = dict[str, tuple[float, float]]
Trajectories = dict[str, list[list[float]]]


def angular_distance(one: float, other: float) -> float:
    """Distance between two azimuths in degrees."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


def drawable(hrir: HrirInfo, count: int = len(STEMS)) -> list[float]:
    """Azimuths of the set to draw from: those of the frontal half plane.

    For a room with fewer than `count` loudspeakers there, these are all of its azimuths.

    Examples
    --------
    >>> drawable(HrirInfo("name", "", 44100, 256, [0.0, 45.0, 90.0, 135.0, 270.0], 0.0, 0.0))
    [0.0, 45.0, 90.0, 270.0]
    """
    frontal = [azimuth for azimuth in hrir.azimuths if angular_distance(azimuth, 0.0) <= 90.0]
    return list(hrir.azimuths) if hrir.room and len(frontal) < count else frontal


def draw_angles(
    title: str, seed: int, azimuths: Sequence[float] = CHOICES, stems: Sequence[str] = STEMS
) -> Angles:
    """Draw different azimuths for `stems` from :data:`CHOICES` or, if `azimuths` lacks one of these, from `azimuths`.

    The result depends only on the arguments, so that a track has the same azimuths in a subset of the dataset, and
    with every HRIR set that has the drawn azimuths of :data:`CHOICES`.

    Parameters
    ----------
    title : str
        Title of the track.
    seed : int
        Zero or more.
    azimuths : sequence of float
        Azimuths that can be rendered, degrees (:func:`drawable`). With fewer than stems, they are ignored.
    stems : sequence of str
        Default: those of MUSDB18-HQ.

    Returns
    -------
    dict of str to float
        Azimuth of each stem in degrees.

    Raises
    ------
    BadInput
        `seed` is negative, or there are more stems than azimuths.

    Examples
    --------
    >>> draw_angles("Artist - Title", seed=0)
    {'vocals': 70.0, 'drums': 310.0, 'bass': 30.0, 'other': 40.0}
    """
    generator = _generator(title, seed)
    if len(stems) > len(CHOICES):
        raise BadInput(f"{title!r} has {len(stems)} stems; azimuths are drawn for at most {len(CHOICES)}")
    drawn = generator.choice(CHOICES, size=len(stems), replace=False)
    if len(azimuths) >= len(stems) and any(
        min(angular_distance(angle, azimuth) for azimuth in azimuths) > TOLERANCE for angle in drawn
    ):
        drawn = generator.choice(sorted(azimuths), size=len(stems), replace=False)
    return {stem: float(angle) for stem, angle in zip(stems, drawn, strict=True)}


def draw_directions(
    title: str,
    seed: int,
    hrir: HrirInfo,
    elevations: Sequence[float] = (-90.0, 90.0),
    stems: Sequence[str] = STEMS,
) -> Directions:
    """Draw different directions of a set for `stems`, uniformly on the sphere between two elevations.

    Points are drawn uniformly, and each is replaced by the nearest direction of the set, so that the density of the
    set does not matter.

    Parameters
    ----------
    title, seed, stems
        As for :func:`draw_angles`.
    hrir : HrirInfo
        The set, described on the sphere.
    elevations : sequence of float
        The lowest and the highest, degrees.

    Returns
    -------
    dict of str to tuple of float
        Azimuth and elevation of each stem in degrees.

    Raises
    ------
    BadInput
        `seed` is negative, or the set has fewer directions than stems between the elevations.
    """
    low, high = min(elevations), max(elevations)
    stored = np.column_stack([hrir.azimuths, hrir.elevations or np.zeros(len(hrir.azimuths))])
    stored = stored[(stored[:, 1] >= low - TOLERANCE) & (stored[:, 1] <= high + TOLERANCE)]
    if len(stored) < len(stems):
        raise BadInput(
            f"{hrir.name} has {len(stored)} directions at elevations from {low:g}° to {high:g}°; "
            f"expected at least {len(stems)}"
        )
    generator = _generator(title, seed)
    vectors = _vectors(stored)
    heights = np.sin(np.radians([low, high]))
    drawn: dict[int, None] = {}
    for _ in range(_MOST_TRIES):
        point = (generator.uniform(0.0, 360.0), np.degrees(np.arcsin(generator.uniform(*heights))))
        drawn[int(np.argmax(vectors @ _vectors(np.array([point]))[0]))] = None
        if len(drawn) == len(stems):
            break
    # A direction that is nearest to none of the drawn points comes last.
    chosen = [*drawn, *(index for index in range(len(stored)) if index not in drawn)]
    places = [(float(azimuth), float(elevation)) for azimuth, elevation in stored[chosen[: len(stems)]]]
    return dict(zip(stems, places, strict=True))


def draw_trajectories(
    title: str,
    seed: int,
    seconds: float,
    speeds: Sequence[float] = (10.0, 60.0),
    stems: Sequence[str] = STEMS,
) -> Trajectories:
    """Draw a trajectory on the horizontal circle for each of `stems`: arcs of random size, direction and speed.

    Parameters
    ----------
    title, seed, stems
        As for :func:`draw_angles`.
    seconds : float
        Length of the track. The trajectory of a longer track begins with that of a shorter one.
    speeds : sequence of float
        The lowest and the highest, degrees per second.

    Returns
    -------
    dict of str to list
        Points of (seconds, azimuth, elevation) of each stem. Between them, the azimuth changes linearly; it is not
        reduced to one turn.

    Raises
    ------
    BadInput
        `seed` is negative, or a speed is not positive.
    """
    slow, fast = min(speeds), max(speeds)
    if not (0 < slow <= fast < math.inf):
        raise BadInput(f"speeds from {slow:g} to {fast:g} degrees per second; expected them above zero")
    found: Trajectories = {}
    for stem, generator in zip(stems, _generator(title, seed).spawn(len(stems)), strict=True):
        time, azimuth = 0.0, float(generator.uniform(0.0, 360.0))
        points = [[time, round(azimuth, 3), 0.0]]
        while time < seconds:
            arc, speed = generator.uniform(*ARC), generator.uniform(slow, fast)
            time += float(arc / speed)
            azimuth += float(arc * generator.choice([-1, 1]))
            points.append([round(time, 3), round(azimuth, 3), 0.0])
        found[stem] = points
    return found


def _generator(title: str, seed: int) -> np.random.Generator:
    if seed < 0:
        raise BadInput(f"the seed {seed} is negative; expected 0 or more")
    of_title = int.from_bytes(hashlib.sha256(composed(title).encode()).digest()[:8], "big")
    return np.random.default_rng([seed, of_title])


def _vectors(directions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    azimuth, elevation = np.radians(directions).T
    level = np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)], axis=1)


def read_placements(
    path: Path, split: str, titles: Sequence[str], stems: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> dict[str, Placement]:
    """Read where the stems of `titles` are from a JSON table ``{split: {title: {stem: place}}}``.

    A place is an azimuth in degrees, ``{"azimuth": …, "elevation": …}``, or ``{"trajectory": [[seconds, azimuth,
    elevation], …]}``. Titles are compared in Unicode normal form C, because file systems differ in how they encode "é".
    `stems` are those of each title, by default those of MUSDB18-HQ. The table may have others as well.

    Returns
    -------
    dict of str to Placement
        For each title. Azimuths are from 0 to less than 360; that of a moving stem is the first of its trajectory.

    Raises
    ------
    NotFound, BadInput
        The file does not exist, is not such a table, or has no place for a stem of one of the titles.
    """
    table = read_json(path)
    of_split = table.get(split) if isinstance(table, dict) else None
    if not isinstance(of_split, dict):
        raise BadInput(f"{path} has no {split!r} table; expected {{{split!r}: {{title: {{stem: azimuth}}}}}}")
    by_title: dict[str, object] = {}
    for title, places in of_split.items():
        try:
            check_name(title, "track")
        except BadInput as error:
            raise BadInput(f"{path}: {error.detail}") from None
        if by_title.setdefault(composed(title), places) != places:
            raise BadInput(
                f"{path} has two entries for the {split} track {title!r} that differ in their angles"
            )
    found = {}
    for title in titles:
        entry = by_title.get(composed(title))
        if not isinstance(entry, dict):
            raise BadInput(f"{path} has no angles for the {split} track {title!r}")
        found[title] = Placement({})
        for stem in stems.get(title, STEMS):
            _add_place(found[title], stem, entry.get(stem), f"{path} gives", f"of {stem} in {title!r}")
    return found


def _add_place(placement: Placement, stem: str, value: object, where: str, whose: str) -> None:
    if not isinstance(value, dict):
        placement.angles[stem] = _degrees(value, where, f"angle {whose}") % 360.0
        return
    shown = ", ".join(sorted(map(str, value)))[:80] or "nothing"
    if value.keys() == {"trajectory"}:
        points = value["trajectory"]
        if not (isinstance(points, list) and points and all(isinstance(point, list) for point in points)):
            raise BadInput(
                f"{where} a trajectory {whose} that is not a list of [seconds, azimuth, elevation]"
            )
        if any(len(point) not in (2, 3) for point in points):
            raise BadInput(
                f"{where} a trajectory {whose} with a point that is not [seconds, azimuth, elevation]"
            )
        numbers = [[_degrees(one, where, f"trajectory {whose}", 1e6) for one in point] for point in points]
        placement.scene.trajectories[stem] = numbers
        placement.angles[stem] = numbers[0][1] % 360.0
    elif {"azimuth"} <= value.keys() <= {"azimuth", "elevation"}:
        placement.angles[stem] = _degrees(value["azimuth"], where, f"angle {whose}") % 360.0
        if elevation := _degrees(value.get("elevation", 0.0), where, f"elevation {whose}", 90.0):
            placement.scene.elevations[stem] = elevation
    else:
        raise BadInput(
            f"{where} {shown} as the place {whose}; expected azimuth and elevation, or a trajectory"
        )


def _degrees(value: object, where: str, what: str, largest: float = _LARGEST_ANGLE) -> float:
    # Large values are refused: they are in another unit, and an integer of 400 digits does not fit a float.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= largest:
        return float(value)
    raise BadInput(f"{where} {value!r:.40} as {what}; expected degrees")
