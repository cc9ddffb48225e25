"""The conditions of a run: the dataset's own stereo mixture, and binaural renderings of it.

``stereo`` and ``binaural`` are names; the run's settings say how the second is rendered. Any other condition is a
:class:`Condition`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import PurePath
from typing import Annotated, Any

from mssbench_service.errors import BadInput
from mssbench_service.names import suggestion
from mssbench_service.wire import RENDER_PROFILES, Room
from pydantic import BeforeValidator, ConfigDict, Discriminator, Tag

STEREO, BINAURAL = "stereo", "binaural"
CONDITIONS = (STEREO, BINAURAL)
"""Names that are conditions by themselves."""

PLACEMENTS = ("azimuths", "sphere", "moving", "table")

SEED_MARK = "@"
"""Between the name of a condition and the seed of one of its replicates."""

_LONGEST = 100
_MOST_SEEDS = 100
_LARGEST_SPEED = 3600.0  # degrees per second


def _known_room(room: object) -> object:
    known = [setting.name for setting in fields(Room)]
    for name in room if isinstance(room, Mapping) else ():
        if name not in known:
            raise ValueError(f"unknown setting {name!r:.100}; known: {', '.join(known)}")
    return room


@dataclass
class Condition:
    """A binaural condition. Settings that are left out are those of the run.

    Attributes
    ----------
    name : str
        Name in tables and paths: letters, digits, ``-``, ``_`` and ``.``.
    hrir : str
        The listener, or a measured room: as :attr:`RunConfig.hrir`.
    placement : str
        ``azimuths`` on the horizontal plane, ``sphere`` (azimuth and elevation), ``moving``, or ``table``.
    angles : str
        Reference to a table of directions or trajectories, for ``azimuths`` and ``table``.
    elevations : list of float
        The lowest and the highest elevation of the placement ``sphere``, degrees. Empty: all that the set has.
    speed_deg_s : list of float
        The lowest and the highest speed of the placement ``moving``, degrees per second. Empty: 10 to 60.
    seeds : list of int
        Seeds of the placement. With several, the condition has as many replicates.
    room : Room or None
        A simulated room around the listener.
    interpolate : bool
        Use responses between the directions of the set, instead of the nearest one.
    profile : str
        ``matched`` or ``paper``.
    same_placement_as : str
        Name of the condition whose placement this one has.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    hrir: str = ""
    placement: str = "azimuths"
    angles: str = ""
    elevations: list[float] = field(default_factory=list)
    speed_deg_s: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    room: Annotated[Room | None, BeforeValidator(_known_room)] = None
    interpolate: bool = False
    profile: str = ""
    same_placement_as: str = ""

    def settings(self) -> dict[str, Any]:
        """The settings that are not left out, and the name."""
        default = asdict(Condition(self.name))
        return {
            name: value for name, value in asdict(self).items() if name == "name" or value != default[name]
        }

    def validate(self) -> None:
        """Raise :class:`BadInput` if a value is not allowed."""
        where = f"the condition {self.name!r}"
        if len(self.name) > _LONGEST or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name, re.ASCII):
            raise BadInput(
                f"a condition is called {self.name[: _LONGEST + 1]!r}; expected up to {_LONGEST} letters, digits, "
                "'-', '_' and '.', a letter or digit first"
            )
        given = self.settings().keys() - {"name"}
        if self.name == STEREO and given:
            raise BadInput(f"{where} is the dataset's own mixture; it has no {sorted(given)[0]}")
        if self.placement not in PLACEMENTS:
            raise BadInput(
                f"{where} has the placement {self.placement!r}; expected one of {', '.join(PLACEMENTS)}"
            )
        if self.profile and self.profile not in RENDER_PROFILES:
            raise BadInput(
                f"{where} has the profile {self.profile!r}; expected one of {', '.join(RENDER_PROFILES)}"
            )
        own = given & {"placement", "angles", "elevations", "speed_deg_s", "seeds"}
        if self.same_placement_as and own:
            raise BadInput(f"{where} has same_placement_as and {sorted(own)[0]}; expected one of them")
        for name, placements in (
            ("angles", ("azimuths", "table")),
            ("elevations", ("sphere",)),
            ("speed_deg_s", ("moving",)),
        ):
            if name in given and self.placement not in placements:
                raise BadInput(f"{where} has {name}, which is for the placement {' or '.join(placements)}")
        if self.seeds and (self.angles or self.placement == "table"):
            raise BadInput(f"{where} has seeds, but its placement is that of a table")
        if self.placement == "moving" and self.room:
            raise BadInput(f"{where} has moving sources in a room, which is not supported")
        self._validate_numbers(where)

    def _validate_numbers(self, where: str) -> None:
        if self.elevations and not (
            len(self.elevations) == 2 and -90 <= self.elevations[0] <= self.elevations[1] <= 90
        ):
            raise BadInput(
                f"{where} has elevations {self.elevations}; expected the lowest and the highest, from -90 to 90"
            )
        speeds = self.speed_deg_s
        if speeds and not (len(speeds) == 2 and 0 < speeds[0] <= speeds[1] <= _LARGEST_SPEED):
            raise BadInput(
                f"{where} has speed_deg_s {speeds}; expected the lowest and the highest, above 0 and at most "
                f"{_LARGEST_SPEED:g}"
            )
        if (
            len(set(self.seeds)) < len(self.seeds)
            or len(self.seeds) > _MOST_SEEDS
            or min(self.seeds, default=0) < 0
        ):
            raise BadInput(
                f"{where} has seeds {str(self.seeds)[:60]}; expected up to {_MOST_SEEDS} different ones, 0 or more"
            )


