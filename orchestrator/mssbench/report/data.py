"""A run as arrays: one cube per metric with the axes condition × separator × track × stem.

Everything the report computes reads from here. A value exists only where a stem was scored: rows that
failed or are pending hold NaN whatever columns they have; counts of them come from `RunData.status`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS

from ..runs.records import Cell, RunRecord, SeparatorRecord
from ..runs.results import Row, result_rows
from ..runs.store import RunStore
from .metrics import Metric, headline, present

FloatArray = npt.NDArray[np.float64]

STATUSES = ("ok", "undefined", "failed", "pending")
REFERENCE_SERVICE = "oracle"
"""The service whose separators are no models: they get the true stems, or are the floor."""

ALL = "all"
"""Name of the four stems together."""


@dataclass(frozen=True)
class Counts:
    """Where the rows of a group ended. `undefined` are rows without the value in question."""

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
        """Rows that were scored, with or without the value in question."""
        return self.valid + self.undefined

    @property
    def text(self) -> str:
        """What is missing, in words; empty where nothing is."""
        parts = [(self.failed, "failed"), (self.undefined, "undefined"), (self.pending, "pending")]
        return ", ".join(f"{number} {name}" for number, name in parts if number)


@dataclass
class RunData:
    """Scores of a run.

    Attributes
    ----------
    values : dict of str to array, shape (conditions, separators, tracks, stems)
        Per column of a metric; NaN where there is no value.
    status, reason : array, same shape
        Of each row.
    sounding : array, same shape
        Whether the stem sounds in more than half of its frames, so that medians over all frames mean it.
    outcomes : dict
        ``result.json`` or ``error.json`` of each cell that has ended.
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
        return self.record.config.conditions

    @property
    def titles(self) -> list[str]:
        return [track.title for track in self.record.tracks]

    @property
    def headline(self) -> list[Metric]:
        """The four metrics of the first tables."""
        return headline(self.metrics)

    @property
    def unavailable(self) -> list[SeparatorRecord]:
        return [one for one in self.record.separators if one.status != "available"]

    @property
    def compared(self) -> list[SeparatorRecord]:
        """Those that are worth comparing: models and references, no probes."""
        return [one for one in self.separators if kind(one) != "probe"]

    @property
    def models(self) -> list[SeparatorRecord]:
        return [one for one in self.separators if kind(one) == "model"]

    @property
    def probes(self) -> list[SeparatorRecord]:
        return [one for one in self.separators if kind(one) == "probe"]

    def cube(self, metric: Metric | str, condition: str, separator: str, stem: str = ALL) -> FloatArray:
        """Values of one group, shape (tracks, stems); (tracks, 1) for one stem."""
        column = metric if isinstance(metric, str) else metric.column
        group: FloatArray = self.values[column][self.place(condition, separator)]
        return group if stem == ALL else group[:, [STEMS.index(stem)]]

    def counts(self, metric: Metric | None, condition: str, separator: str, stem: str = ALL) -> Counts:
        """Where the rows of one group ended; without a metric, by their status alone."""
        status = self.status[self.place(condition, separator)]
        if stem != ALL:
            status = status[:, [STEMS.index(stem)]]
        failed, pending = int(np.sum(status == "failed")), int(np.sum(status == "pending"))
        if metric is None:
            valid = int(np.sum(status == "ok"))
        else:
            valid = int(np.sum(~np.isnan(self.cube(metric, condition, separator, stem))))
        return Counts(status.size, valid, status.size - valid - failed - pending, failed, pending)

    def totals(self) -> Counts:
        """Of the whole run, by status."""
        number = {status: int(np.sum(self.status == status)) for status in STATUSES}
        return Counts(self.status.size, number["ok"], *(number[status] for status in STATUSES[1:]))

    def azimuth(self, title: str, stem: str) -> float | None:
        return self.record.track(title).angles.get(stem)

    def devices(self, separator: str) -> list[str]:
        """Where the separator ran."""
        found = {str(outcome.get("device") or "") for outcome in self._outcomes(separator)}
        return sorted(found - {""})

    def details(self, separator: str) -> list[dict[str, Any]]:
        """What the separator said of itself: one entry, or several where it changed during the run."""
        found: list[dict[str, Any]] = []
        for outcome in self._outcomes(separator):
            said = outcome.get("details")
            if isinstance(said, dict) and said and said not in found:
                found.append(said)
        return found

    def weights(self, separator: str) -> dict[str, str]:
        """SHA-256 of the separator's weights, by file name."""
        return {
            str(weight.get("file", "")): str(weight.get("sha256", ""))
            for said in self.details(separator)
            for weight in said.get("weights") or ()
            if isinstance(weight, dict)
        }

    def _outcomes(self, separator: str) -> Iterator[dict[str, Any]]:
        return (outcome for cell, outcome in self.outcomes.items() if cell.separator == separator)

    def mixture_gain(self, cell: Cell) -> float | None:
        """Gain of the mixture over its stored references; None where the cell has no result."""
        gain = self.outcomes.get(cell, {}).get("mixture_gain")
        return float(gain) if isinstance(gain, int | float) else None

    def cells(self) -> Iterator[Cell]:
        return iter(self.record.cells())

    def place(self, condition: str, separator: str) -> tuple[int, int]:
        """Index of one group in the arrays."""
        names = [one.name for one in self.separators]
        return self.conditions.index(condition), names.index(separator)


