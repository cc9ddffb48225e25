"""What travels between the orchestrator and the services: plain dataclasses, JSON in and JSON out.

Files travel by reference: ``/``-separated paths relative to the data root that all services share
(:class:`mssbench_service.files.DataRoot`). The same dataclasses are used when a step runs in-process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import BadInput

RENDER_PROFILES = ("matched", "paper")
"""How binaural tracks are rendered (see ``docs/protocol.md``)."""


@dataclass
class HrirRequest:
    """Describe an HRIR set: ``sphere``, or a reference to a SADIE II folder or a SOFA file.

    `sample_rate` in Hz chooses among the sets of a folder that has one for each of several rates. `curves`
    asks for the values at every azimuth, too.
    """

    hrir: str
    sample_rate: int = 44100
    curves: bool = False


@dataclass
class HrirInfo:
    """An HRIR set's measurements on the horizontal plane; it passed the orientation check.

    `azimuths` in degrees counter-clockwise (90 = left ear), `itd_90_us` > 0 where the left ear leads at 90°,
    `ild_90_db` > 0 where it is louder; a set without 90° is measured at `side`, the azimuth nearest to it. Where
    `curves` were asked for, there are as many values as azimuths: `itd_us`, and the levels `left_db` and `right_db`
    of the ears, of which the loudest is 0 dB.
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


@dataclass
class RenderRequest:
    """Render one MUSDB18-HQ track folder binaurally into the folder `out`."""

    track: str
    out: str
    hrir: str
    angles: dict[str, float]
    profile: str = "matched"
    resample_hrir: bool = False


@dataclass
class RenderResult:
    """What ``metadata.json`` beside the rendered files says.

    `mixture_gain` brings the written stems to their level in the written mixture: 1/peak for the paper
    profile, 1 for matched. `peak` is that of the stems' sum before any gain.
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


@dataclass
class SeparateRequest:
    """Separate the file `mixture` into ``<out>/<stem>.wav`` with the separator called `separator`.

    `references` is the folder of true stems, for the separators that are defined by them; `reference_gain`
    brings those stems to the mixture's level (the gain that a paper-profile rendering stores; else 1).
    """

    mixture: str
    out: str
    separator: str = ""
    references: str = ""
    reference_gain: float = 1.0


@dataclass
class SeparateResult:
    """What ``separation.json`` beside the estimates says. `notes` tell every change made to the audio.

    `details` is what the separator says of itself once it is set up: weights and their hashes, versions of
    libraries, settings.
    """

    separator: str
    stems: list[str]
    sample_rate: int
    samples: int
    device: str
    seconds: float
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class EvaluateRequest:
    """Score the stems in the folder `estimate` against those in the folder `reference`.

    `metrics` is the set of metrics (``corrected``, ``paper`` or ``all``). `mixture_gain` is the gain that the
    rendering stores: the corrected metrics compare with gain × reference. `binaural` says whether the channels are
    two ears; the azimuths need the ``hrir.npz`` that a rendering has beside its stems as well. `bsseval` switches
    SDR, ISR, SIR and SAR, which cost most. `aggregate` (``median`` or ``mean``) is how the value of a stem is
    computed from the values of its frames, and `frames`, if given, is the Parquet file to keep those in. `profile`
    is the name that `metrics` had in version 0.1; a request may use either.
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

    def __post_init__(self) -> None:
        if self.profile and self.metrics == "all":
            self.metrics = self.profile
        if self.profile and self.profile != self.metrics:
            raise ValueError(f"metrics {self.metrics!r} and profile {self.profile!r}; expected one of them")
        self.profile = self.metrics  # for services of version 0.1


@dataclass
class EvaluateResult:
    """One row per stem; the keys are the columns of ``binaural_metrics.registry``."""

    rows: list[dict[str, Any]]
    seconds: float


@dataclass
class Expectation:
    """A score that is known beforehand: `column` lies in [`low`, `high`] on every stem with a value.

    None leaves that side open. `condition` restricts it to one condition ("stereo", "binaural"). Scores of
    the paper profile are only expected where the references are at the mixture's level (mixture gain 1), and
    of stems that sound in more than half of their frames (``2 * valid_frames > total_frames``): its medians
    count silent frames as 0 dB.
    """

    column: str
    low: float | None
    high: float | None
    condition: str = ""
    why: str = ""


@dataclass
class SeparatorInfo:
    """One separator that a service offers. One with `expected` scores is a probe: it tests the bench.

    `device` and `details` are what it says of itself once it is set up: weights and their hashes, versions
    of libraries, settings.
    """

    name: str
    description: str
    needs_references: bool = False
    expected: list[Expectation] = field(default_factory=list)
    device: str = ""
    details: dict[str, Any] = field(default_factory=dict)


T = TypeVar("T")


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
    """What builds a wire type from parsed JSON; making it costs more than to use it once."""
    try:
        from pydantic import TypeAdapter
    except ImportError:  # pydantic 1, on Spleeter's stack
        from pydantic import parse_obj_as  # type: ignore[assignment,unused-ignore]

        return functools.partial(parse_obj_as, kind)
    return TypeAdapter(kind).validate_python


def validation_detail(errors: Any) -> str:
    """One line for a person out of pydantic's list of errors."""
    lines = []
    for error in errors:
        where = ".".join(str(part) for part in error["loc"] if part not in ("body", "__root__"))
        lines.append(f"{where or 'request'}: {error['msg']}")
    return "; ".join(lines)
