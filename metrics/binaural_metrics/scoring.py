"""Every stem of one track in, one row per stem out.

Columns
-------
source                  the stem

Corrected profile, against `mixture_gain` × reference:

SSR, SRR                SPAUQ by its equations, dB (:mod:`.spauq`)
d_itd_us, d_ild_db, d_ic, azimuth_deg, azimuth_error_deg
                        interaural cues (:mod:`.cues`); the last two where an HRIR set is given
level_db, SI_SDR        fitted level and scale-invariant SDR, dB (:mod:`.level`)
SDR, ISR, SIR, SAR      BSS Eval v4, dB (:mod:`.bsseval`)
bsseval_frames          windows behind those four

Paper profile, the reference as it is stored:

paper_SSR, paper_SRR, paper_cost, paper_shift, paper_scale
                        SPAUQ as released (:mod:`.spauq`)
paper_diff_ITD, paper_diff_ILD
                        \\|ΔITD\\| in µs, \\|ΔILD\\| in dB (:mod:`.interaural`)

Both:

valid_frames, total_frames  frames behind SSR and SRR, and frames there are
status                  ok: every value asked for is there; undefined: a metric has no value for this stem;
                        failed: the separator's output could not be scored
reason                  one line that names the columns, empty when ok

Values are JSON: numbers, nested lists, strings or None; never NaN, never infinite. A stem that fails leaves
the other rows as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .bsseval import METRICS as BSSEVAL
from .bsseval import bss_eval
from .cues import HrirSet, check_hrirs, interaural_cues
from .interaural import paper_cues
from .level import level
from .signals import (
    AGGREGATES,
    BoolArray,
    Float64,
    FloatArray,
    InputError,
    active_blocks,
    aggregate_frames,
    block_energies,
    check_pair,
    check_sample_rate,
    is_silent_where,
)
from .spauq import Equations, Released, check_gain, spauq_both, spauq_equations, spauq_released
from .threads import one_blas_thread

Row = dict[str, object]
FrameTable = dict[str, npt.NDArray[Any]]

PROFILES = ("paper", "corrected", "all")
COLUMNS = (
    "source",
    "SSR",
    "SRR",
    "d_itd_us",
    "d_ild_db",
    "d_ic",
    "azimuth_deg",
    "azimuth_error_deg",
    "level_db",
    "SI_SDR",
    *BSSEVAL,
    "bsseval_frames",
    "paper_SSR",
    "paper_SRR",
    "paper_cost",
    "paper_shift",
    "paper_scale",
    "paper_diff_ITD",
    "paper_diff_ILD",
    "valid_frames",
    "total_frames",
    "status",
    "reason",
)
_HOP_S = 0.5  # between SPAUQ's frames


def score_track(
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    *,
    profile: str = "all",
    mixture_gain: float = 1.0,
    binaural: bool = True,
    hrir: HrirSet | None = None,
    bsseval: bool = True,
    aggregate: str = "median",
    workers: int | None = None,
) -> list[Row]:
    """Score every stem of a track.

    Parameters
    ----------
    references : mapping of str to array_like, shape (2, samples)
        The true stems; their order is the rows' order.
    estimates : mapping of str to array_like, shape (2, samples)
        The separator's stems by the same names; others are ignored.
    sample_rate : int
        Hz, of all of them.
    profile : {"all", "corrected", "paper"}
        Columns of a profile not asked for are None.
    mixture_gain : float
        Gain that the mixture was stored with and the references were not; 1 for matched and stereo data.
        The corrected profile scores against `mixture_gain` × reference.
    binaural : bool
        Whether the two channels are ears; without, there is no azimuth.
    hrir : HrirSet, optional
        Set that the track was rendered with, for the azimuth.
    bsseval : bool
        Whether to spend time on SDR, ISR, SIR and SAR (a profile that has them).
    aggregate : {"median", "mean"}
        How the values of frames become the track's.
    workers : int, optional
        Threads; every core of this process by default.

    Returns
    -------
    list of dict
        One row per reference with the keys :data:`COLUMNS`.

    Raises
    ------
    InputError
        The request itself is wrong: no reference, an unknown profile or aggregation, a sample rate, gain or
        HRIR set that cannot be. What is wrong with a single stem is in its row.
    """
    rows, _ = score_track_with_frames(
        references,
        estimates,
        sample_rate,
        profile=profile,
        mixture_gain=mixture_gain,
        binaural=binaural,
        hrir=hrir,
        bsseval=bsseval,
        aggregate=aggregate,
        workers=workers,
    )
    return rows


@one_blas_thread
def score_track_with_frames(
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    *,
    profile: str = "all",
    mixture_gain: float = 1.0,
    binaural: bool = True,
    hrir: HrirSet | None = None,
    bsseval: bool = True,
    aggregate: str = "median",
    workers: int | None = None,
) -> tuple[list[Row], FrameTable]:
    """:func:`score_track` and the values behind it, frame by frame.

    Returns
    -------
    rows : list of dict
    frames : dict of str to ndarray
        A long table by columns, ready for :func:`.frames.write_frames`: ``source``, ``metric`` (a column of
        the row), ``start_s`` (s), ``value``, ``weight`` (1 unless the metric weights its frames), ``counted``,
        ``aggregate`` (how the track's value comes from the counted frames), ``valid_frames`` (that counted)
        and ``total_frames`` (there were). ``d_itd_us`` alone aggregates each signal before it takes the
        difference, and has the signed difference of the frame here.
    """
    job = _Job(check_sample_rate(sample_rate), profile, check_gain(mixture_gain), aggregate, hrir, workers)
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile!r}; expected one of {', '.join(PROFILES)}")
    if aggregate not in AGGREGATES:
        raise InputError(f"unknown aggregation {aggregate!r}; expected one of {', '.join(AGGREGATES)}")
    if not references:
        raise InputError("no reference stem; expected at least one")
    if not binaural:
        job = replace(job, hrir=None)
    if job.hrir is not None:
        check_hrirs(job.hrir, job.sample_rate)
    sheets = {source: _Sheet(source) for source in references}
    for sheet in sheets.values():
        try:
            _score_stem(sheet, references, estimates, job)
        except InputError as error:
            sheet.fail(str(error))
    if bsseval and job.corrected:
        _score_together(sheets, references, estimates, job)
    return [sheet.row() for sheet in sheets.values()], _frame_table(sheets)


@dataclass(frozen=True)
class _Job:
    sample_rate: int
    profile: str
    gain: float
    aggregate: str
    hrir: HrirSet | None
    workers: int | None

    @property
    def paper(self) -> bool:
        return self.profile in ("paper", "all")

    @property
    def corrected(self) -> bool:
        return self.profile in ("corrected", "all")


@dataclass(frozen=True)
class _Frames:
    """The frames behind one value: `total` there are, of which those that may count are listed."""

    metric: str
    aggregate: str
    start_s: Float64
    values: Float64
    weights: Float64
    counted: BoolArray
    total: int


@dataclass
class _Sheet:
    """One row, and the frames behind it, while they are being filled in."""

    source: str
    values: Row = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    failure: str = ""
    frames: list[_Frames] = field(default_factory=list)

    def set(self, column: str, value: object, reason: str = "") -> None:
        """None is a value that has a `reason`."""
        self.values[column] = value
        if value is None:
            self.reasons.setdefault(reason, []).append(column)

    def fail(self, reason: str) -> None:
        self.failure = reason

    def keep(
        self,
        metric: str,
        aggregate: str,
        values: Float64,
        start_s: Float64,
        weights: Float64 | None = None,
        counted: BoolArray | None = None,
        total: int | None = None,
    ) -> None:
        """The frames behind a column."""
        weights = np.ones(len(values)) if weights is None else weights
        counted = np.ones(len(values), bool) if counted is None else counted
        total = len(values) if total is None else total
        self.frames.append(_Frames(metric, aggregate, start_s, values, weights, counted, total))

    def row(self) -> Row:
        lines = [f"{', '.join(columns)}: {reason}" for reason, columns in self.reasons.items()]
        status = "failed" if self.failure else "undefined" if lines else "ok"
        reason = "; ".join(filter(None, [self.failure, *lines]))
        known = {"source": self.source, **self.values, "status": status, "reason": reason}
        return {column: known.get(column) for column in COLUMNS}


def _frame_table(sheets: Mapping[str, _Sheet]) -> FrameTable:
    parts = [(sheet.source, part) for sheet in sheets.values() for part in sheet.frames]
    columns: dict[str, list[npt.NDArray[Any]]] = {
        "source": [np.full(len(part.values), source, object) for source, part in parts],
        "metric": [np.full(len(part.values), part.metric, object) for _, part in parts],
        "start_s": [part.start_s for _, part in parts],
        "value": [part.values for _, part in parts],
        "weight": [part.weights for _, part in parts],
        "counted": [part.counted for _, part in parts],
        "aggregate": [np.full(len(part.values), part.aggregate, object) for _, part in parts],
        "valid_frames": [np.full(len(part.values), part.counted.sum(), np.int64) for _, part in parts],
        "total_frames": [np.full(len(part.values), part.total, np.int64) for _, part in parts],
    }
    return {name: np.concatenate(arrays) if arrays else np.empty(0) for name, arrays in columns.items()}


# ------------------------------------------------------------------------------------------- one stem


def _score_stem(
    sheet: _Sheet,
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    job: _Job,
) -> None:
    if sheet.source not in estimates:
        raise InputError(f"the separator gave no stem {sheet.source!r}")
    ref, est, rate = check_pair(references[sheet.source], estimates[sheet.source], job.sample_rate)
    active = active_blocks(block_energies(ref, rate))
    # An estimate of nothing has no image to correct for. The paper's numbers exist all the same.
    silent = bool(active.any()) and is_silent_where(est, active, rate)
    if silent:
        sheet.fail("the estimate is silent wherever the reference is active")
    _score_spauq(sheet, ref, est, job, corrected=job.corrected and not silent)
    if job.paper:
        paper = paper_cues(ref, est, rate)
        sheet.set("paper_diff_ITD", paper.d_itd_us, paper.itd_reason)
        sheet.set("paper_diff_ILD", paper.d_ild_db, paper.ild_reason)
    if job.corrected and not silent:
        _score_cues(sheet, ref, est, job)
        found = level(ref, est, rate, reference_gain=job.gain)
        sheet.set("level_db", found.level_db, found.level_reason)
        sheet.set("SI_SDR", found.si_sdr_db, found.si_sdr_reason)


def _score_spauq(sheet: _Sheet, ref: FloatArray, est: FloatArray, job: _Job, *, corrected: bool) -> None:
    rate, gain, workers = job.sample_rate, job.gain, job.workers
    if job.paper and corrected:
        released, equations = spauq_both(ref, est, rate, reference_gain=gain, workers=workers)
        _fill_released(sheet, released, job)
        _fill_equations(sheet, equations, job)
    elif job.paper:
        _fill_released(sheet, spauq_released(ref, est, rate, workers=workers), job)
    elif corrected:
        _fill_equations(sheet, spauq_equations(ref, est, rate, reference_gain=gain, workers=workers), job)


def _fill_released(sheet: _Sheet, found: Released, job: _Job) -> None:
    start = _starts(len(found.ssr), job)
    for column, values in (("paper_SSR", found.ssr), ("paper_SRR", found.srr), ("paper_cost", found.cost)):
        sheet.set(column, aggregate_frames(values, job.aggregate))
        sheet.keep(column, job.aggregate, values, start)
    aggregate = np.median if job.aggregate == "median" else np.mean
    sheet.set("paper_shift", aggregate(found.shift, axis=0).tolist())
    sheet.set("paper_scale", aggregate(found.scale, axis=0).tolist())
    # The paper takes every frame; where the corrected profile is asked for, it counts its own instead.
    sheet.set("valid_frames", len(found.ssr))
    sheet.set("total_frames", len(found.ssr))


def _fill_equations(sheet: _Sheet, found: Equations, job: _Job) -> None:
    start = _starts(found.total_frames, job)
    for column, values in (("SSR", found.ssr), ("SRR", found.srr)):
        value = aggregate_frames(values[found.valid], job.aggregate) if found.valid_frames else None
        sheet.set(column, value, "reference and estimate are silent in every frame")
        sheet.keep(column, job.aggregate, values, start, counted=found.valid)
    sheet.set("valid_frames", found.valid_frames)
    sheet.set("total_frames", found.total_frames)


def _starts(frames: int, job: _Job) -> Float64:
    return np.arange(frames, dtype=np.float64) * (int(_HOP_S * job.sample_rate) / job.sample_rate)


def _score_cues(sheet: _Sheet, ref: FloatArray, est: FloatArray, job: _Job) -> None:
    cues = interaural_cues(
        ref, est, job.sample_rate, hrir=job.hrir, aggregate=job.aggregate, workers=job.workers
    )
    how = {
        "d_itd_us": f"difference of the signals' weighted {job.aggregate}s",
        "d_ild_db": f"weighted {job.aggregate}",
        "d_ic": job.aggregate,
    }
    for column, aggregate in how.items():
        cue = getattr(cues, column)
        sheet.set(column, cue.value, cue.reason)
        sheet.keep(column, aggregate, cue.frames, cue.start_s, cue.weights, total=cue.total)
    if job.hrir is not None:
        sheet.set("azimuth_deg", cues.azimuth_deg.value, cues.azimuth_deg.reason)
        sheet.set("azimuth_error_deg", cues.azimuth_error_deg.value, cues.azimuth_error_deg.reason)


# ------------------------------------------------------------------------------------ all stems together


def _score_together(
    sheets: Mapping[str, _Sheet],
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    job: _Job,
) -> None:
    """BSS Eval, for which the other stems are what interferes. A stem that has failed is not scored."""
    scored = {source: estimates[source] for source, sheet in sheets.items() if not sheet.failure}
    if not scored:
        return
    reason = "every window has a silent stem"
    try:
        found = bss_eval(references, scored, job.sample_rate, reference_gain=job.gain, workers=job.workers)
    except InputError as error:
        found, reason = None, str(error)
    for stem, (source, sheet) in enumerate(sheets.items()):
        if source not in scored:
            continue
        for ratio, column in enumerate(BSSEVAL):
            if found is None or not found.valid.any():
                sheet.set(column, None, reason)
                continue
            values = found.values[ratio, stem]
            sheet.set(column, aggregate_frames(values[found.valid], job.aggregate))
            start = np.flatnonzero(found.valid).astype(float)
            sheet.keep(column, job.aggregate, values[found.valid], start, total=len(found.valid))
        sheet.set("bsseval_frames", 0 if found is None else int(found.valid.sum()))
