"""SPAUQ, as released and by its equations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..registry import Frames, Metric, Value, register
from ..signals import Float64, aggregate_frames

if TYPE_CHECKING:
    from ..stem import Stem

_BOTH = ("corrected", "paper")
_SILENT = "reference and estimate are silent in every frame"
_ratio = partial(Metric, unit="dB", better="higher", low=-80, high=80, perfect=80)

# ------------------------------------------------------------------------------------- SPAUQ, as released


def _released(name: str, stem: Stem) -> Value:
    values: Float64 = getattr(stem.released, name)
    aggregate = stem.options.aggregate
    frames = Frames.of(values, stem.spauq_starts(len(values)), aggregate)
    return Value(aggregate_frames(values, aggregate), frames=frames)


def _released_matrix(name: str, stem: Stem) -> Value:
    aggregate = np.median if stem.options.aggregate == "median" else np.mean
    return Value(aggregate(getattr(stem.released, name), axis=0).tolist())


register(
    _ratio(
        "paper_SSR",
        partial(_released, "ssr"),
        "SSR as the paper computed it: the released SPAUQ against references at their own level. It does not "
        "detect swapped channels or a collapse to mono.",
        sets=("paper",),
        label="SSR (paper)",
        group="paper",
        role="spatial",
        paper_table="spauq",
        paper_name="SSR",
    ),
    _ratio(
        "paper_SRR",
        partial(_released, "srr"),
        "SRR as the paper computed it: the released SPAUQ. A pure delay counts as residual.",
        sets=("paper",),
        label="SRR (paper)",
        group="paper",
        role="residual",
        paper_table="spauq",
        paper_name="SRR",
    ),
    Metric(
        "paper_cost",
        partial(_released, "cost"),
        "Norm of the residual of the released SPAUQ.",
        low=0,
        perfect=0,
        sets=("paper",),
        paper_table="spauq",
        paper_name="cost",
    ),
    Metric(
        "paper_shift",
        partial(_released_matrix, "shift"),
        "Lags of the released SPAUQ, [reference channel][estimate channel]; negative where the estimate is late.",
        unit="samples",
        sets=("paper",),
        paper_table="spauq",
        paper_name="shift",
        matrix=True,
    ),
    Metric(
        "paper_scale",
        partial(_released_matrix, "scale"),
        "Gains of the released SPAUQ, [estimate channel][reference channel].",
        sets=("paper",),
        paper_table="spauq",
        paper_name="scale",
        matrix=True,
    ),
)

# ---------------------------------------------------------------------------------- SPAUQ, by its equations


def _equations(name: str, stem: Stem) -> Value:
    found, aggregate = stem.equations, stem.options.aggregate
    values: Float64 = getattr(found, name)
    total = stem.total_frames
    frames = Frames.of(values, stem.spauq_starts(len(values)), aggregate, counted=found.valid, total=total)
    if not found.valid_frames:
        return Value(None, _SILENT, frames)
    return Value(aggregate_frames(values[found.valid], aggregate), frames=frames)


def _valid_frames(stem: Stem) -> Value:
    # The paper's median is over all frames. Where both sets are computed, the corrected metrics' count is kept.
    return Value(stem.equations.valid_frames if "corrected" in stem.sets else len(stem.released.ssr))


register(
    _ratio(
        "SSR",
        partial(_equations, "ssr"),
        "Signal to spatial distortion: energy of the reference over the change that gains and delays of its "
        "two channels make (SPAUQ, by its equations). 80 dB is no change.",
        label="SSR",
        role="spatial",
    ),
    _ratio(
        "SRR",
        partial(_equations, "srr"),
        "Signal to residual distortion: energy that gains and delays explain over what they do not: "
        "interference, artefacts, noise (SPAUQ, by its equations).",
        label="SRR",
        role="residual",
    ),
    Metric(
        "valid_frames",
        _valid_frames,
        "Frames behind `SSR` and `SRR`. The others are silent in both signals.",
        low=0,
        sets=_BOTH,
    ),
    Metric(
        "total_frames",
        lambda stem: Value(stem.total_frames),
        "All frames of `SSR` and `SRR`.",
        low=0,
        sets=_BOTH,
    ),
)
