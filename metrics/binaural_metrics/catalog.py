"""The metrics of this package: one entry each, in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .registry import Frames, Metric, Value, register
from .signals import Float64, aggregate_frames

if TYPE_CHECKING:
    from .stem import Stem

_BOTH = ("corrected", "paper")
_SILENT = "reference and estimate are silent in every frame"

# ------------------------------------------------------------------------------------- SPAUQ, as released


def _released(name: str) -> Callable[[Stem], Value]:
    def compute(stem: Stem) -> Value:
        values: Float64 = getattr(stem.released, name)
        aggregate = stem.options.aggregate
        frames = Frames.of(values, stem.spauq_starts(len(values)), aggregate)
        return Value(aggregate_frames(values, aggregate), frames=frames)

    return compute


def _released_matrix(name: str) -> Callable[[Stem], Value]:
    def compute(stem: Stem) -> Value:
        aggregate = np.median if stem.options.aggregate == "median" else np.mean
        return Value(aggregate(getattr(stem.released, name), axis=0).tolist())

    return compute


register(
    Metric(
        "paper_SSR",
        _released("ssr"),
        "SSR as the paper computed it: the released SPAUQ against references at their own level. It does not "
        "detect swapped channels or a collapse to mono.",
        unit="dB",
        better="higher",
        low=-80,
        high=80,
        perfect=80,
        sets=("paper",),
        label="SSR (paper)",
        group="paper",
        role="spatial",
        paper_table="spauq",
        paper_name="SSR",
    ),
    Metric(
        "paper_SRR",
        _released("srr"),
        "SRR as the paper computed it: the released SPAUQ. A pure delay counts as residual.",
        unit="dB",
        better="higher",
        low=-80,
        high=80,
        perfect=80,
        sets=("paper",),
        label="SRR (paper)",
        group="paper",
        role="residual",
        paper_table="spauq",
        paper_name="SRR",
    ),
    Metric(
        "paper_cost",
        _released("cost"),
        "Norm of the residual of the released SPAUQ.",
        low=0,
        perfect=0,
        sets=("paper",),
        paper_table="spauq",
        paper_name="cost",
    ),
    Metric(
        "paper_shift",
        _released_matrix("shift"),
        "Lags of the released SPAUQ, [reference channel][estimate channel]; negative where the estimate is late.",
        unit="samples",
        sets=("paper",),
        paper_table="spauq",
        paper_name="shift",
        matrix=True,
    ),
    Metric(
        "paper_scale",
        _released_matrix("scale"),
        "Gains of the released SPAUQ, [estimate channel][reference channel].",
        sets=("paper",),
        paper_table="spauq",
        paper_name="scale",
        matrix=True,
    ),
)

# ---------------------------------------------------------------------------------- SPAUQ, by its equations


def _equations(name: str) -> Callable[[Stem], Value]:
    def compute(stem: Stem) -> Value:
        found, aggregate = stem.equations, stem.options.aggregate
        values: Float64 = getattr(found, name)
        total = stem.total_frames
        frames = Frames.of(
            values, stem.spauq_starts(len(values)), aggregate, counted=found.valid, total=total
        )
        if not found.valid_frames:
            return Value(None, _SILENT, frames)
        return Value(aggregate_frames(values[found.valid], aggregate), frames=frames)

    return compute


def _valid_frames(stem: Stem) -> Value:
    # The paper's median is over all frames. Where both sets are computed, the corrected metrics' count is kept.
    return Value(stem.equations.valid_frames if "corrected" in stem.sets else len(stem.released.ssr))


def _total_frames(stem: Stem) -> Value:
    return Value(stem.total_frames)


register(
    Metric(
        "SSR",
        _equations("ssr"),
        "Signal to spatial distortion: energy of the reference over the change that gains and delays of its "
        "two channels make (SPAUQ, by its equations). 80 dB is no change.",
        unit="dB",
        better="higher",
        low=-80,
        high=80,
        perfect=80,
        label="SSR",
        role="spatial",
    ),
    Metric(
        "SRR",
        _equations("srr"),
        "Signal to residual distortion: energy that gains and delays explain over what they do not: "
        "interference, artefacts, noise (SPAUQ, by its equations).",
        unit="dB",
        better="higher",
        low=-80,
        high=80,
        perfect=80,
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
)
register(Metric("total_frames", _total_frames, "All frames of `SSR` and `SRR`.", low=0, sets=_BOTH))

# ------------------------------------------------------------------------------------- interaural cues, paper


def _paper_itd(stem: Stem) -> Value:
    return Value(stem.paper_cues.d_itd_us, stem.paper_cues.itd_reason)


def _paper_ild(stem: Stem) -> Value:
    return Value(stem.paper_cues.d_ild_db, stem.paper_cues.ild_reason)


register(
    Metric(
        "paper_diff_ITD",
        _paper_itd,
        "ΔITD as the paper computed it: GCC-PHAT in whole samples (22.7 µs), unreliable for bass.",
        unit="µs",
        better="lower",
        low=0,
        high=2000,
        perfect=0,
        sets=("paper",),
        label="ΔITD (paper)",
        group="paper",
        decimals=1,
        role="itd",
        paper_table="itd_ild",
        paper_name="diff_ITD",
    ),
    Metric(
        "paper_diff_ILD",
        _paper_ild,
        "ΔILD as the paper computed it: one broadband level difference for the whole track.",
        unit="dB",
        better="lower",
        low=0,
        perfect=0,
        sets=("paper",),
        label="ΔILD (paper)",
        group="paper",
        role="ild",
        paper_table="itd_ild",
        paper_name="diff_ILD",
    ),
)

# --------------------------------------------------------------------------------- interaural cues, corrected


def _cue(name: str, how: str) -> Callable[[Stem], Value]:
    """`how` describes how the value is computed from frames; {} is the aggregation."""

    def compute(stem: Stem) -> Value:
        cue = getattr(stem.cues, name)
        how_here = how.format(stem.options.aggregate)
        frames = Frames.of(cue.frames, cue.start_s, how_here, weights=cue.weights, total=cue.total)
        return Value(cue.value, cue.reason, frames)

    return compute


def _azimuth(name: str) -> Callable[[Stem], Value | None]:
    def compute(stem: Stem) -> Value | None:
        if stem.options.hrir is None:
            return None
        cue = getattr(stem.cues, name)
        return Value(cue.value, cue.reason)

    return compute


register(
    Metric(
        "d_itd_us",
        _cue("d_itd_us", "difference of the signals' weighted {}s"),
        "Error of the interaural time difference, 100–1500 Hz, weighted by energy and coherence.",
        unit="µs",
        better="lower",
        low=0,
        high=2000,
        perfect=0,
        label="ΔITD",
        decimals=1,
        role="itd",
    ),
    Metric(
        "d_ild_db",
        _cue("d_ild_db", "weighted {}"),
        "Error of the interaural level difference, mean over ERB-spaced bands from 200 Hz to 16 kHz.",
        unit="dB",
        better="lower",
        low=0,
        high=120,
        perfect=0,
        label="ΔILD",
        role="ild",
    ),
    Metric(
        "d_ic",
        _cue("d_ic", "{}"),
        "Error of the interaural coherence over the same bands.",
        better="lower",
        low=0,
        high=2,
        perfect=0,
        label="ΔIC",
        decimals=3,
    ),
    Metric(
        "azimuth_deg",
        _azimuth("azimuth_deg"),
        "Direction of the estimate by the HRIR set; binaural only.",
        unit="°",
        low=0,
        high=360,
        binaural_only=True,
    ),
    Metric(
        "azimuth_error_deg",
        _azimuth("azimuth_error_deg"),
        "Distance between the azimuths at which the HRIR set places estimate and reference; binaural only.",
        unit="°",
        better="lower",
        low=0,
        high=180,
        perfect=0,
        label="Azimuth error",
        decimals=1,
        binaural_only=True,
    ),
)

# ------------------------------------------------------------------------------------------------- level


def _level(stem: Stem) -> Value:
    return Value(stem.level.level_db, stem.level.level_reason)


def _si_sdr(stem: Stem) -> Value:
    return Value(stem.level.si_sdr_db, stem.level.si_sdr_reason)


register(
    Metric(
        "level_db",
        _level,
        "Fitted level of the estimate against the reference; 0 is kept. A diagnostic, not a score.",
        unit="dB",
        perfect=0,
        label="Level",
    ),
    Metric(
        "SI_SDR",
        _si_sdr,
        "Scale-invariant SDR, one scale for both ears.",
        unit="dB",
        better="higher",
        low=-100,
        high=100,
        perfect=100,
        label="SI-SDR",
        group="standard",
        group_order=1,
    ),
)

# ---------------------------------------------------------------------------------------------- BSS Eval


def _bsseval(ratio: int) -> Callable[[Stem], Value]:
    def compute(stem: Stem) -> Value:
        assert stem.track is not None
        found, reason = stem.track.bsseval
        if found is None or not found.valid.any():
            return Value(None, reason)
        values = found.values[ratio, list(stem.track.references).index(stem.source)][found.valid]
        aggregate = stem.options.aggregate
        frames = Frames.of(
            values, np.flatnonzero(found.valid).astype(float), aggregate, total=len(found.valid)
        )
        return Value(aggregate_frames(values, aggregate), frames=frames)

    return compute


def _bsseval_frames(stem: Stem) -> Value:
    assert stem.track is not None
    found, _ = stem.track.bsseval
    return Value(0 if found is None else int(found.valid.sum()))


for _ratio, (_column, _meaning) in enumerate(
    {
        "SDR": "signal to distortion",
        "ISR": "image to spatial distortion",
        "SIR": "signal to interference",
        "SAR": "signal to artefacts",
    }.items()
):
    register(
        Metric(
            _column,
            _bsseval(_ratio),
            f"BSS Eval v4: {_meaning}.",
            unit="dB",
            better="higher",
            low=-100,
            high=100,
            perfect=100,
            label=_column,
            group="standard",
            whole_track=True,
            several_stems=_column in ("SIR", "SAR"),
            option="bsseval",
        )
    )
register(
    Metric(
        "bsseval_frames",
        _bsseval_frames,
        "Windows of 1 s behind the metrics of BSS Eval.",
        low=0,
        whole_track=True,
        option="bsseval",
    )
)
