"""Configuration of a run."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from binaural_metrics.sets import METRIC_SETS
from mssbench_service.errors import BadInput
from mssbench_service.files import DataRoot
from mssbench_service.names import path_suggestion, suggestion
from mssbench_service.stems import SPLITS, canonical
from mssbench_service.wire import RENDER_PROFILES
from pydantic import ConfigDict

from ..datasets.selection import Excerpt
from .conditions import (
    CONDITIONS,
    AnyCondition,
    Condition,
    keys_of,
    name_of,
    placement_of,
    plain,
    validate_conditions,
    with_paths,
)

AGGREGATES = ("median", "mean")

KEEP_ESTIMATES = ("all", "scored", "worst", "none")

_ADDED = ("targets", "titles", "excerpt")
"""Settings that are part of a run's name only where they are set."""

_MOST_SEPARATORS, _LONGEST_NAME = 1000, 200
"""Limits of a request, far above those of a real run."""


@dataclass
class RunConfig:
    """Configuration of a run. The same configuration over the same files is the same run.

    Attributes
    ----------
    dataset : str
        Reference to a folder in the MUSDB18-HQ layout.
    split : str
        ``test`` or ``train``.
    hrir : str
        ``sphere``, or a reference to a SADIE II folder or a SOFA file.
    angles : str
        Reference to an angle table. Empty: angles are drawn with `seed`.
    seed : int
    profile : str
        How the binaural condition is rendered: ``matched`` or ``paper``.
    resample_hrir : bool
        Resample the HRIR set where its rate differs from a track's (otherwise that is an error).
    separators : list of str
        Names of separators, or of services (all their separators). Empty: all registered services.
    conditions : list of str or Condition
        ``stereo``, ``binaural``, or conditions with settings of their own. The first one is what the others are
        compared with.
    titles : list of str
        Titles of tracks, or patterns such as ``Music Delta*``. Empty: all.
    tracks : int or None
        Number of tracks, the first by title. None: all.
    excerpt : str
        Part of each track, in seconds: ``START:LENGTH``, or ``LENGTH`` for the loudest part of the mixture. Empty:
        whole tracks.
    keep_estimates : str
        What is kept of estimates that were scored. ``all``: the separators' files. ``scored``: 24-bit FLAC files.
        ``worst``: those of the cells in the report's listening section. ``none``: nothing. Not part of the run's name.
    metrics : str
        ``corrected``, ``paper`` or ``all``.
    bsseval : bool
        Whether to compute SDR, ISR, SIR and SAR too, which take most of the time.
    aggregate : str
        How frame values are aggregated to one value for a track: ``median`` or ``mean``.
    targets : list of str
        What is scored: stems of the dataset, ``accompaniment``. Empty: :func:`mssbench.runs.targets.choose_targets`.
    """

    __pydantic_config__ = ConfigDict(json_schema_extra={"additionalProperties": False})

    dataset: str
    split: str = "test"
    hrir: str = "sphere"
    angles: str = ""
    seed: int = 0
    profile: str = "matched"
    resample_hrir: bool = False
    separators: list[str] = field(default_factory=list)
    conditions: list[AnyCondition] = field(default_factory=lambda: list(CONDITIONS))
    tracks: int | None = None
    metrics: str = "all"
    bsseval: bool = True
    aggregate: str = "median"
    targets: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    excerpt: str = ""
    keep_estimates: str = "scored"

    def __post_init__(self) -> None:
        # The same settings are the same run, however they are written.
        self.targets = list(map(canonical, self.targets))
        self.conditions = [plain(one) for one in self.conditions]

    @property
    def condition_names(self) -> list[str]:
        return [name_of(one) for one in self.conditions]

    @property
    def replicates(self) -> dict[str, list[str]]:
        """The conditions of cells by condition: several where a condition has several seeds."""
        by_name = {name_of(one): one for one in self.conditions}
        found = {}
        for name, one in by_name.items():
            placed = placement_of(one, by_name)
            found[name] = keys_of(name, placed.seeds if isinstance(placed, Condition) else [])
        return found

    def rendered(self, name: str) -> Condition:
        """The condition `name`, which is not ``stereo``, with the settings of the run where it has none."""
        one = next(one for one in self.conditions if name_of(one) == name)
        found = Condition(one) if isinstance(one, str) else one
        own_table = found.placement == "table" or (
            found.placement == "azimuths" and not found.seeds and not found.same_placement_as
        )
        return replace(
            found,
            hrir=found.hrir or self.hrir,
            angles=found.angles or (self.angles if own_table else ""),
            seeds=found.seeds or [self.seed],
            profile=found.profile or self.profile,
        )

    def validate(self) -> None:
        """Raise :class:`BadInput` if a value is not allowed."""
        given = [one for one in self.conditions if isinstance(one, Condition)]
        for reference in (self.dataset, self.hrir, self.angles):
            require_path(reference)
        for one in given:
            require_path(one.hrir)
            require_path(one.angles)
        _one_of("split", self.split, SPLITS)
        _one_of("profile", self.profile, RENDER_PROFILES)
        _one_of("metrics", self.metrics, METRIC_SETS)
        _one_of("aggregate", self.aggregate, AGGREGATES)
        _one_of("keep_estimates", self.keep_estimates, KEEP_ESTIMATES)
        validate_conditions(self.conditions)
        for one in given:
            if one.placement == "table" and not (one.angles or self.angles):
                raise BadInput(f"the condition {one.name!r} has the placement 'table' and no table (angles)")
        if len(self.separators) > _MOST_SEPARATORS:
            raise BadInput(
                f"{len(self.separators)} separators are given; expected at most {_MOST_SEPARATORS}"
            )
        lists = {"separator": self.separators, "target": self.targets, "title": self.titles}
        for name, values in lists.items():
            if longest := next((value for value in values if len(value) > _LONGEST_NAME), ""):
                raise BadInput(f"the {name} {longest!r} has a name of more than {_LONGEST_NAME} characters")
            twice = [value for value, times in Counter(values).items() if times > 1]
            if twice:
                raise BadInput(f"the {name} {twice[0]!r} is given twice")
        if self.tracks is not None and self.tracks < 1:
            raise BadInput(f"tracks is {self.tracks}; expected 1 or more")
        if self.excerpt:
            Excerpt.parse(self.excerpt)
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}; expected 0 or more")

    def settings(self) -> dict[str, Any]:
        """All settings in the form of JSON."""
        conditions = [one if isinstance(one, str) else one.settings() for one in self.conditions]
        return asdict(self) | {"conditions": conditions}

    def run_id(self, fingerprint: str) -> str:
        """Name of the run over files with this `fingerprint`: the dataset's name and a hash.

        The same configuration over the same files gives the same name. An interrupted run is therefore resumed by
        starting it again.
        """
        # Runs keep the names that they had before there were these settings.
        settings = {name: value for name, value in self.settings().items() if name not in _ADDED or value}
        del settings["keep_estimates"]  # changes no result
        everything = json.dumps([settings, fingerprint], sort_keys=True)
        digest = hashlib.sha256(everything.encode()).hexdigest()[:10]
        name = re.sub(r"[^A-Za-z0-9]+", "-", PurePosixPath(self.dataset).name).strip("-").lower()[:24]
        return f"{name or 'run'}-{digest}"


