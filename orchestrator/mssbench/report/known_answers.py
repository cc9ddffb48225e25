"""Known-answer tests of a run: separators ("probes") whose scores are known before they are computed.

If a known score is not measured, the bench is wrong and its other numbers cannot be trusted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mssbench_service.wire import Expectation

from ..runs.conditions import BINAURAL, CONDITIONS, STEREO
from ..runs.config import RunConfig
from ..runs.records import Cell
from ..text import plural
from .data import ALL_STEMS, FloatArray, RunData, load
from .metrics import by_column

_BSS_EVAL = ("SDR", "ISR", "SIR", "SAR")

_ROUNDING = 1e-9
"""Tolerance of the limits: they are decimal fractions, and a value may miss them by rounding alone."""


@dataclass(frozen=True)
class KnownScore:
    """A known score of a probe and the range measured.

    Attributes
    ----------
    low, high : float or None
        Limits of the known score; None where there is no limit.
    measured_low, measured_high : float
        Smallest and largest value over `n` stems; NaN where there is none.
    passed : bool or None
        None where nothing could be checked.
    why, note : str
        Why the score is known; which stems could not be checked.
    """

    probe: str
    condition: str
    metric_column: str
    low: float | None
    high: float | None
    measured_low: float
    measured_high: float
    n: int
    passed: bool | None
    why: str
    note: str


class SelfCheckFailed(Exception):
    """A known score was not measured. The message names the probe, the expected and the measured values."""


def self_check(run_dir: Path) -> str:
    """Check the known scores of a run and return :func:`verdict`.

    Scores that the run did not have to compute (those of BSS Eval, where it is turned off) are not checked. A
    score that has no value on any stem is a failure.

    Raises
    ------
    SelfCheckFailed
        A known score was not measured, or the run has none.
    NotFound, BadInput
        `run_dir` is not a run directory, or its files contradict each other.
    """
    data = load(run_dir)
    found = known_scores(data)
    scores = [s for s in found if _is_computed(s.metric_column, data.record.config)]
    # Some metrics have no value of moving sources, or in rooms.
    scores = [s for s in scores if s.passed is not None or s.condition in CONDITIONS]
    failed = [score for score in scores if score.passed is not True]
    if failed:
        more = f"; {len(failed) - 1} more in the report" if len(failed) > 1 else ""
        raise SelfCheckFailed(f"self-check: {_describe(failed[0])}{more}")
    if not scores:
        raise SelfCheckFailed("self-check: the run has no probe with a known score")
    return verdict([score.passed for score in found])


def verdict(passed: Sequence[bool | None]) -> str:
    """Return how many known scores were confirmed, in the words of report, leaderboard and command line.

    `passed` has a value for each known score: None where it could not be checked.
    """
    if not passed:
        return "this run has no known-answer test"
    confirmed, failed = passed.count(True), passed.count(False)
    unchecked = len(passed) - confirmed - failed
    text = (
        f"{confirmed} of {plural(len(passed), 'score')} of the known-answer tests confirmed, {failed} failed"
    )
    return f"{text}, {unchecked} could not be checked" if unchecked else text


def known_scores(data: RunData) -> list[KnownScore]:
    """Compare each known score of each probe with the values measured; include those that cannot be checked."""
    metrics = by_column()
    found = []
    for probe in data.probes:
        for expected, condition in itertools.product(probe.expected, data.conditions):
            metric = metrics.get(expected.column)
            only = expected.condition or (BINAURAL if metric and metric.binaural_only else "")
            # "binaural" includes all renderings.
            if only in ("", condition) or (only == BINAURAL and condition != STEREO):
                found.append(_compare(data, probe.name, condition, expected))
    return found


def _compare(data: RunData, probe: str, condition: str, expected: Expectation) -> KnownScore:
    column, low, high = expected.column, expected.low, expected.high
    counts = data.counts(None, condition, probe)
    notes = [f"{counts.failed} failed"] if counts.failed else []
    notes += [f"{counts.pending} pending"] if counts.pending else []
    values = np.empty(0)
    if column in data.values:
        values, left_out = _checkable(data, probe, condition, expected)
        notes += left_out
    smallest = largest = math.nan
    passed: bool | None
    if values.size == 0:
        notes.append("no value to check" if column in data.values else "this run did not compute it")
        passed = False if counts.failed else None
    else:
        smallest, largest = float(values.min()), float(values.max())
        above = low is None or smallest >= low - _ROUNDING
        below = high is None or largest <= high + _ROUNDING
        passed = above and below and not counts.failed
    return KnownScore(
        probe, condition, column, low, high, smallest, largest, int(values.size), passed, expected.why,
        "; ".join(notes),
    )  # fmt: skip


def _checkable(
    data: RunData, probe: str, condition: str, expected: Expectation
) -> tuple[FloatArray, list[str]]:
    """Values whose score is known, and notes on those that are left out."""
    values, notes = data.track_values(expected.column, condition, probe).copy(), []
    if expected.off_centre_deg:
        values[~_off_centre(data, condition, expected.off_centre_deg)] = np.nan
        notes.append(f"only stems at least {expected.off_centre_deg:g}° off the centre")
    if expected.column.startswith("paper"):
        # The paper's metrics compare with references at their own level: their scores are known only where
        # that is also the level of the mixture.
        gains = [data.mixture_gain(Cell(condition, probe, title)) for title in data.titles]
        other = np.array([gain is not None and gain != 1.0 for gain in gains], dtype=bool)
        if other.any():
            values[other] = np.nan
            notes.append(f"{plural(int(other.sum()), 'track')} left out: mixture gain is not 1")
        # Their medians count silent frames as 0 dB: they are known only for stems that mostly sound.
        silent = ~data.track_sounding(condition, probe) & ~np.isnan(values)
        if silent.any():
            values[silent] = np.nan
            notes.append(f"stems left out, silent in half of their frames or more: {int(silent.sum())}")
    return values[~np.isnan(values)], notes


def _off_centre(data: RunData, condition: str, degrees: float) -> npt.NDArray[np.bool_]:
    """Which stems are so far from the median plane, at rest and in no room, shape (tracks, stems)."""
    hrir, stems = data.record.hrir_of(condition), [data.targets[i] for i in data._columns(ALL_STEMS)]
    found = np.zeros((len(data.titles), len(stems)), dtype=bool)
    for i, title in enumerate(data.titles):
        placement = data.record.track(title).placement(condition)
        in_room = placement is not None and placement.scene is not None and placement.scene.room is not None
        for j, stem in enumerate(stems):
            direction = data.direction(title, stem, condition)
            if direction is not None and not in_room and not (hrir is not None and hrir.room):
                azimuth, elevation = np.deg2rad(direction)
                lateral = np.rad2deg(np.arcsin(np.sin(azimuth) * np.cos(elevation)))
                found[i, j] = abs(lateral) >= degrees - 0.01
    return found


def _describe(score: KnownScore) -> str:
    expected = " to ".join(f"{limit:.6g}" for limit in (score.low, score.high) if limit is not None)
    if score.low is None or score.high is None:
        expected = f"at {'least' if score.high is None else 'most'} {expected}"
    measured = "nothing"
    if not math.isnan(score.measured_low):
        measured = f"{score.measured_low:.6g} to {score.measured_high:.6g}"
    note = f" ({score.note})" if score.note else ""
    name = f"{score.probe}, {score.condition}, {score.metric_column}"
    return f"{name}: expected {expected}, measured {measured}{note}"


def _is_computed(column: str, config: RunConfig) -> bool:
    """Whether a run with these settings computes the metric."""
    if column.startswith("paper"):
        return config.metrics in ("all", "paper")
    return config.metrics != "paper" and (config.bsseval or column not in _BSS_EVAL)
