"""``summary.json``: the numbers of a run in one small file, the input of the leaderboard.

The dataclasses define the schema; `write_schema` writes ``summary.schema.json`` from them, which is copied into
every report. `read` refuses other content with the name of the invalid field. When a field changes its meaning,
:data:`mssbench.runs.formats.SUMMARY` gets a migration.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from mssbench_service.errors import BadInput
from mssbench_service.files import write_json
from mssbench_service.names import check_name
from mssbench_service.stems import STEMS
from mssbench_service.wire import HrirInfo, ModelCard, Room, validation_detail
from pydantic import Field, TypeAdapter, ValidationError

from ..runs.fingerprint import digest
from ..runs.formats import SUMMARY
from ..runs.records import RunRecord
from .analysis import Analysis
from .comparable import audio_hashes, other_settings
from .data import RunData, separator_kind
from .scores import Difference
from .statistics import LEVEL, RESAMPLES, Estimate

SCHEMA_FILE = Path(__file__).with_name("summary.schema.json")

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
T = TypeVar("T")


@dataclass
class MetricSummary:
    """What a column of the scores is. `better` is "higher", "lower" or empty."""

    column: str
    label: str
    unit: str
    better: Literal["higher", "lower", ""]
    profile: str
    description: str


@dataclass
class SeparatorSummary:
    """One separator of the run. `weights` holds the SHA-256 of each file; `devices` is where it ran.

    `stems` are what it estimates; empty if it takes any. Summaries of earlier versions have no `card`.
    """

    name: str
    service: str
    description: str
    kind: Literal["model", "reference", "probe"]
    status: Literal["available", "unavailable"]
    reason: str = ""
    devices: list[str] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    card: ModelCard = field(default_factory=ModelCard)


@dataclass
class EstimateSummary:
    """A statistic with its 95 % interval; null where there is none. `n` values on `tracks` tracks."""

    value: Finite | None
    low: Finite | None
    high: Finite | None
    n: Count
    tracks: Count


@dataclass
class ScoreSummary:
    """Median over tracks. `source` is a stem, or "all". `expected` = n + undefined + failed + pending."""

    condition: str
    separator: str
    source: str
    column: str
    median: EstimateSummary
    expected: Count
    undefined: Count
    failed: Count
    pending: Count


@dataclass
class DifferenceSummary:
    """First minus second on common tracks: median difference, signed-rank test, Holm's p."""

    first: str
    second: str
    within: str
    column: str
    difference: EstimateSummary
    p: Finite | None
    p_holm: Finite | None
    rank_biserial: Finite | None
    zeros: Count


@dataclass
class ShareSummary:
    """Share of tracks with ΔITD above 50 µs, with Wilson's 95 % interval; "all" = any stem above."""

    condition: str
    separator: str
    source: str
    column: str
    share: EstimateSummary


@dataclass
class CheckSummary:
    """A probe's known score; `passed` is null where nothing could be checked."""

    probe: str
    condition: str
    column: str
    low: Finite | None
    high: Finite | None
    measured_low: Finite | None
    measured_high: Finite | None
    n: Count
    passed: bool | None


@dataclass
class GainSummary:
    """The mixture's gain in the paper's SSR: what it alone leaves, and its share of the distortion's energy."""

    condition: str
    separator: str
    ceiling_db: EstimateSummary
    share: EstimateSummary


@dataclass
class SpeedSummary:
    """Audio seconds separated per second."""

    separator: str
    device: str
    cells: Count
    audio_seconds: Finite
    factor: Finite | None


@dataclass
class StatisticsSummary:
    """How intervals were made."""

    level: Finite = LEVEL
    resamples: int = RESAMPLES
    seed: int = 0
    unit: str = "track"


@dataclass
class RenderingSummary:
    """How a condition with settings of its own was rendered. `placements` is a hash of where all stems were."""

    condition: str
    hrir: str
    hrir_sha256: str
    profile: str
    placement: str
    placements: str
    seeds: list[int]
    same_placement_as: str
    interpolate: bool
    room: Room | None


@dataclass
class RunSummary:
    """Where the numbers come from.

    `angles` and `files` are hashes; summaries of earlier versions have none. `audio` holds a hash of the mixtures of
    each condition: unlike `files`, it is the same for every copy of a dataset. `other` are further settings with
    another value than the default. `stems` are those of the dataset.
    """

    id: str
    created: str
    command: str
    dataset: str
    split: str
    profile: str
    metrics: str
    seed: int
    conditions: list[str]
    tracks: list[str]
    hrir: HrirInfo | None
    versions: dict[str, str]
    machine: dict[str, str]
    aggregate: str = "median"
    bsseval: bool = True
    angles: str = ""
    files: str = ""
    audio: dict[str, str] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    stems: list[str] = field(default_factory=lambda: list(STEMS))
    renderings: list[RenderingSummary] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """What copies of a run have in common."""
        return self.id, self.created


@dataclass
class Summary:
    """The whole file."""

    run: RunSummary
    statistics: StatisticsSummary
    answer: list[str]
    metrics: list[MetricSummary]
    separators: list[SeparatorSummary]
    scores: list[ScoreSummary]
    model_differences: list[DifferenceSummary] = field(default_factory=list)
    condition_differences: list[DifferenceSummary] = field(default_factory=list)
    shares: list[ShareSummary] = field(default_factory=list)
    checks: list[CheckSummary] = field(default_factory=list)
    gains: list[GainSummary] = field(default_factory=list)
    speeds: list[SpeedSummary] = field(default_factory=list)
    version: int = SUMMARY.version