def read_config(path: Path) -> dict[str, Any]:
    """Read settings of :class:`RunConfig` from a TOML file. Any of them may be left out.

    Paths in it are relative to the folder of the file. URLs are returned unchanged.

    Raises
    ------
    BadInput
        The file cannot be read, is not TOML, or has an unknown setting.
    """
    try:
        # Opening a named pipe would block until another process writes to it.
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is not a file")
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist{path_suggestion(path)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            f"{path} cannot be read as TOML: {getattr(error, 'strerror', None) or error}"
        ) from None
    require_known(settings, f"{path}: ")

    def beside(value: Any) -> Any:
        if isinstance(value, str) and value not in ("", "sphere") and "://" not in value:
            return str(path.parent / value)
        return value

    return _with_paths(settings, beside)


def _with_paths(settings: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Apply `change` to each value of `settings` that is a path."""
    found = dict(settings)
    for name in ("dataset", "hrir", "angles"):
        if name in found:
            found[name] = change(found[name])
    if isinstance(conditions := found.get("conditions"), Sequence) and not isinstance(conditions, str):
        found["conditions"] = [with_paths(one, change) for one in conditions]
    return found


def require_known(settings: Mapping[str, Any], where: str = "") -> None:
    """Raise :class:`BadInput` if a name is not a setting of :class:`RunConfig`; `where` begins the message."""
    _require_known(settings, RunConfig, where)
    conditions = settings.get("conditions")
    for one in conditions if isinstance(conditions, Sequence) else ():
        if isinstance(one, Mapping):
            _require_known(one, Condition, f"{where}the condition {str(one.get('name', ''))[:100]!r}: ")


def _require_known(settings: Iterable[str], kind: type[RunConfig | Condition], where: str) -> None:
    known = [setting.name for setting in fields(kind)]
    for name in settings:
        if name not in known:
            near = suggestion(str(name), known) or f"; known: {', '.join(known)}"
            raise BadInput(f"{where}unknown setting {str(name)[:100]!r}{near}")


def with_references(settings: Mapping[str, Any], root: DataRoot) -> dict[str, Any]:
    """Return `settings` with its paths, relative to the working directory, as references under the data root.

    Raises
    ------
    BadInput
        One of them is a URL, or lies where the services cannot read it.
    """

    def reference(value: Any) -> Any:
        if isinstance(value, Path):
            value = str(value)
        if isinstance(value, str) and value not in ("", "sphere"):
            require_path(value)
            return root.reference(Path(value))
        return value

    return _with_paths(settings, reference)


def require_path(value: str) -> None:
    """Raise :class:`BadInput` if `value` is a URL."""
    if "://" in value:
        raise BadInput(f"{value} is a URL; copy it with mssbench pull, then give the path of the copy")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(
            f"unknown {name} {value!r}; expected one of {', '.join(allowed)}{suggestion(value, allowed)}"
        )
