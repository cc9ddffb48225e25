"""The results of a run as arrays: one array per metric with the axes condition × separator × track × stem.

The replicates of a condition are averaged within each track and stem, so that the track stays the unit of all
statistics. A value counts once all replicates of its track have been scored; a metric that is undefined in some of them
is averaged over the others.

Every number of the report is computed from these arrays. Rows that failed or are pending hold NaN in every
metric; :attr:`RunData.status` counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from mssbench_service.errors import BadInput
from mssbench_service.stems import canonical

from ..runs.conditions import BINAURAL, STEREO
from ..runs.records import Cell, RunRecord, SeparatorRecord
from ..runs.results import Row, result_rows
from ..runs.store import RunStore
from .metrics import Metric, finite_value, headline, present
from .replicates import NOT_OFFERED, averaged, merged

FloatArray = npt.NDArray[np.float64]

STATUSES = ("ok", "undefined", "failed", "pending")
REFERENCE_SERVICE = "oracle"
"""The service whose separators are not models: they receive the true stems, or return the mixture."""

ALL_STEMS = "all"
"""Value of `source` for all stems of the dataset together."""


def source_name(source: str) -> str:
    """Name of a target, or of all stems, for tables and figures."""
    return "All stems" if source == ALL_STEMS else source.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Counts:
    """Number of rows of a group by status. With a metric, `undefined` counts scored rows without its value."""

    expected: int
    valid: int
    undefined: int
    failed: int
    pending: int

    @property
    def complete(self) -> bool:
        return self.valid == self.expected

    @property
    def scored(self) -> int:
        """Rows that were scored, with or without a value of the metric."""
        return self.valid + self.undefined

    @property
    def text(self) -> str:
        """Numbers of missing values as text; empty where none is missing."""
        parts = [(self.failed, "failed"), (self.undefined, "undefined"), (self.pending, "pending")]
        return ", ".join(f"{number} {name}" for number, name in parts if number)


@dataclass
class RunData:
    """Scores of a run.

    Attributes
    ----------
    values : dict of str to array, shape (conditions, separators, tracks, stems)
        Values by column; NaN where there is none.
    status, reason : array, shape (conditions, separators, tracks, stems)
        Status of each row, and the reason where it has no complete scores.
    sounding : array of bool, shape (conditions, separators, tracks, stems)
        Whether the stem sounds in more than half of its frames.
    outcomes : dict
        Content of ``result.json`` or ``error.json`` by finished cell.
    """

    store: RunStore
    record: RunRecord
    rows: list[Row]
    metrics: list[Metric]
    separators: list[SeparatorRecord]
    values: dict[str, FloatArray]
    status: npt.NDArray[np.str_]
    reason: npt.NDArray[np.object_]
    sounding: npt.NDArray[np.bool_]
    outcomes: dict[Cell, dict[str, Any]] = field(repr=False)

    @property
    def conditions(self) -> list[str]:
        return self.record.conditions

    @property
    def replicates(self) -> dict[str, list[str]]:
        """Conditions of the rows by condition: several where a condition has several seeds."""
        return self.record.config.replicates

    @property
    def baseline(self) -> str:
        """The condition that the others are compared with: the first."""
        return self.conditions[0]

    @property
    def main(self) -> str:
        """The condition that the first table and the excerpts are about: binaural, or another rendering."""
        rendered = [condition for condition in self.conditions if condition != STEREO] or self.conditions
        return BINAURAL if BINAURAL in rendered else rendered[0]

    @property
    def titles(self) -> list[str]:
        return [track.title for track in self.record.tracks]

    @property
    def targets(self) -> list[str]:
        """What is scored, the last axis of the arrays."""
        return self.record.sources

    @property
    def sources(self) -> list[str]:
        """Values of `source`, in the order of the tables: each target, then all stems together."""
        return [*self.targets, ALL_STEMS]

    @property
    def not_offered(self) -> dict[str, list[str]]:
        """Targets that separators do not offer, by separator."""
        missing = {
            one.name: [target for i, target in enumerate(self.targets) if nowhere[i]]
            for number, one in enumerate(self.separators)
            for nowhere in [np.all(self.status[:, number] == NOT_OFFERED, axis=(0, 1))]
        }
        return {name: targets for name, targets in missing.items() if targets}

    @property
    def shared(self) -> list[str]:
        """Targets that all models offer, in a run without models all reference separators; if there are none, all."""
        subjects = self.models or self.compared
        missing = {target for one in subjects for target in self.not_offered.get(one.name, ())}
        return [target for target in self.targets if target not in missing] or self.targets

    @property
    def scope(self) -> str:
        """What `ALL_STEMS` is in these scores, to complete "medians over 4 tracks, …"."""
        if any(set(self.plain) & set(missing) for missing in self.not_offered.values()):
            return "the stems that each separator offers"
        return (
            "all stems" if set(self.plain) >= set(self.record.stems) else f"{' and '.join(self.plain)} only"
        )

    def only(self, targets: Sequence[str]) -> RunData:
        """Return the scores of `targets`."""
        if list(targets) == self.targets:
            return self
        at = [self.targets.index(target) for target in targets]
        values = {column: found[..., at] for column, found in self.values.items()}
        return replace(
            self,
            record=replace(self.record, targets=list(targets)),
            rows=[row for row in self.rows if row["source"] in targets],
            metrics=[metric for metric in self.metrics if not np.isnan(values[metric.column]).all()],
            values=values,
            status=self.status[..., at],
            reason=self.reason[..., at],
            sounding=self.sounding[..., at],
        )

    @property
    def plain(self) -> list[str]:
        """The targets of `ALL_STEMS`: the stems of the dataset, so that none counts twice."""
        return [target for target in self.targets if target in self.record.stems] or self.targets

    def _columns(self, source: str) -> list[int]:
        """Indices of the targets of `source`."""
        return [self.targets.index(name) for name in (self.plain if source == ALL_STEMS else [source])]

    @property
    def headline(self) -> list[Metric]:
        """Metrics of the first tables, at most five."""
        return headline(self.metrics)

    @property
    def unavailable(self) -> list[SeparatorRecord]:
        """Separators that were not available when the run was planned."""
        return [one for one in self.record.separators if one.status != "available"]

    @property
    def compared(self) -> list[SeparatorRecord]:
        """Models and reference separators, without probes."""
        return [one for one in self.separators if separator_kind(one) != "probe"]

    @property
    def listed(self) -> list[SeparatorRecord]:
        """The compared separators in the order of tables and figures: models first."""
        return sorted(self.compared, key=lambda one: separator_kind(one) != "model")

    @property
    def models(self) -> list[SeparatorRecord]:
        return [one for one in self.separators if separator_kind(one) == "model"]

    @property
    def probes(self) -> list[SeparatorRecord]:
        return [one for one in self.separators if separator_kind(one) == "probe"]

    def track_values(
        self, metric: Metric | str, condition: str, separator: str, source: str = ALL_STEMS
    ) -> FloatArray:
        """Return the values of one group, shape (tracks, stems); (tracks, 1) for one stem."""
        column = metric if isinstance(metric, str) else metric.column
        group: FloatArray = self.values[column][self.index(condition, separator)]
        return group[:, self._columns(source)]

    def track_sounding(self, condition: str, separator: str) -> npt.NDArray[np.bool_]:
        """Return which stems sound, shape (tracks, stems), as :meth:`track_values` has them."""
        sounding: npt.NDArray[np.bool_] = self.sounding[self.index(condition, separator)]
        return sounding[:, self._columns(ALL_STEMS)]

    def common_values(
        self, metric: Metric, first: tuple[str, str], second: tuple[str, str]
    ) -> tuple[FloatArray, FloatArray]:
        """The values of two groups (condition, separator), for the stems that both offer."""
        without = [self.not_offered.get(separator, []) for _, separator in (first, second)]
        both = [i for i, name in enumerate(self.plain) if not any(name in one for one in without)]
        a, b = (self.track_values(metric, *group)[:, both] for group in (first, second))
        return a, b

    def counts(
        self, metric: Metric | None, condition: str, separator: str, source: str = ALL_STEMS
    ) -> Counts:
        """Count the rows of one group: by values of the metric, or without one by status alone."""
        status = self.status[self.index(condition, separator)]
        status = status[:, self._columns(source)]
        expected = int(np.sum(status != NOT_OFFERED))
        failed, pending = int(np.sum(status == "failed")), int(np.sum(status == "pending"))
        if metric is None:
            valid = int(np.sum(status == "ok"))
        else:
            valid = int(np.sum(~np.isnan(self.track_values(metric, condition, separator, source))))
        return Counts(expected, valid, expected - valid - failed - pending, failed, pending)

    def totals(self) -> Counts:
        """Count the rows of the whole run by status."""
        number = {status: int(np.sum(self.status == status)) for status in STATUSES}
        return Counts(
            int(np.sum(self.status != NOT_OFFERED)),
            number["ok"],
            *(number[status] for status in STATUSES[1:]),
        )

    def direction(self, title: str, stem: str, condition: str = "binaural") -> tuple[float, float] | None:
        """Return the true azimuth and elevation of a stem in degrees; None where it was not rendered, or moves.

        `condition` is that of a row: the replicates of a condition have different directions.
        """
        placement = self.record.track(title).placement(condition)
        if placement is None or stem not in placement.angles:
            return None
        scene = placement.scene
        if scene is None:
            return placement.angles[stem], 0.0
        if stem in scene.trajectories:
            return None
        if placement.placed is not None and stem in placement.placed.directions:
            azimuth, elevation = placement.placed.directions[stem]
            return azimuth, elevation
        return placement.angles[stem], scene.elevations.get(stem, 0.0)

    def devices(self, separator: str) -> list[str]:
        """Return the devices on which the separator ran."""
        found = {str(outcome.get("device") or "") for outcome in self._outcomes(separator)}
        return sorted(found - {""})

    def details(self, separator: str) -> list[dict[str, Any]]:
        """Return the details that the separator reported: several entries if they changed during the run."""
        found: list[dict[str, Any]] = []
        for outcome in self._outcomes(separator):
            details = outcome.get("details")
            if isinstance(details, dict) and details and details not in found:
                found.append(details)
        return found

    def weights(self, separator: str) -> dict[str, str]:
        """Return the SHA-256 of the separator's weights by file name."""
        return {
            str(weight.get("file", "")): str(weight.get("sha256", ""))
            for details in self.details(separator)
            for weight in details.get("weights") or ()
            if isinstance(weight, dict)
        }

    def _outcomes(self, separator: str) -> Iterator[dict[str, Any]]:
        return (outcome for cell, outcome in self.outcomes.items() if cell.separator == separator)

    def mixture_gain(self, cell: Cell) -> float | None:
        """Return the gain of the mixture relative to the stored references; None without a result.

        It is the mean of those of the replicates, if `cell` is that of a condition with replicates.
        """
        gains = [
            self.outcomes.get(replace(cell, condition=key), {}).get("mixture_gain")
            for key in self.replicates.get(cell.condition, [cell.condition])
        ]
        found = [float(gain) for gain in gains if isinstance(gain, int | float)]
        return sum(found) / len(found) if found else None

    def index(self, condition: str, separator: str) -> tuple[int, int]:
        """Return the index of one group in the arrays."""
        names = [one.name for one in self.separators]
        return self.conditions.index(condition), names.index(separator)


