"""Requests and results of the services: dataclasses that are sent as JSON.

Files are passed by reference: ``/``-separated paths relative to the data root that all services share
(:class:`mssbench_service.files.DataRoot`). The same dataclasses are used when a step runs in-process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar

from .errors import BadInput
from .names import check_name
from .stems import STEMS

RENDER_PROFILES = ("matched", "paper")
"""How binaural tracks are rendered (see ``docs/protocol.md``)."""


@dataclass
class HrirRequest:
    """Describe an HRIR set: ``sphere``, or a reference to a SADIE II folder or a SOFA file.

    `sample_rate` in Hz selects the set if a folder has sets of several sample rates. With `curves`, the result has
    the values at every azimuth. With `sphere`, it is about all directions, otherwise about the horizontal plane.
    """

    hrir: str
    sample_rate: int = 44100
    curves: bool = False
    sphere: bool = False


@dataclass
class HrirInfo:
    """Description of an HRIR set; the set passed the orientation check.

    `azimuths` are in degrees counter-clockwise (90 = left ear). `itd_90_us` is positive if the left ear leads at 90°,
    `ild_90_db` is positive if it is louder. `side` is the azimuth of these two values: the one nearest to 90°. If
    the request has `curves`, the lists `itd_us`, `left_db` and `right_db` have one value per azimuth. The levels are
    relative to the largest. `elevations` has one value per azimuth in degrees; it is empty on the horizontal plane.
    `distances` are the smallest and the largest distance of the sources in m, if known. `room` is true for room
    responses; their interaural differences are those of the direct sound. `notes` say what was converted or left out.
    """

    name: str
    sha256: str
    sample_rate: int
    taps: int
    azimuths: list[float]
    itd_90_us: float
    ild_90_db: float
    itd_us: list[float] = field(default_factory=list)
    left_db: list[float] = field(default_factory=list)
    right_db: list[float] = field(default_factory=list)
    side: float = 90.0
    elevations: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    convention: str = ""
    room: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Room:
    """A rectangular room: `size` and the listener's `position` in m, the `distance` of the sources from the listener.

    The listener looks along the first axis. `rt60` is the reverberation time in seconds.
    """

    size: list[float]
    rt60: float
    position: list[float]
    distance: float = 1.5


@dataclass
class Scene:
    """What a rendering has beyond azimuths on the horizontal plane.

    `elevations` are in degrees, by stem (default 0). `trajectories` of moving stems are lists of (seconds, azimuth,
    elevation), by stem; they replace the stem's angle. Stems at rest use the nearest response of the set or, with
    `interpolate`, one between its directions. `room` simulates a room around the set. With `direct`, the direct sound
    of each stem is written to ``<stem>.direct.wav``, if it is in a room.
    """

    elevations: dict[str, float] = field(default_factory=dict)
    trajectories: dict[str, list[list[float]]] = field(default_factory=dict)
    interpolate: bool = False
    room: Room | None = None
    direct: bool = False


@dataclass
class Placed:
    """How a scene was rendered.

    `directions` are the azimuth and elevation of the response of each stem at rest, and `apart_deg` its distance from
    the requested direction. `notes` say where they are more than 5° apart, and what the set lacks.
    """

    directions: dict[str, list[float]]
    apart_deg: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Placement:
    """Where the stems of a track are: azimuths in degrees, by stem, and what a scene adds to them."""

    angles: dict[str, float]
    scene: Scene = field(default_factory=Scene)


@dataclass
class PlaceRequest:
    """Check that an HRIR set has what `placements` ask for. Nothing is rendered."""

    hrir: str
    placements: list[Placement]
    sample_rate: int = 44100


@dataclass
class PlaceResult:
    """One entry per placement of the request."""

    placed: list[Placed]


@dataclass
class RenderRequest:
    """Render one MUSDB18-HQ track folder binaurally to the folder `out`; `angles` are in degrees, by stem."""

    track: str
    out: str
    hrir: str
    angles: dict[str, float]
    profile: str = "matched"
    resample_hrir: bool = False
    scene: Scene | None = None


@dataclass
class RenderResult:
    """Content of ``metadata.json`` in the folder of the rendered files.

    Multiplied by `mixture_gain`, the written stems have their level in the written mixture. It is 1/peak for the
    paper profile and 1 for matched. `peak` is the peak of the sum of the stems before any gain. `checksums` are those
    of the files in the folder (:mod:`mssbench_service.checksums`); earlier versions wrote none.
    """

    title: str
    profile: str
    angles: dict[str, float]
    mixture_gain: float
    peak: float
    sample_rate: int
    samples: int
    hrir: str
    hrir_sha256: str
    hrir_resampled_from: int | None
    clipped_samples: dict[str, int]
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass
class SceneResult(RenderResult):
    """The same for a request with a scene."""

    scene: Scene = field(default_factory=Scene)
    placed: Placed = field(default_factory=lambda: Placed({}, {}))


@dataclass
class SeparateRequest:
    """Separate the file `mixture` into ``<out>/<stem>.wav`` with the separator called `separator`.

    `references` is the folder of true stems, for separators that need them. `reference_gain` scales these stems to
    the level of the mixture: the mixture gain of a rendering with the paper profile, otherwise 1. `stems` are the true
    stems in that folder, and what a separator that takes any stem set estimates; empty: those of MUSDB18-HQ.
    """

    mixture: str
    out: str
    separator: str = ""
    references: str = ""
    reference_gain: float = 1.0
    stems: list[str] = field(default_factory=list)


@dataclass
class SeparateResult:
    """Content of ``separation.json`` in the folder of the estimates.

    `notes` list every change of the audio, such as resampling. `details` describe the separator after its setup:
    weights and their hashes, versions of libraries, settings. `checksums` are those of the files in the folder, and
    `mixture_checksum` is that of the mixture (:mod:`mssbench_service.checksums`). `service_version` is the version of
    the service's package. Version 0.2 wrote none of these three.
    """

    separator: str
    stems: list[str]
    sample_rate: int
    samples: int
    device: str
    seconds: float
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    mixture_checksum: str = ""
    service_version: str = ""


@dataclass
class Target:
    """What is scored: the sum of the stems `estimate` of a separator against the sum of the stems `reference`."""

    reference: list[str]
    estimate: list[str]


@dataclass
class EvaluateRequest:
    """Score the stems in the folder `estimate` against those in the folder `reference`.

    `metrics` is the set of metrics (``corrected``, ``paper`` or ``all``). `mixture_gain` is the gain in the metadata
    of a rendering; the corrected metrics compare with gain × reference. `binaural` is true if the channels are the
    signals of two ears. Azimuths are computed only for these, and only if the reference folder has ``hrir.npz``.
    `bsseval` enables SDR, ISR, SIR and SAR, the slowest metrics. `aggregate` (``median`` or ``mean``) is how the
    value of a stem is computed from the values of its frames. `frames`, if given, is the Parquet file to write the
    values of the frames to. `files`, if given, are the estimates by stem; the folder `estimate` is not searched then.
    `profile` is the name of `metrics` in version 0.1; a request may use either. `dry`, if given, is the folder of the
    stems that were rendered to those in `reference`: the mean of the two channels of each. Binaural tracks then have
    the metrics of the effective response.

    `targets` are scored, by the name of their row; empty: each stem of `reference` that MUSDB18-HQ has. `stems` are
    those of the reference, which are sources of interference for BSS Eval, whether they are targets or not.
    """

    reference: str
    estimate: str
    metrics: str = "all"
    mixture_gain: float = 1.0
    binaural: bool = False
    bsseval: bool = True
    aggregate: str = "median"
    frames: str = ""
    profile: str = ""
    files: dict[str, str] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    stems: list[str] = field(default_factory=lambda: list(STEMS))
    dry: str = ""

    def __post_init__(self) -> None:
        if self.profile and self.metrics == "all":
            self.metrics = self.profile
        if self.profile and self.profile != self.metrics:
            raise ValueError(f"metrics {self.metrics!r} and profile {self.profile!r}; expected one of them")
        self.profile = self.metrics  # for services of version 0.1


@dataclass
class EvaluateResult:
    """One row per stem; the keys are the columns of ``binaural_metrics.registry``.

    `version` is the version of the evaluator; an earlier version sends none.
    """

    rows: list[dict[str, Any]]
    seconds: float
    version: str = ""


@dataclass
class Expectation:
    """A known score: `column` is in [`low`, `high`] for every stem with a value.

    A limit of None leaves that side open. `condition` restricts the expectation to one condition ("stereo",
    "binaural"). Paper metrics are only checked if the references are at the level of the mixture (mixture gain 1),
    and for stems that have sound in more than half of their frames (``2 * valid_frames > total_frames``), because
    their medians count silent frames as 0 dB. If `off_centre_deg` is given, the score is known for stems at rest, in no
    room, at least so far from the median plane.
    """

    column: str
    low: float | None
    high: float | None
    condition: str = ""
    why: str = ""
    off_centre_deg: float = 0.0


@dataclass
class ModelCard:
    """What is known of a model. All fields are empty where nothing is known.

    `parameters` is their number. `training_tracks` are titles, or ``musdb18:train`` or ``musdb18:test`` for those of a
    split of MUSDB18. `contains_test_set` says whether the training data contain the test set of MUSDB18. `licence` is
    that of the weights.
    """

    architecture: str = ""
    parameters: int | None = None
    training_data: str = ""
    training_tracks: list[str] = field(default_factory=list)
    contains_test_set: Literal["yes", "no", "unknown"] = "unknown"
    licence: str = ""
    author: str = ""


@dataclass
class SeparatorInfo:
    """One separator of a service. A separator with `expected` scores is a known-answer test of the benchmark.

    `device` and `details` describe the separator after its setup: weights and their hashes, versions of libraries,
    settings. `stems` are what it estimates; empty if it takes any stem set. `reason` says why it cannot be used at
    present. Services of earlier versions send neither of these two, nor a `card`.
    """

    name: str
    description: str
    needs_references: bool = False
    expected: list[Expectation] = field(default_factory=list)
    device: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    stems: list[str] = field(default_factory=lambda: list(STEMS))
    reason: str = ""
    card: ModelCard = field(default_factory=ModelCard)

    def __post_init__(self) -> None:
        check_name(self.name, "separator")


T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Return a request in the form of JSON, without the fields that have their default value.

    A service refuses fields that it does not know. An earlier version of it therefore accepts every request that does
    not use what was added since.
    """
    if is_dataclass(value):
        given = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: to_json(part) for field, part in given if part != _default(field)}
    if isinstance(value, Mapping):
        return {name: to_json(part) for name, part in value.items()}
    return list(map(to_json, value)) if isinstance(value, list) else value


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def parse(kind: type[T], value: object) -> T:
    """Build a wire type from parsed JSON.

    Raises
    ------
    BadInput
        A field is missing or has the wrong type; the message names it.
    """
    from pydantic import ValidationError

    try:
        return validator(kind)(value)  # type: ignore[arg-type, no-any-return]
    except ValidationError as error:
        raise BadInput(validation_detail(error.errors())) from None


@functools.cache
def validator(kind: type) -> Callable[[object], Any]:
    """Return the function that builds a wire type from parsed JSON. It is cached, because it is slow to create."""
    try:
        from pydantic import TypeAdapter
    except ImportError:  # pydantic 1, on Spleeter's stack
        from pydantic import parse_obj_as  # type: ignore[assignment,unused-ignore]

        return functools.partial(parse_obj_as, kind)
    return TypeAdapter(kind).validate_python


def validation_detail(errors: Any) -> str:
    """One line with all errors of pydantic's list."""
    where = [[str(part) for part in error["loc"] if part not in ("body", "__root__")] for error in errors]
    return "; ".join(
        f"{'.'.join(parts) or 'request'}: {error['msg']}" for parts, error in zip(where, errors, strict=True)
    )