def kind(separator: SeparatorRecord) -> Literal["model", "reference", "probe"]:
    """``probe`` (its scores are known), ``reference`` (knows the stems, or is the floor) or ``model``."""
    if separator.expected:
        return "probe"
    if separator.needs_references or separator.service == REFERENCE_SERVICE:
        return "reference"
    return "model"


def load(run_dir: Path) -> RunData:
    """Read a run directory, finished or not.

    Raises
    ------
    NotFound, BadInput
        It is no run, or what it holds contradicts itself; the message names it.
    """
    store = RunStore(run_dir)
    record = store.load()
    separators = [one for one in record.separators if one.status == "available"]
    shape = (len(record.config.conditions), len(separators), len(record.tracks), len(STEMS))
    rows = result_rows(store, record)
    metrics = present({name for row in rows for name, value in row.items() if value is not None})
    values = {metric.column: np.full(shape, np.nan) for metric in metrics}
    status = np.full(shape, "pending", dtype="U9")
    reason = np.full(shape, "", dtype=object)
    sounding = np.full(shape, True)
    axes = (
        {name: i for i, name in enumerate(record.config.conditions)},
        {one.name: i for i, one in enumerate(separators)},
        {track.title: i for i, track in enumerate(record.tracks)},
        {stem: i for i, stem in enumerate(STEMS)},
    )
    seen: set[tuple[int, ...]] = set()
    for row in rows:
        try:
            key = (row["condition"], row["separator"], row["title"], row["source"])
            place = tuple(axis[name] for axis, name in zip(axes, key, strict=True))
        except KeyError as error:
            raise BadInput(f"run {record.id} has a row for {error}, which run.json does not know") from None
        if place in seen:
            raise BadInput(f"run {record.id} has two rows for {', '.join(key)}")
        seen.add(place)
        status[place] = row["status"] if row["status"] in STATUSES else "failed"
        reason[place] = str(row.get("reason") or "")
        frames = number(row.get("valid_frames")), number(row.get("total_frames"))
        sounding[place] = not 2 * frames[0] <= frames[1]  # NaN, not counted: taken to sound
        if status[place] in ("ok", "undefined"):
            for metric in metrics:
                values[metric.column][place] = number(row.get(metric.column))
    outcomes = {cell: found for cell in record.cells() if (found := store.outcome(cell)) is not None}
    # A column that no scored row has is not a metric of this run.
    metrics = [metric for metric in metrics if not np.isnan(values[metric.column]).all()]
    return RunData(store, record, rows, metrics, separators, values, status, reason, sounding, outcomes)


def number(value: object) -> float:
    """A value of a row, or NaN where it is none: missing, not a number, infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return math.nan


__all__ = ["ALL", "STEMS", "Counts", "RunData", "kind", "load", "number"]
