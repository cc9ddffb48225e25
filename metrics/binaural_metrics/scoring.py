"""Score every stem of a track: one row per stem.

Columns
-------
``source`` is the stem. The metrics and their order come from the registry (:func:`.registry.columns`); the metrics of
the corrected set compare with `mixture_gain` × reference, those of the paper set with the reference as it is stored.

status   ok: every requested value is there; undefined: a metric has no value for this stem; failed: the separator's
         output could not be scored
reason   one line that names the columns without a value and why, and what is unusual about the signals: a length, a
         level or a delay (:mod:`.plausible`)

Values can be written as JSON: numbers, nested lists, strings or None; never NaN, never infinite. A stem that fails
does not change the other rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .cues import HrirSet, check_hrirs
from .plausible import check_lengths, lag_note, level_note
from .registry import Frames, Metric, Value, check_metric_set, columns
from .registry import metrics as all_metrics
from .reuse import NO_CACHE, ReferenceCache
from .signals import AGGREGATES, InputError, check_sample_rate, check_signal
from .spauq import check_gain
from .stem import Options, Stem, Track
from .threads import one_blas_thread

Row = dict[str, Any]
FrameTable = dict[str, npt.NDArray[Any]]


@one_blas_thread
def score_track(
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    *,
    metrics: str = "all",
    mixture_gain: float = 1.0,
    binaural: bool = True,
    hrir: HrirSet | None = None,
    bsseval: bool = True,
    aggregate: str = "median",
    workers: int | None = None,
    mixture: npt.ArrayLike | None = None,
    dry: Mapping[str, npt.ArrayLike] | None = None,
    moving: Collection[str] = (),
    cache: ReferenceCache = NO_CACHE,
    direct: Mapping[str, npt.ArrayLike] | None = None,
) -> tuple[list[Row], FrameTable]:
    """Score every stem of a track, and return the values of frames as well.

    Parameters
    ----------
    references : mapping of str to array_like, shape (2, samples)
        The true stems. Their order is the order of the rows.
    estimates : mapping of str to array_like, shape (2, samples)
        The separated stems by the same names; others are ignored.
    sample_rate : int
        Sample rate of all signals in Hz.
    metrics : {"all", "corrected", "paper"}
        Set of metrics. The columns of other metrics are None.
    binaural : bool
        Whether the two channels are the signals of two ears. There are azimuths for binaural tracks only.
    dry : mapping of str to array_like, shape (samples,), optional
        The signals that were rendered to the references, for the effective response of binaural tracks. Each is read
        when its stem is scored; an :class:`InputError` then is the reason why the stem has no response.
    moving : collection of str
        Stems whose sources move. Their `d_itd_us` compares frame by frame, and they have `itd_lag_ms`.
    direct : mapping of str to array_like, shape (2, samples), optional
        The direct sound of references in a room, for the effective response.
    mixture_gain, hrir, bsseval, aggregate, workers, mixture, cache
        As of :func:`binaural_metrics.score`.

    Returns
    -------
    rows : list of dict
        One row per reference with the keys :func:`.registry.columns`.
    frames : dict of str to ndarray
        A long table by columns: ``source``, ``metric`` (a column of the row), ``start_s`` (in s), ``value``,
        ``weight`` (1 unless the metric weights its frames), ``counted``, ``aggregate`` (how the value of the stem is
        computed from the counted frames), ``valid_frames`` (number of counted frames) and ``total_frames``.
        ``d_itd_us`` alone aggregates each signal before it takes the difference; its frames here are the signed
        differences.

    Raises
    ------
    InputError
        The request itself is wrong: no reference, an unknown metric set or aggregation, an impossible sample rate,
        gain or HRIR set. An error in a single stem is in its row.
    """
    rate, gain = check_sample_rate(sample_rate), check_gain(mixture_gain)
    chosen = check_metric_set(metrics)
    if aggregate not in AGGREGATES:
        raise InputError(f"unknown aggregation {aggregate!r}; expected one of {', '.join(AGGREGATES)}")
    if not references:
        raise InputError("no reference stem; expected at least one")
    hrir = hrir if binaural else None
    if hrir is not None:
        hrir = check_hrirs(hrir, rate)
    sets = frozenset({"corrected", "paper"} if chosen == "all" else {chosen})
    whole_mixture = None if mixture is None else check_signal(mixture, "mixture")
    options = Options(
        rate,
        sets,
        gain,
        aggregate,
        hrir,
        bsseval,
        workers,
        whole_mixture,
        dry if binaural else None,
        frozenset(moving),
        cache.of_call(),
        direct,
    )
    sheets = {source: _Sheet(source) for source in references}
    for sheet in sheets.values():
        try:
            _score_stem(sheet, references, estimates, options)
        except InputError as error:
            sheet.failure = str(error)
    # Other stems are interference to the metrics of a whole track. A stem that has failed is not scored.
    whole = Track(references, {s: estimates[s] for s, sheet in sheets.items() if not sheet.failure}, options)
    for sheet in sheets.values():
        if sheet.stem is not None and not sheet.failure:
            sheet.stem.track = whole
            try:
                sheet.compute(whole_track=True)
            except InputError as error:
                sheet.failure = str(error)
    if lag := lag_note(references, estimates, rate):
        for sheet in sheets.values():
            sheet.notes.append(lag)
    return [sheet.row() for sheet in sheets.values()], _frame_table(sheets)


@dataclass
class _Sheet:
    """One row, and the frames behind it, while they are being filled in."""

    source: str
    stem: Stem | None = None
    values: Row = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    failure: str = ""
    notes: list[str] = field(default_factory=list)
    frames: list[tuple[str, Frames]] = field(default_factory=list)

    def compute(self, *, whole_track: bool) -> None:
        """Compute the metrics of the stem's sets: those of the stem alone, or those of the whole track."""
        assert self.stem is not None
        for metric in all_metrics():
            if metric.whole_track == whole_track and _is_wanted(metric, self.stem):
                self.set(metric.column, metric.compute(self.stem))

    def set(self, column: str, found: Value | None) -> None:
        if found is None:
            return
        self.values[column] = found.value
        if found.value is None:
            self.reasons.setdefault(found.reason, []).append(column)
        if found.frames is not None:
            self.frames.append((column, found.frames))

    def row(self) -> Row:
        lines = [f"{', '.join(columns)}: {reason}" for reason, columns in self.reasons.items()]
        status = "failed" if self.failure else "undefined" if lines else "ok"
        reason = "; ".join(filter(None, [self.failure, *self.notes, *lines]))
        known = {"source": self.source, **self.values, "status": status, "reason": reason}
        return {column: known.get(column) for column in columns()}


