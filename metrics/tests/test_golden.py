"""Every frame has the golden values that came with the specification: to 1e-6 dB, lags and ITD exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden_signals
import numpy as np
import pytest
from binaural_metrics.interaural import ild_db, itd_us, paper_cues
from binaural_metrics.place import place
from binaural_metrics.spauq import spauq_both, spauq_equations, spauq_released

Signals = dict[str, tuple[golden_signals.FloatArray, golden_signals.FloatArray, int]]
Case = tuple[Any, ...]
GOLDEN = json.loads((Path(__file__).parent / "data" / "golden.json").read_text())


@pytest.fixture(scope="module")
def signals() -> Signals:
    return golden_signals.cases()


@pytest.fixture(params=GOLDEN)
def case(request: pytest.FixtureRequest, signals: Signals) -> Case:
    return GOLDEN[request.param], *signals[request.param]


def close(value: Any, golden: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(value, golden, rtol=0, atol=tolerance)


def test_released_equals_the_golden_values(case: Case) -> None:
    golden, *signals = case
    golden, found = golden["released"], spauq_released(*signals)
    close(found.ssr, golden["SSR"])
    close(found.srr, golden["SRR"])
    close(found.cost, golden["cost"])
    close(found.scale, golden["scale"])
    assert found.shift.tolist() == golden["shift"]
    median = golden["median"]
    close(found.median_ssr, median["SSR"])
    close(found.median_srr, median["SRR"])
    close(np.median(found.cost), median["cost"])
    close(np.median(found.scale, axis=0), median["scale"])
    assert np.median(found.shift, axis=0).tolist() == median["shift"]


def test_equations_equal_the_golden_values(case: Case) -> None:
    golden, *signals = case
    golden, found = golden["equations"], spauq_equations(*signals)
    close(found.ssr, golden["SSR"])
    close(found.srr, golden["SRR"])
    close(found.gains, golden["gains"])
    assert found.delays.tolist() == golden["delays"]
    # The golden medians are over all frames. Those of the corrected metrics exclude frames that are silent in both.
    close(np.median(found.ssr), golden["median"]["SSR"])
    close(np.median(found.srr), golden["median"]["SRR"])


def test_both_at_once_equal_the_golden_values(case: Case) -> None:
    golden, *signals = case
    released, equations = spauq_both(*signals)
    close(released.ssr, golden["released"]["SSR"])
    close(released.srr, golden["released"]["SRR"])
    assert released.shift.tolist() == golden["released"]["shift"]
    close(equations.ssr, golden["equations"]["SSR"])
    close(equations.srr, golden["equations"]["SRR"])
    assert equations.delays.tolist() == golden["equations"]["delays"]


def test_frames_silent_in_both_signals_are_not_in_the_corrected_median(signals: Signals) -> None:
    found = spauq_equations(*signals["silent_both_middle"])
    assert found.valid.tolist() == [True, True, False, False, True, True]
    assert (found.valid_frames, found.total_frames) == (4, 6)
    close(found.median_ssr, 20.0)
    close(found.median_srr, 80.0)


def test_paper_cues_equal_the_golden_values(case: Case) -> None:
    golden, reference, estimate, fs = case
    golden, found = golden["interaural"], paper_cues(reference, estimate, fs)
    if "undefined" in golden:
        assert found.d_itd_us is found.d_ild_db is None
        assert found.itd_reason
        assert found.ild_reason
    elif golden["delta_ild_db"] == "inf":
        # With a silent channel, the released ITD is an artefact and the released ILD infinite. Here they are None.
        assert found.d_itd_us is found.d_ild_db is None
        assert found.itd_reason == found.ild_reason == "the reference's right channel is silent"
    else:
        assert found.d_itd_us == pytest.approx(golden["delta_itd_us"], rel=1e-12)
        close(found.d_ild_db, golden["delta_ild_db"], 1e-9)
        assert itd_us(reference, fs) == pytest.approx(golden["itd_ref_us"], rel=1e-12)
        close(ild_db(reference), golden["ild_ref_db"], 1e-9)


def test_the_share_in_place_equals_the_golden_values(case: Case) -> None:
    golden, *signals = case
    found = place(*signals)
    values = [cue.value for cue in (found.in_place[2], found.missing, found.cue_error_jnd)]
    for value, expected in zip(values, golden["in_place"].values(), strict=True):
        assert (value is None) == (expected is None)
        if value is not None:
            close(value, expected, 1e-5)
