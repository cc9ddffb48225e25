"""Do the probes of a run score what they must? A bench that errs on known answers proves nothing on others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.config import RunConfig

if TYPE_CHECKING:
    from .analysis import Check

BSS_EVAL = ("SDR", "ISR", "SIR", "SAR")


class SelfCheckFailed(Exception):
    """A probe did not score what is known; the message names it, what was expected and what was measured."""


def self_check(run_dir: Path) -> int:
    """How many known scores of the run's probes were confirmed.

    A score that the run was not to compute (those of BSS Eval, where it is left out) is not asked for; one
    that has no value on any stem is a failure.

    Raises
    ------
    SelfCheckFailed
        One was not, or there was none to confirm.
    NotFound, BadInput
        `run_dir` is no run, or contradicts itself.
    """
    from .analysis import checks  # with the plotting library, which few commands need
    from .data import load

    data = load(run_dir)
    asked = [check for check in checks(data) if _computed(check.metric_column, data.record.config)]
    wrong = [check for check in asked if check.passed is not True]
    if wrong:
        more = f"; {len(wrong) - 1} more in the report" if len(wrong) > 1 else ""
        raise SelfCheckFailed(f"self-check: {_line(wrong[0])}{more}")
    if not asked:
        raise SelfCheckFailed("self-check: the run has no probe with a known score")
    return len(asked)


def _line(check: Check) -> str:
    expected = " to ".join(f"{limit:.6g}" for limit in (check.low, check.high) if limit is not None)
    if check.low is None or check.high is None:
        expected = f"at {'least' if check.high is None else 'most'} {expected}"
    found = "nothing"
    if not math.isnan(check.measured_low):
        found = f"{check.measured_low:.6g} to {check.measured_high:.6g}"
    note = f" ({check.note})" if check.note else ""
    what = f"{check.probe}, {check.condition}, {check.metric_column}"
    return f"{what}: expected {expected}, measured {found}{note}"


def _computed(column: str, config: RunConfig) -> bool:
    if column.startswith("paper_"):
        return config.metrics in ("all", "paper")
    return config.metrics != "paper" and (config.bsseval or column not in BSS_EVAL)
