"""Every metric that a report can show, in one table: what it is called, its unit, which way is better.

To add one, add a line to `METRICS`. A run shows those that its rows have; nothing else needs to change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

DASH = "–"


@dataclass(frozen=True)
class Metric:
    """One column of the results.

    Attributes
    ----------
    column : str
        Name in the results.
    label : str
        Short name for a person.
    unit : str
        Empty for a pure number.
    better : str
        ``higher``, ``lower``, or empty where neither is.
    profile : str
        ``corrected``, ``paper`` or ``standard``.
    description : str
        One sentence.
    decimals : int
    role : str
        What question it answers, for `headline`; metrics of one role are alternatives.
    condition : str
        The only condition in which it means something; empty for all.
    """

    column: str
    label: str
    unit: str
    better: Literal["higher", "lower", ""]
    profile: str
    description: str
    decimals: int = 2
    role: str = ""
    condition: str = ""

    @property
    def title(self) -> str:
        """Label with unit, as on an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def format(self, value: float | None) -> str:
        """For a table: a real minus sign, no "-0", and a dash instead of NaN."""
        if value is None or math.isnan(value):
            return DASH
        rounded = round(value, self.decimals) + 0.0  # −0.0 + 0.0 is 0.0
        return f"{rounded:.{self.decimals}f}".replace("-", "−")

    def is_worse(self, value: float, other: float) -> bool:
        return value < other if self.better == "higher" else value > other


METRICS = (
    Metric(
        "SSR",
        "SSR",
        "dB",
        "higher",
        "corrected",
        "Signal to spatial distortion: energy of the reference over the change that gains and delays of its "
        "two channels make (SPAUQ, by its equations). 80 dB is no change.",
        role="spatial",
    ),
    Metric(
        "SRR",
        "SRR",
        "dB",
        "higher",
        "corrected",
        "Signal to residual distortion: energy that gains and delays explain over what they do not: "
        "interference, artefacts, noise (SPAUQ, by its equations).",
        role="residual",
    ),
    Metric(
        "d_itd_us",
        "ΔITD",
        "µs",
        "lower",
        "corrected",
        "Error of the interaural time difference, 100–1500 Hz, weighted by energy and coherence.",
        1,
        role="itd",
    ),
    Metric(
        "d_ild_db",
        "ΔILD",
        "dB",
        "lower",
        "corrected",
        "Error of the interaural level difference, mean over ERB-spaced bands from 200 Hz to 16 kHz.",
        role="ild",
    ),
    Metric(
        "d_ic", "ΔIC", "", "lower", "corrected", "Error of the interaural coherence over the same bands.", 3
    ),
    Metric(
        "azimuth_error_deg",
        "Azimuth error",
        "°",
        "lower",
        "corrected",
        "Distance between the azimuths at which the HRIR set places estimate and reference; binaural only.",
        1,
        condition="binaural",
    ),
    Metric(
        "level_db",
        "Level",
        "dB",
        "",
        "corrected",
        "Fitted level of the estimate against the reference; 0 is kept. A diagnostic, not a score.",
    ),
    Metric(
        "paper_SSR",
        "SSR (paper)",
        "dB",
        "higher",
        "paper",
        "SSR as the paper computed it: the released SPAUQ against references at their own level. It cannot "
        "see swapped channels or a collapse to mono.",
        role="spatial",
    ),
    Metric(
        "paper_SRR",
        "SRR (paper)",
        "dB",
        "higher",
        "paper",
        "SRR as the paper computed it: the released SPAUQ. A pure delay counts as residual.",
        role="residual",
    ),
    Metric(
        "paper_diff_ITD",
        "ΔITD (paper)",
        "µs",
        "lower",
        "paper",
        "ΔITD as the paper computed it: GCC-PHAT in whole samples (22.7 µs), unreliable for bass.",
        1,
        role="itd",
    ),
    Metric(
        "paper_diff_ILD",
        "ΔILD (paper)",
        "dB",
        "lower",
        "paper",
        "ΔILD as the paper computed it: one broadband level difference for the whole track.",
        role="ild",
    ),
    Metric("SDR", "SDR", "dB", "higher", "standard", "BSS Eval v4: signal to distortion."),
    Metric("ISR", "ISR", "dB", "higher", "standard", "BSS Eval v4: image to spatial distortion."),
    Metric("SIR", "SIR", "dB", "higher", "standard", "BSS Eval v4: signal to interference."),
    Metric("SAR", "SAR", "dB", "higher", "standard", "BSS Eval v4: signal to artefacts."),
    Metric("SI_SDR", "SI-SDR", "dB", "higher", "standard", "Scale-invariant SDR, one scale for both ears."),
)

ROLES = ("spatial", "residual", "itd", "ild")
"""The four questions of the paper's tables, in their order."""

ITD_LIMIT_US = 50.0
"""ΔITD above this is reported as a share of tracks; well above what listeners tell apart from the front."""


BY_COLUMN = {metric.column: metric for metric in METRICS}


def present(columns: Iterable[str]) -> list[Metric]:
    """The metrics among `columns`, in the order of the registry."""
    there = set(columns)
    return [metric for metric in METRICS if metric.column in there]


def headline(metrics: Iterable[Metric]) -> list[Metric]:
    """One metric per role: the corrected one where the run has it, else the paper's."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        if metric.role:
            found.setdefault(metric.role, metric)
    return [found[role] for role in ROLES if role in found]


def paper_columns(metrics: Iterable[Metric]) -> list[Metric]:
    """The paper's four, as far as the run has them, in the order of `ROLES`."""
    found = {metric.role: metric for metric in metrics if metric.profile == "paper"}
    return [found[role] for role in ROLES if role in found]
