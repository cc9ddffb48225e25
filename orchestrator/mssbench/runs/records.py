"""The content of ``run.json``: configuration, tracks, separators and versions."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from mssbench_service.errors import BadInput, NotFound
from mssbench_service.names import check_name
from mssbench_service.stems import STEMS, check_stem_names
from mssbench_service.wire import HrirInfo, Placed, Scene, SeparatorInfo

from .conditions import STEREO, condition_of, validate_conditions
from .config import RunConfig
from .formats import RUN
from .targets import offered

RENDERED = "data/rendered"
"""Reference of the folder of all rendered tracks."""


@dataclass(frozen=True)
class Cell:
    """One separator on one track under one condition.

    Several replicates of a condition are several cells, whose `condition` ends with ``@`` and the seed.
    """

    condition: str
    separator: str
    title: str

    @property
    def rendered(self) -> bool:
        """Whether its audio is a rendering, and not the dataset's own."""
        return self.condition != STEREO


@dataclass
class PlacementRecord:
    """Where the stems of a track are: azimuths by stem and, in a scene, the directions of the HRIR set that it uses."""

    angles: dict[str, float]
    scene: Scene | None = None
    placed: Placed | None = None


@dataclass
class TrackRecord:
    """A track of a run. `folders` holds, per condition of a cell, the reference of the folder with its audio.

    `angles` are those of the condition ``binaural``, unless `placements` has it. `placements` are those of conditions
    with settings of their own, by the condition of a cell.
    `files` is a fingerprint of its source files, from their sizes and times. `stems` are its own, if they are not those
    of the run. In a run on excerpts, `cut` is the reference of the folder with the excerpt, and `start` is its first
    sample in the source files.
    """

    title: str
    samples: int
    sample_rate: int
    source: str
    folders: dict[str, str]
    angles: dict[str, float] = field(default_factory=dict)
    files: str = ""
    stems: list[str] = field(default_factory=list)
    start: int | None = None
    cut: str = ""
    placements: dict[str, PlacementRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.title, "track")

    def placement(self, condition: str) -> PlacementRecord | None:
        """Where the stems are in a cell of `condition`; None in stereo."""
        if condition == STEREO:
            return None
        return self.placements.get(condition) or PlacementRecord(self.angles)

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def audio(self) -> str:
        """Reference of the folder with the samples that are rendered."""
        return self.cut or self.source


@dataclass
class SeparatorRecord(SeparatorInfo):
    """A separator of a run. An unavailable one (`status`) has no cells, and `reason` says why."""

    service: str = ""
    status: str = "available"
    reason: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.service:
            check_name(self.service, "service")


@dataclass
class RunRecord:
    """The content of ``run.json``. `commit` and `images` identify the code.

    `accepted` lists the changes of weights, versions and settings with which the run was continued. It is None in runs
    of earlier versions, which did not compare them.
    `hrir` is the set of the condition ``binaural``; `hrirs` are those of conditions with settings of their own, by
    name, without their lists of directions.
    `stems` are those of the dataset; a track may have others. `targets` are scored (:mod:`.targets`); empty: the stems.
    """

    id: str
    created: str
    command: str
    config: RunConfig
    tracks: list[TrackRecord]
    separators: list[SeparatorRecord]
    hrir: HrirInfo | None
    versions: dict[str, str]
    machine: dict[str, str]
    version: int = RUN.version
    commit: str = ""
    images: dict[str, str] = field(default_factory=dict)
    accepted: list[str] | None = None
    stems: list[str] = field(default_factory=lambda: list(STEMS))
    targets: list[str] = field(default_factory=list)
    hrirs: dict[str, HrirInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        validate_conditions(self.config.conditions)
        for owner, stems in (
            (f"run {self.id}", self.stems),
            (f"run {self.id}", self.targets),
            *((track.title, track.stems) for track in self.tracks),
            *((separator.name, separator.stems) for separator in self.available),
        ):
            check_stem_names(stems, owner)
        for kind, names in (
            ("track", [track.title for track in self.tracks]),
            ("separator", [separator.name for separator in self.separators]),
        ):
            if len(set(names)) < len(names):
                raise BadInput(f"a {kind} is listed twice")

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions."""
        return self.config.condition_names

    @functools.cached_property
    def cell_conditions(self) -> list[str]:
        """Conditions of the cells: one for each replicate."""
        return [key for keys in self.config.replicates.values() for key in keys]

    @property
    def rendered_conditions(self) -> list[str]:
        """Those of the cells whose audio is rendered."""
        return [key for key in self.cell_conditions if key != STEREO]

    def hrir_of(self, condition: str) -> HrirInfo | None:
        """The HRIR set of a cell's condition; None in stereo."""
        if condition == STEREO:
            return None
        return self.hrirs.get(condition_of(condition), self.hrir)

    @property
    def available(self) -> list[SeparatorRecord]:
        """The separators that have cells."""
        return [separator for separator in self.separators if separator.status == "available"]

    @property
    def sources(self) -> list[str]:
        """What is scored: values of the column ``source``."""
        return self.targets or self.stems

    def stems_of(self, title: str) -> list[str]:
        """The stems of a track."""
        return self.track(title).stems or self.stems

    def offered(self, separator: str, title: str) -> list[str]:
        """The targets that a separator offers, of those that a track has the stems of."""
        own = self.stems_of(title)
        key = (separator, tuple(self.sources), tuple(own))
        if key not in self._offered:
            self._offered[key] = offered(self.sources, self.separator(separator), self.stems, own)
        return self._offered[key]

    @functools.cached_property
    def _offered(self) -> dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]]:
        return {}

    def cells(self) -> list[Cell]:
        """All cells, track by track, so that a partial run has complete tracks."""
        return [cell for track in self.tracks for cell in self.cells_of(track.title)]

    def cells_of(self, title: str) -> list[Cell]:
        """The cells of one track."""
        return [
            Cell(condition, separator.name, title)
            for condition in self.cell_conditions
            for separator in self.available
            if self.offered(separator.name, title)
        ]

    def track(self, title: str) -> TrackRecord:
        try:
            return self._tracks[title]
        except KeyError:
            raise NotFound(f"run {self.id} has no track {title!r}") from None

    @functools.cached_property
    def _tracks(self) -> dict[str, TrackRecord]:
        return {track.title: track for track in self.tracks}

    def separator(self, name: str) -> SeparatorRecord:
        for separator in self.separators:
            if separator.name == name:
                return separator
        raise NotFound(f"run {self.id} has no separator {name!r}")
