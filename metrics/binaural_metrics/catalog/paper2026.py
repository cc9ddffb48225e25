"""Time differences as the paper's authors compute them since 2026."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..registry import Metric, Value, error_metric, register

if TYPE_CHECKING:
    from ..stem import Stem


def _paper2026(name: str, stem: Stem) -> Value:
    return Value(getattr(stem.paper2026, name), stem.paper2026.reason)


register(
    error_metric(
        "paper2026_diff_ITD",
        partial(_paper2026, "d_itd_us"),
        "ΔITD as the paper's authors compute it since 2026: as `paper_diff_ITD`, but a stem called `bass` is "
        "correlated without whitening. For the other stems, the two agree but for rounding.",
        unit="µs",
        high=2000,
        sets=("paper",),
        label="ΔITD (paper, 2026)",
        group="paper",
        group_order=1,
        decimals=1,
    ),
    *(
        Metric(
            f"paper2026_{short}_ITD",
            partial(_paper2026, f"{signal}_us"),
            f"ITD of the {signal} behind `paper2026_diff_ITD`; positive where the left ear is later.",
            unit="µs",
            low=-1000,
            high=1000,
            sets=("paper",),
        )
        for short, signal in (("ref", "reference"), ("est", "estimate"))
    ),
)
