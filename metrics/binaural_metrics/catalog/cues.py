"""Interaural cues, of the paper and corrected."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..registry import Frames, Metric, Value, error_metric, register

if TYPE_CHECKING:
    from ..stem import Stem

# ------------------------------------------------------------------------------------- interaural cues, paper


register(
    error_metric(
        "paper_diff_ITD",
        lambda stem: Value(stem.paper_cues.d_itd_us, stem.paper_cues.itd_reason),
        "ΔITD as the paper computed it: GCC-PHAT in whole samples (22.7 µs), unreliable for bass.",
        unit="µs",
        high=2000,
        sets=("paper",),
        label="ΔITD (paper)",
        group="paper",
        decimals=1,
        role="itd",
        paper_table="itd_ild",
        paper_name="diff_ITD",
    ),
    error_metric(
        "paper_diff_ILD",
        lambda stem: Value(stem.paper_cues.d_ild_db, stem.paper_cues.ild_reason),
        "ΔILD as the paper computed it: one broadband level difference for the whole track.",
        unit="dB",
        sets=("paper",),
        label="ΔILD (paper)",
        group="paper",
        role="ild",
        group_order=2,
        paper_table="itd_ild",
        paper_name="diff_ILD",
    ),
)

# --------------------------------------------------------------------------------- interaural cues, corrected


def _cue(name: str, how: str, stem: Stem) -> Value:
    """`how` describes how the value is computed from frames; {} is the aggregation."""
    cue = getattr(stem.cues, name)
    how_here = how.format(stem.options.aggregate)
    frames = Frames.of(cue.frames, cue.start_s, how_here, weights=cue.weights, total=cue.total)
    return Value(cue.value, cue.reason, frames)


def _lag(stem: Stem) -> Value | None:
    if stem.source not in stem.options.moving:
        return None
    return Value(stem.cues.itd_lag_ms.value, stem.cues.itd_lag_ms.reason)


def _azimuth(name: str, stem: Stem) -> Value | None:
    if stem.options.hrir is None:
        return None
    cue = getattr(stem.cues, name)
    return Value(cue.value, cue.reason)


register(
    error_metric(
        "d_itd_us",
        partial(_cue, "d_itd_us", "difference of the signals' weighted {}s"),
        "Error of the interaural time difference, 100–1500 Hz, weighted by energy and coherence.",
        unit="µs",
        high=2000,
        label="ΔITD",
        decimals=1,
        role="itd",
    ),
    error_metric(
        "itd_moved",
        partial(_cue, "itd_moved", "weighted mean"),
        "Share of the frames, weighted as for `d_itd_us`, whose time difference is off by more than 100 µs.",
        unit="%",
        high=100,
        label="ITD moved",
        decimals=1,
    ),
    Metric(
        "itd_lag_ms",
        _lag,
        "Time by which the interaural time difference of the estimate follows the reference's, of moving sources only; "
        "positive where the estimate is late.",
        unit="ms",
        low=-1000,
        high=1000,
        perfect=0,
        label="ITD lag",
        decimals=1,
        binaural_only=True,
        option="moving",
    ),
    error_metric(
        "d_ild_db",
        partial(_cue, "d_ild_db", "weighted {}"),
        "Error of the interaural level difference, mean over the audible ERB-spaced bands from 200 Hz to 16 kHz, "
        "weighted by loudness.",
        unit="dB",
        high=120,
        label="ΔILD",
        role="ild",
    ),
    error_metric(
        "d_ild_db_flat",
        partial(_cue, "d_ild_db_flat", "weighted {}"),
        "`d_ild_db` as earlier versions computed it: all bands have equal weight, and leakage in inaudible bands "
        "counts. It will be removed.",
        unit="dB",
        high=120,
    ),
    error_metric(
        "d_ic",
        partial(_cue, "d_ic", "{}"),
        "Error of the interaural coherence over the same bands.",
        high=2,
        label="ΔIC",
        decimals=3,
    ),
    Metric(
        "azimuth_deg",
        partial(_azimuth, "azimuth_deg"),
        "Direction of the estimate by the HRIR set; binaural only.",
        unit="°",
        low=0,
        high=360,
        binaural_only=True,
        needs_hrir=True,
    ),
    error_metric(
        "azimuth_error_deg",
        partial(_azimuth, "azimuth_error_deg"),
        "Distance between the frontal azimuths at which the HRIR set places estimate and reference: the error of the "
        "lateral angle, also of elevated sources; binaural only.",
        unit="°",
        high=180,
        label="Azimuth error",
        decimals=1,
        binaural_only=True,
        needs_hrir=True,
    ),
)