def _kind(value: object) -> str:
    return "name" if isinstance(value, str) else "condition"


AnyCondition = Annotated[
    Annotated[str, Tag("name")] | Annotated[Condition, Tag("condition")], Discriminator(_kind)
]
"""As a run's configuration has it: a name of :data:`CONDITIONS`, or a :class:`Condition`."""


def name_of(condition: str | Condition) -> str:
    return condition if isinstance(condition, str) else condition.name


def plain(condition: str | Condition) -> str | Condition:
    """Return the name alone if the condition has no other setting and the name is one of :data:`CONDITIONS`."""
    if isinstance(condition, Condition) and condition.name in CONDITIONS and len(condition.settings()) == 1:
        return condition.name
    return condition


def validate_conditions(conditions: Sequence[str | Condition]) -> None:
    """Raise :class:`BadInput` if one is not valid, is given twice, or has the placement of one that has none."""
    if not conditions:
        raise BadInput(f"no condition given; expected some of {', '.join(CONDITIONS)}")
    for one in conditions:
        if isinstance(one, Condition):
            one.validate()
        elif one not in CONDITIONS:
            raise BadInput(
                f"unknown condition {one[:_LONGEST]!r}; expected one of {', '.join(CONDITIONS)}, or a condition with "
                f"settings of its own{suggestion(one, CONDITIONS)}"
            )
    seen: set[str] = set()
    for name in map(name_of, conditions):
        if name.casefold() in seen:  # folders of both would be one on some file systems
            raise BadInput(f"the condition {name!r} is given twice")
        seen.add(name.casefold())
    by_name = {name_of(one): one for one in conditions}
    for one in conditions:
        placement_of(one, by_name)


def placement_of(condition: str | Condition, by_name: Mapping[str, str | Condition]) -> str | Condition:
    """The condition whose placement `condition` has: itself, unless it has ``same_placement_as``.

    Raises
    ------
    BadInput
        ``same_placement_as`` names an unknown condition, one without a placement, or the condition itself, also by way
        of others.
    """
    found, passed = condition, [name_of(condition)]
    while isinstance(found, Condition) and found.same_placement_as:
        other = found.same_placement_as
        where = f"the condition {found.name!r} has same_placement_as = {other!r}"
        if other not in by_name:
            raise BadInput(f"{where}, which is unknown; expected one of {', '.join(by_name)}")
        if other == STEREO:
            raise BadInput(f"{where}, which has no placement")
        if other in passed:
            raise BadInput(f"{where}, which leads back to itself")
        passed.append(other)
        found = by_name[other]
    return found


def keys_of(name: str, seeds: Sequence[int]) -> list[str]:
    """Names of the cells' condition: that of the condition or, with several seeds, one for each replicate.

    Examples
    --------
    >>> keys_of("room", [0]), keys_of("room", [0, 1])
    (['room'], ['room@0', 'room@1'])
    """
    return [f"{name}{SEED_MARK}{seed}" for seed in seeds] if len(seeds) > 1 else [name]


def condition_of(key: str) -> str:
    """Name of the condition of a cell, without the seed of the replicate.

    Examples
    --------
    >>> condition_of("room@1")
    'room'
    """
    return key.partition(SEED_MARK)[0]


def with_paths(condition: Any, change: Any) -> Any:
    """Apply `change` to the paths of a condition that was given as a name, a mapping or a :class:`Condition`."""
    if isinstance(condition, Condition):
        return replace(condition, hrir=change(condition.hrir), angles=change(condition.angles))
    if not isinstance(condition, Mapping):
        return condition
    return {name: change(value) if name in ("hrir", "angles") else value for name, value in condition.items()}


def listeners(hrirs: Sequence[str]) -> list[dict[str, Any]]:
    """Conditions of all but the first of several HRIR sets, with the placement of ``binaural``.

    Examples
    --------
    >>> listeners(["sadie/D1", "sadie/D2"])
    [{'name': 'binaural-D2', 'hrir': 'sadie/D2', 'same_placement_as': 'binaural'}]
    """
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(one).stem) for one in hrirs]
    return [
        {"name": f"{BINAURAL}-{name}", "hrir": one, "same_placement_as": BINAURAL}
        for name, one in list(zip(names, hrirs, strict=True))[1:]
    ]
