"""Every stem of one track in, one row per stem out.

Columns
-------
source                          the stem
SSR, SRR                        corrected profile: SPAUQ by its equations, against `mixture_gain` × reference
paper_SSR, paper_SRR, paper_cost, paper_shift, paper_scale
                                paper profile: SPAUQ as released, the reference as it is stored
paper_diff_ITD, paper_diff_ILD  paper profile: \\|ΔITD\\| in µs, \\|ΔILD\\| in dB
valid_frames, total_frames      frames behind SSR and SRR, and frames there are
status                          ok: every value asked for is there; undefined: a metric has no value for this
                                stem; failed: the separator's output could not be scored
reason                          one line that names the columns, empty when ok

Values are JSON: numbers, nested lists, strings or None; never NaN, never infinite. A stem that fails leaves
the other rows as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy.typing as npt
from mssbench_service.errors import BadInput

from .interaural import paper_cues
from .signals import active_blocks, block_energies, check_pair, check_sample_rate, is_silent_where
from .spauq import Equations, Released, check_gain, spauq_both, spauq_equations, spauq_released

Profile = Literal["paper", "corrected", "all"]
Row = dict[str, object]

COLUMNS = (
    "source",
    "SSR",
    "SRR",
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


def score_track(
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    *,
    profile: str = "all",
    mixture_gain: float = 1.0,
    binaural: bool = True,
    hrir: None = None,
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
    profile : {"paper", "corrected", "all"}
        Columns of a profile not asked for are None.
    mixture_gain : float
        Gain that the mixture was stored with and the references were not; 1 for matched and stereo data.
        The corrected profile scores against `mixture_gain` × reference.
    binaural : bool
        Whether the two channels are ears.
    hrir : None
    workers : int, optional
        Threads; every core of this process by default.

    Returns
    -------
    list of dict
        One row per reference with the keys :data:`COLUMNS`.

    Raises
    ------
    BadInput
        The request itself is wrong: no reference, an unknown profile, a sample rate or gain that cannot be.
        What is wrong with a single stem is in its row.
    """
    sample_rate, gain = check_sample_rate(sample_rate), check_gain(mixture_gain)
    if profile not in get_args(Profile):
        raise BadInput(f"unknown profile {profile!r}; expected one of {', '.join(get_args(Profile))}")
    if not references:
        raise BadInput("no reference stem; expected at least one")
    rows = []
    for source in references:
        sheet = _Sheet(source)
        try:
            _score_stem(sheet, references, estimates, sample_rate, profile, gain, workers)
        except BadInput as error:
            sheet.fail(error.detail)
        rows.append(sheet.row())
    return rows


class _Sheet:
    """One row while it is being filled in."""

    def __init__(self, source: str) -> None:
        self.values: Row = dict.fromkeys(COLUMNS) | {"source": source}
        self.reasons: dict[str, list[str]] = {}
        self.failure = ""

    def set(self, column: str, value: object, reason: str = "") -> None:
        """None is a value that has a `reason`."""
        self.values[column] = value
        if value is None:
            self.reasons.setdefault(reason, []).append(column)

    def fail(self, reason: str) -> None:
        self.failure = reason

    def row(self) -> Row:
        lines = [f"{', '.join(columns)}: {reason}" for reason, columns in self.reasons.items()]
        status = "failed" if self.failure else "undefined" if lines else "ok"
        return self.values | {"status": status, "reason": "; ".join(filter(None, [self.failure, *lines]))}


def _score_stem(
    sheet: _Sheet,
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    profile: str,
    gain: float,
    workers: int | None,
) -> None:
    source = str(sheet.values["source"])
    if source not in estimates:
        raise BadInput(f"the separator gave no stem {source!r}")
    ref, est, _ = check_pair(references[source], estimates[source], sample_rate)
    paper, corrected = profile in ("paper", "all"), profile in ("corrected", "all")
    active = active_blocks(block_energies(ref, sample_rate))
    if active.any() and is_silent_where(est, active, sample_rate):
        # Nothing to correct for: the separator gave nothing. The paper's numbers exist all the same.
        sheet.fail("the estimate is silent wherever the reference is active")
        corrected = False

    if paper and corrected:
        released, equations = spauq_both(ref, est, sample_rate, reference_gain=gain, workers=workers)
        _fill_released(sheet, released)
        _fill_equations(sheet, equations)
    elif paper:
        _fill_released(sheet, spauq_released(ref, est, sample_rate, workers=workers))
    elif corrected:
        _fill_equations(sheet, spauq_equations(ref, est, sample_rate, reference_gain=gain, workers=workers))
    if paper:
        cues = paper_cues(ref, est, sample_rate)
        sheet.set("paper_diff_ITD", cues.d_itd_us, cues.itd_reason)
        sheet.set("paper_diff_ILD", cues.d_ild_db, cues.ild_reason)


def _fill_released(sheet: _Sheet, found: Released) -> None:
    sheet.set("paper_SSR", found.median_ssr)
    sheet.set("paper_SRR", found.median_srr)
    sheet.set("paper_cost", found.median_cost)
    sheet.set("paper_shift", found.median_shift.tolist())
    sheet.set("paper_scale", found.median_scale.tolist())
    # The paper takes the median over every frame; the corrected profile counts its own afterwards.
    sheet.set("valid_frames", len(found.ssr))
    sheet.set("total_frames", len(found.ssr))


def _fill_equations(sheet: _Sheet, found: Equations) -> None:
    silent = "reference and estimate are silent in every frame"
    sheet.set("SSR", found.median_ssr, silent)
    sheet.set("SRR", found.median_srr, silent)
    sheet.set("valid_frames", found.valid_frames)
    sheet.set("total_frames", found.total_frames)
