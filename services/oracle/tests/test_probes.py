"""The known scores of the probes, computed by binaural-metrics on difficult signals."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from binaural_metrics.registry import columns
from binaural_metrics.scoring import Row, score_track
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.separation import ReferenceSeparator
from mssbench_service.wire import Expectation
from oracle_service import SEPARATORS
from oracle_service.probes import GAIN, LIMIT

FS = 44_100
SAMPLES = int(3.2 * FS)
PROBES = {name: make() for name, make in SEPARATORS.items() if make().expected}
TIME = np.arange(SAMPLES) / FS
Signal = npt.NDArray[np.float64]


def noise(seed: int) -> Signal:
    return 0.1 * np.random.default_rng(seed).standard_normal(SAMPLES)


def binaural(mono: Signal, delay: int, left: float = 1.0, right: float = 0.6) -> FloatArray:
    """A source on the left: the signal of the right ear is delayed by `delay` samples, and softer."""
    delayed = np.concatenate([np.zeros(delay), mono[: len(mono) - delay]])
    return np.stack([left * mono, right * delayed]).astype(np.float32)


def plucked(low: float) -> Signal:
    """A bass line: a new note with harmonics every 0.4 s."""
    pitch = low * np.array([1, 4 / 3, 3 / 2, 1, 9 / 8, 1, 4 / 3, 1])
    since = TIME % 0.4
    phase = 2 * np.pi * pitch[(TIME // 0.4).astype(int) % 8] * since
    harmonics = sum(np.sin(k * phase) * k**-1.6 for k in range(1, 9))
    return np.asarray(0.3 * np.exp(-4 * since) * harmonics)


def hits() -> Signal:
    since = TIME % 0.5
    return np.asarray(np.exp(-30 * since) * (0.5 * np.sin(2 * np.pi * 55 * since) + 2 * noise(3)))


def gated(mono: Signal) -> Signal:
    """Set to digital silence from 1.0 s to 2.2 s: two of six frames are silent, others partly."""
    return np.where((TIME >= 1.0) & (TIME < 2.2), 0.0, mono)


BINAURAL = {
    "vocals": binaural(noise(1), 29),  # left ear 0.66 ms earlier
    "bass": binaural(plucked(41.2), 13),
    "drums": binaural(gated(hits()), 4, 0.7, 1.0),
    "other": binaural(3e-2 * noise(2), 0, 1.0, 1.0),  # at 0° and −50 dB: both ears the same
}
STEREO = {
    "vocals": np.stack([noise(1), noise(1)]).astype(np.float32),  # in the centre
    "bass": np.stack([plucked(41.2), 0.4 * plucked(41.2)]).astype(np.float32),  # panned by amplitude
    "drums": np.stack([hits(), np.zeros(SAMPLES)]).astype(np.float32),  # on one side
    "other": np.stack([noise(2), -noise(2)]).astype(
        np.float32
    ),  # opposite polarity: the worst case of a swap
}
DATA = {"binaural": BINAURAL, "stereo": STEREO}


@cache
def scores(probe: str, condition: str) -> list[Row]:
    separator = PROBES[probe]
    assert isinstance(separator, ReferenceSeparator)
    stems = DATA[condition]
    mixture = np.sum(list(stems.values()), axis=0)
    estimates = separator.separate_with(mixture, stems, FS)
    return score_track(stems, estimates, FS, binaural=condition == "binaural", workers=1)[0]


CASES = [
    pytest.param(probe, condition, expected, id=f"{probe}-{condition}-{expected.column}")
    for probe, separator in PROBES.items()
    for expected in separator.expected
    for condition in DATA
    if expected.condition in ("", condition)
]


@pytest.mark.parametrize(("probe", "condition", "expected"), CASES)
def test_known_scores_hold(probe: str, condition: str, expected: Expectation) -> None:
    for row in scores(probe, condition):
        value = row.get(expected.column)
        centred = row["source"] in ("drums", "other")  # the delays of their ears are below those of 20°
        if value is None or (expected.off_centre_deg and centred):
            continue  # the metric has no value for such a stem
        assert isinstance(value, float)
        assert expected.low is None or value >= expected.low, row
        assert expected.high is None or value <= expected.high, row


def test_known_scores_have_values() -> None:
    for condition in DATA:
        for row in scores("oracle-identity", condition):
            assert row["SSR"] == row["SRR"] == LIMIT
        for row in scores("oracle-gain", condition):
            assert row["SSR"] == pytest.approx(-20 * math.log10(abs(GAIN - 1)), abs=1e-6)
    assert all(isinstance(row["paper_SSR"], float) for row in scores("oracle-swap", "binaural"))
    leaks = [row["silence_leak_db"] for row in scores("oracle-leak", "binaural")]
    assert leaks == [None, None, pytest.approx(-20, abs=1e-4), None], "only the drums pause"


def test_only_the_corrected_metrics_detect_a_swap_and_a_collapse_to_mono() -> None:
    for probe in ("oracle-swap", "oracle-mono"):
        vocals = scores(probe, "binaural")[0]
        identity = scores("oracle-identity", "binaural")[0]
        assert vocals["paper_SSR"] == pytest.approx(identity["paper_SSR"], abs=0.01)
        assert isinstance(vocals["SSR"], float)
        assert vocals["SSR"] < 10
        assert identity["SSR"] == LIMIT


def test_opposite_polarity_reaches_the_lower_bound_of_a_swap() -> None:
    row = scores("oracle-swap", "stereo")[3]
    assert row["SSR"] == pytest.approx(-20 * math.log10(2), abs=1e-6)


def test_low_tones_are_the_worst_case_of_the_delay() -> None:
    probe = PROBES["oracle-delay"]
    assert isinstance(probe, ReferenceSeparator)
    tone = np.stack([0.3 * np.sin(2 * np.pi * 12.3 * TIME)] * 2).astype(np.float32)
    estimate = probe.separate_with(tone, {"bass": tone}, FS)
    srr = score_track({"bass": tone}, estimate, FS, metrics="corrected", workers=1)[0][0]["SRR"]
    assert isinstance(srr, float)
    assert 30 < srr < 45


def test_the_released_spauq_fails_on_the_excluded_signals() -> None:
    """The two limits in the docstring of the probes. If this fails, more scores can be expected."""
    mostly_silent = np.where(TIME > 2.8, BINAURAL["vocals"], 0).astype(np.float32)
    soft = binaural(1e-3 * noise(2), 0, 1.0, 1.0)  # 0°, −80 dB
    for stem in (mostly_silent, soft):
        row = score_track({"bass": stem}, {"bass": stem}, FS, metrics="all", workers=1)[0][0]
        assert row["SSR"] == LIMIT
        assert isinstance(row["paper_SSR"], float)
        assert row["paper_SSR"] < 20


def test_probes_match_their_definitions() -> None:
    stem = BINAURAL["vocals"]
    made = {}
    for name, probe in PROBES.items():
        assert isinstance(probe, ReferenceSeparator)
        before = stem.copy()
        made[name] = probe.separate_with(stem, dict.fromkeys(STEMS, stem), FS)["bass"]
        assert (stem == before).all()
        assert made[name].dtype == np.float32
    assert (made["oracle-identity"] == stem).all()
    assert (made["oracle-gain"] == np.float32(0.5) * stem).all()
    assert (made["oracle-swap"] == stem[::-1]).all()
    assert (made["oracle-mono"][0] == made["oracle-mono"][1]).all()
    np.testing.assert_allclose(made["oracle-mono"][0], stem.mean(axis=0), atol=1e-8)
    assert not made["oracle-delay"][:, :22].any()
    assert (made["oracle-delay"][:, 22:] == stem[:, :-22]).all()
    assert (made["oracle-leak"] == np.float32(0.1) * stem).all()


def test_mono_does_not_overflow() -> None:
    loud = np.full((2, 10), 3e38, np.float32)
    probe = PROBES["oracle-mono"]
    assert isinstance(probe, ReferenceSeparator)
    assert (probe.separate_with(loud, {"bass": loud}, FS)["bass"] == loud).all()


def test_every_expectation_has_a_reason_a_column_and_a_range() -> None:
    for probe in PROBES.values():
        for expected in probe.expected:
            assert expected.why
            assert expected.column
            assert expected.condition in ("", "stereo", "binaural")
            assert expected.low is not None
            assert expected.high is not None
            assert expected.low < expected.high
    assert {"SSR", "SRR", "paper_SSR"} <= set(columns())