def build(data: RunData, analysis: Analysis) -> Summary:
    """Return the summary of a run from its data and analysis."""
    return Summary(
        run=_run(data),
        statistics=StatisticsSummary(),
        answer=analysis.answer,
        metrics=[_copied(MetricSummary, metric, profile=metric.group) for metric in data.metrics],
        separators=[
            _copied(
                SeparatorSummary,
                one,
                kind=separator_kind(one),
                status="available" if one.status == "available" else "unavailable",
                devices=data.devices(one.name),
                weights=data.weights(one.name),
            )
            for one in data.record.separators
        ],
        scores=[
            _copied(ScoreSummary, score, score.counts, column=score.metric.column, median=score.estimate)
            for score in analysis.table.all
            if score.counts.expected  # otherwise the separator does not offer the target
        ],
        model_differences=[_difference(one) for one in analysis.separator_differences],
        condition_differences=[_difference(one) for one in analysis.condition_differences],
        shares=[
            _copied(ShareSummary, share, column=share.metric.column, share=share.estimate)
            for share in analysis.large_itd_errors
        ],
        checks=[_copied(CheckSummary, check, column=check.metric_column) for check in analysis.known_scores],
        gains=[_copied(GainSummary, gain, ceiling_db=gain.ceiling) for gain in analysis.gain_effects],
        speeds=[_copied(SpeedSummary, speed) for speed in analysis.speeds],
    )


def _difference(found: Difference) -> DifferenceSummary:
    test, column = found.paired.test, found.metric.column
    return _copied(DifferenceSummary, found, found.paired, test, column=column, rank_biserial=test.effect)


def _copied(kind: type[T], /, *sources: object, **given: Any) -> T:
    """Make an object of `kind` from the `given` fields, and the attributes of `sources` with the names of the others.

    Estimates become summaries, and NaN becomes None.
    """
    for name in (setting.name for setting in fields(kind)):  # type: ignore[arg-type]  # a dataclass
        if name not in given:
            given[name] = next(getattr(source, name) for source in sources if hasattr(source, name))
    return kind(**{name: _plain(value) for name, value in given.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return _copied(EstimateSummary, value)
    return None if isinstance(value, float) and math.isnan(value) else value


def write(summary: Summary, folder: Path) -> None:
    """Write ``summary.json`` and ``summary.schema.json``."""
    write_json(folder / "summary.json", asdict(summary))
    (folder / "summary.schema.json").write_text(SCHEMA_FILE.read_text(encoding="utf-8"), encoding="utf-8")


def write_schema() -> None:
    """Write `SCHEMA_FILE`; to call after a change of the dataclasses."""
    write_json(SCHEMA_FILE, json_schema())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    schema = TypeAdapter(Summary).json_schema()
    schema["properties"]["version"] = {"const": SUMMARY.version}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read(path: Path) -> Summary:
    """Read and validate a ``summary.json``, which may come from others.

    Raises
    ------
    NotFound, BadInput
        The file does not exist, is not JSON, has a newer version, or a field is missing or invalid; the message
        names it.
    """
    raw = SUMMARY.read(path)
    try:
        # Strict, like the JSON Schema: neither "5" nor NaN is a number. Python's JSON parser accepts NaN.
        summary = TypeAdapter(Summary).validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        raise BadInput(f"{path} is not a summary of a run: {_first(error)}") from None
    _check_names(summary, path)
    return summary


def _first(error: ValidationError) -> str:
    """Return the first two problems; another kind of file has dozens."""
    problems = error.errors()
    more = f"; and {len(problems) - 2} more problems" if len(problems) > 2 else ""
    return validation_detail(problems[:2]) + more


def _check_names(summary: Summary, path: Path) -> None:
    try:
        for what, found in (
            ("run", [summary.run.id]),
            ("track", summary.run.tracks),
            ("separator", [separator.name for separator in summary.separators]),
        ):
            for name in found:
                check_name(name, what)
    except BadInput as error:
        raise BadInput(f"{path}: {error.detail}") from None
    columns = {metric.column for metric in summary.metrics}
    names = {separator.name for separator in summary.separators}
    for score in summary.scores:
        if score.column not in columns or score.separator not in names:
            raise BadInput(
                f"{path} has a score of {score.separator!r} in {score.column!r}, which it does not define"
            )


def _run(data: RunData) -> RunSummary:
    record = data.record
    config = record.config
    return RunSummary(
        id=record.id,
        created=record.created,
        command=record.command,
        dataset=config.dataset,
        split=config.split,
        profile=config.profile,
        metrics=config.metrics,
        seed=config.seed,
        conditions=record.conditions,
        tracks=[track.title for track in record.tracks],
        hrir=record.hrir,
        versions=record.versions,
        machine=record.machine,
        aggregate=config.aggregate,
        bsseval=config.bsseval,
        angles=digest({track.title: track.angles for track in record.tracks})[:20],
        files=digest([[track.title, track.samples, track.files] for track in record.tracks])[:20],
        audio=audio_hashes(data),
        other=other_settings(config),
        stems=record.stems,
        renderings=[_rendering(record, name, hrir) for name, hrir in record.hrirs.items()],
    )


def _rendering(record: RunRecord, name: str, hrir: HrirInfo) -> RenderingSummary:
    keys = record.config.replicates[name]
    places = [[track.title, [asdict(track.placements[key]) for key in keys]] for track in record.tracks]
    return _copied(
        RenderingSummary,
        record.config.rendered(name),
        condition=name,
        hrir=hrir.name,
        hrir_sha256=hrir.sha256,
        placements=digest(places)[:20],
    )