def separator_kind(separator: SeparatorRecord) -> Literal["model", "reference", "probe"]:
    """Return "probe" (its scores are known), "reference" (it receives the stems, or is the mixture) or "model"."""
    if separator.expected:
        return "probe"
    if separator.needs_references or separator.service == REFERENCE_SERVICE:
        return "reference"
    return "model"


def load(run_dir: Path, targets: Sequence[str] = ()) -> RunData:
    """Read a run directory, finished or not; of its targets only `targets`, if they are given.

    Raises
    ------
    NotFound, BadInput
        A target is not scored, `run_dir` is not a run directory, or its files contradict each other; the message
        names the conflict.
    """
    store = RunStore(run_dir)
    record = store.load()
    separators = [one for one in record.separators if one.status == "available"]
    wanted = _known_targets(record, targets)
    rows = result_rows(store, record)
    keys = record.cell_conditions
    shape = (len(keys), len(separators), len(record.tracks), len(record.sources))
    metrics = present({name for row in rows for name, value in row.items() if value is not None})
    values = {metric.column: np.full(shape, np.nan) for metric in metrics}
    status = np.full(shape, "pending", dtype="U11")
    for number, one in enumerate(separators):
        for place, track in enumerate(record.tracks):
            offered = record.offered(one.name, track.title)
            without = [i for i, name in enumerate(record.sources) if name not in offered]
            status[:, number, place, without] = NOT_OFFERED
    reason = np.full(shape, "", dtype=object)
    sounding = np.full(shape, True)
    axes = (
        {name: i for i, name in enumerate(keys)},
        {one.name: i for i, one in enumerate(separators)},
        {track.title: i for i, track in enumerate(record.tracks)},
        {stem: i for i, stem in enumerate(record.sources)},
    )
    seen: set[tuple[int, ...]] = set()
    for row in rows:
        try:
            key = (row["condition"], row["separator"], row["title"], row["source"])
            index = tuple(axis[name] for axis, name in zip(axes, key, strict=True))
        except KeyError as error:
            raise BadInput(f"run {record.id} has a row for {error}, which run.json does not know") from None
        if index in seen:
            raise BadInput(f"run {record.id} has two rows for {', '.join(key)}")
        seen.add(index)
        status[index] = row["status"] if row["status"] in STATUSES else "failed"
        reason[index] = str(row.get("reason") or "")
        valid, total = finite_value(row.get("valid_frames")), finite_value(row.get("total_frames"))
        sounding[index] = not 2 * valid <= total  # True where either is missing (NaN)
        if status[index] in ("ok", "undefined"):
            for metric in metrics:
                values[metric.column][index] = finite_value(row.get(metric.column))
    if len(keys) > len(record.conditions):
        rows_of = [[keys.index(key) for key in of] for of in record.config.replicates.values()]
        status, reason, sounding = merged(rows_of, status, reason, sounding)
        lost = np.isin(status, ("failed", "pending"))
        values = {column: averaged(rows_of, found, lost) for column, found in values.items()}
    outcomes = {cell: found for cell in record.cells() if (found := store.outcome(cell)) is not None}
    # A column without a value in any scored row is not a metric of this run.
    metrics = [metric for metric in metrics if not np.isnan(values[metric.column]).all()]
    every = RunData(store, record, rows, metrics, separators, values, status, reason, sounding, outcomes)
    return every.only(wanted)


def _known_targets(record: RunRecord, targets: Sequence[str]) -> list[str]:
    """Return those of the run that are in `targets`; all if it is empty."""
    wanted = [canonical(target) for target in targets] or record.sources
    if unknown := [target for target in wanted if target not in record.sources]:
        scored = ", ".join(record.sources)
        raise BadInput(
            f"run {record.id} has scores of {scored}, not of {unknown[0]!r}; mssbench rescore --targets scores it"
        )
    return [target for target in record.sources if target in wanted]
