"""Place and leakage: what a listener is expected to hear."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..hrir import Cue
from ..place import TOLERANCE_JND
from ..registry import Frames, Metric, Value, error_metric, register
from ..signals import InputError
from ..silence import LIMIT_DB, silence_leak

if TYPE_CHECKING:
    from ..stem import Stem


def _value(cue: Cue) -> Value:
    if not len(cue.frames):
        return Value(cue.value, cue.reason)
    frames = Frames.of(cue.frames, cue.start_s, "weighted mean", weights=cue.weights, total=cue.total)
    return Value(cue.value, cue.reason, frames)


def _bands(stem: Stem) -> Value:
    return Value(stem.place.bands or None, stem.place.in_place[TOLERANCE_JND].reason)


def _silence_leak(stem: Stem) -> Value | None:
    assert stem.track is not None
    mixture, gain = stem.track.mixture
    if not mixture:
        return None
    try:
        found = silence_leak(stem.reference, stem.estimate, mixture, stem.sample_rate, mixture_gain=gain)
    except InputError:  # another stem is unusable (its own row has the reason), so the mixture is unknown
        return None
    return None if found is None else Value(found)


_share = partial(Metric, unit="%", better="higher", low=0, high=100, perfect=100)

register(
    _share(
        "in_place",
        lambda stem: _value(stem.place.in_place[TOLERANCE_JND]),
        "Share of the sound that is still heard where it was: loudness of the bands and moments whose interaural "
        "differences are within two just-noticeable differences (JND) of the reference's.",
        label="In place",
        decimals=1,
        role="place",
    ),
    _share(
        "in_place_1jnd",
        lambda stem: _value(stem.place.in_place[1]),
        "The same within one JND.",
    ),
    _share(
        "in_place_4jnd",
        lambda stem: _value(stem.place.in_place[4]),
        "The same within four JND.",
    ),
    Metric(
        "in_place_bands",
        _bands,
        "`in_place` by band: [centre in Hz, `in_place` in %, share of the loudness in %].",
        matrix=True,
    ),
    error_metric(
        "missing",
        lambda stem: _value(stem.place.missing),
        "Share of the sound that the estimate lacks: loudness of the bands and moments in which it is more than 60 dB "
        "below the reference. They are not part of `in_place`.",
        unit="%",
        high=100,
        label="Missing",
        decimals=1,
    ),
    error_metric(
        "cue_error_jnd",
        lambda stem: _value(stem.place.cue_error_jnd),
        "Median error of the interaural differences in JND, weighted by loudness.",
        unit="JND",
        high=40,
        label="Cue error",
    ),
    Metric(
        "silence_leak_db",
        _silence_leak,
        "Level of the estimate relative to the mixture where the reference is silent; empty if it never is.",
        unit="dB",
        better="lower",
        low=-LIMIT_DB,
        high=LIMIT_DB,
        perfect=-LIMIT_DB,
        label="Silence leak",
        decimals=1,
        whole_track=True,
    ),
)