def _is_wanted(metric: Metric, stem: Stem) -> bool:
    return bool(stem.sets & set(metric.sets)) and (not metric.option or getattr(stem.options, metric.option))


def _score_stem(
    sheet: _Sheet,
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    options: Options,
) -> None:
    if sheet.source not in estimates:
        raise InputError(f"the separator returned no stem {sheet.source!r}")
    stem = Stem(sheet.source, references[sheet.source], estimates[sheet.source], options)
    length = check_lengths(references[sheet.source], estimates[sheet.source], options.sample_rate)
    levels = level_note(stem.reference, "reference"), level_note(stem.estimate, "estimate")
    sheet.stem, sheet.notes = stem, [note for note in (length, *levels) if note]
    if stem.estimate_is_silent():
        # Such an estimate has no spatial image, so that it has no corrected metrics. The paper's are defined.
        sheet.failure = "the estimate is silent wherever the reference is active"
        stem.sets.discard("corrected")
    sheet.compute(whole_track=False)


def _frame_table(sheets: Mapping[str, _Sheet]) -> FrameTable:
    parts = [(sheet.source, metric, part) for sheet in sheets.values() for metric, part in sheet.frames]
    columns: dict[str, list[npt.NDArray[Any]]] = {
        "source": [np.full(len(part.values), source, object) for source, _, part in parts],
        "metric": [np.full(len(part.values), metric, object) for _, metric, part in parts],
        "start_s": [part.start_s for *_, part in parts],
        "value": [part.values for *_, part in parts],
        "weight": [part.weights for *_, part in parts],
        "counted": [part.counted for *_, part in parts],
        "aggregate": [np.full(len(part.values), part.aggregate, object) for *_, part in parts],
        "valid_frames": [np.full(len(part.values), part.counted.sum(), np.int64) for *_, part in parts],
        "total_frames": [np.full(len(part.values), part.total, np.int64) for *_, part in parts],
    }
    return {name: np.concatenate(arrays) if arrays else np.empty(0) for name, arrays in columns.items()}
