"""Effect of the mixture's gain on the SSR of the paper.

The paper's rendering divides the mixture by its peak and leaves the stems as they are. An estimate that is
perfect apart from that gain g has an SSR of −20·log10|g − 1|.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ..runs.records import Cell
from . import statistics
from .data import Counts, RunData
from .metrics import by_column


@dataclass(frozen=True)
class GainEffect:
    """How much of the paper's SSR is due to the mixture's gain, for one separator under one condition.

    Attributes
    ----------
    ceiling, paper, corrected : Estimate
        Median SSR in dB: of an estimate with no other error than the gain, by the paper's definition, and by
        the corrected definition.
    share : Estimate
        Median part of the distortion's energy that the gain explains, ``10^((paper − ceiling)/10)`` of each
        stem. It exceeds 1 where other changes offset the gain.
    """

    condition: str
    separator: str
    ceiling: statistics.Estimate
    paper: statistics.Estimate
    corrected: statistics.Estimate
    share: statistics.Estimate
    counts: Counts


def gain_effects(data: RunData) -> list[GainEffect]:
    """Return an entry per condition and separator; none where no mixture has a gain, or without the paper's SSR."""
    if "paper_SSR" not in data.values:
        return []
    found = []
    for condition, separator in itertools.product(data.conditions, data.separators):
        gains = [data.mixture_gain(Cell(condition, separator.name, title)) for title in data.titles]
        ceilings = [
            math.nan if gain is None or gain == 1.0 else -20 * math.log10(abs(gain - 1)) for gain in gains
        ]
        if all(math.isnan(ceiling) for ceiling in ceilings):
            continue
        paper = data.track_values("paper_SSR", condition, separator.name)
        corrected = (
            data.track_values("SSR", condition, separator.name)
            if "SSR" in data.values
            else np.full_like(paper, np.nan)
        )
        found.append(
            GainEffect(
                condition,
                separator.name,
                statistics.median(ceilings),
                statistics.median(paper),
                statistics.median(corrected),
                statistics.median(10 ** ((paper - np.array(ceilings)[:, np.newaxis]) / 10)),
                data.counts(by_column()["paper_SSR"], condition, separator.name),
            )
        )
    return found


def track_gains(data: RunData, condition: str) -> list[float]:
    """Return the mixture gain of each track that has one in any cell of the condition."""
    found: dict[str, float] = {}
    for cell in data.outcomes:
        gain = data.mixture_gain(cell)
        if cell.condition == condition and gain is not None:
            found.setdefault(cell.title, gain)
    return list(found.values())
