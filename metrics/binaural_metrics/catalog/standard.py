"""Level, SI-SDR and BSS Eval."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..registry import Frames, Metric, Value, register
from ..signals import aggregate_frames

if TYPE_CHECKING:
    from ..stem import Stem

# ------------------------------------------------------------------------------------------------- level


register(
    Metric(
        "level_db",
        lambda stem: Value(stem.level.level_db, stem.level.level_reason),
        "Fitted level of the estimate against the reference; 0 is kept. A diagnostic, not a score.",
        unit="dB",
        perfect=0,
        label="Level",
    ),
    Metric(
        "SI_SDR",
        lambda stem: Value(stem.level.si_sdr_db, stem.level.si_sdr_reason),
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


def _bsseval(ratio: int, stem: Stem) -> Value:
    assert stem.track is not None
    found, reason = stem.track.bsseval
    if found is None or not found.valid.any():
        return Value(None, reason)
    values = found.values[ratio, list(stem.track.references).index(stem.source)][found.valid]
    aggregate = stem.options.aggregate
    frames = Frames.of(values, np.flatnonzero(found.valid).astype(float), aggregate, total=len(found.valid))
    return Value(aggregate_frames(values, aggregate), frames=frames)


def _bsseval_regularised(stem: Stem) -> Value | None:
    assert stem.track is not None
    found, _ = stem.track.bsseval
    return None if found is None else Value(int(found.regularised))


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
            partial(_bsseval, _ratio),
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
register(
    Metric(
        "bsseval_regularised",
        _bsseval_regularised,
        "1 if the equations of BSS Eval were nearly singular and were regularised (float32 binaural stems), else 0. If "
        "they were, ISR, SIR and SAR differ from museval's.",
        low=0,
        high=1,
        whole_track=True,
        option="bsseval",
    )
)
