"""The public functions: `score` and the single metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray
from golden_signals import cases, pink

FS = 8000


@pytest.fixture
def pair() -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    reference = pink(rng, 1, 2 * FS) + 0.3 * pink(rng, 2, 2 * FS)
    return reference, 0.8 * reference + 0.1 * reference[::-1] + 0.05 * pink(rng, 2, 2 * FS)


def hrirs(rate: int = FS) -> bm.Hrirs:
    azimuths = np.array([0.0, 90.0, 270.0])
    irs = np.zeros((3, 2, 16))
    irs[0, :, 8] = irs[1, 0, 6] = irs[1, 1, 10] = irs[2, 0, 10] = irs[2, 1, 6] = 1.0
    return bm.Hrirs(azimuths, irs, rate)


@pytest.mark.parametrize("name", ["noise_10db_white", "hrir_itd_change", "crosstalk_noise_pink"])
def test_scores_equal_the_golden_values(name: str) -> None:
    golden = json.loads((Path(__file__).parent / "data" / "golden.json").read_text())[name]
    reference, estimate, rate = cases()[name]
    scores = bm.score(reference, estimate, rate, metrics="all", bsseval=False)
    assert scores["SSR"] == pytest.approx(golden["equations"]["median"]["SSR"], abs=1e-6)
    assert scores["paper_SSR"] == pytest.approx(golden["released"]["median"]["SSR"], abs=1e-6)
    assert scores["paper_diff_ITD"] == pytest.approx(golden["interaural"]["delta_itd_us"], abs=1e-6)
    assert bm.ssr(reference, estimate, rate) == scores["SSR"]
    assert bm.srr(reference, estimate, rate) == scores["SRR"]
    assert bm.paper_srr(reference, estimate, rate) == scores["paper_SRR"]


def test_single_metrics_are_the_values_of_score(pair: tuple[FloatArray, FloatArray]) -> None:
    scores = bm.score(*pair, FS, metrics="all", hrir=hrirs(), bsseval=False)
    single = {
        "in_place": bm.in_place, "SSR": bm.ssr, "SRR": bm.srr, "d_itd_us": bm.itd_difference,
        "d_ild_db": bm.ild_difference, "d_ic": bm.ic_difference, "level_db": bm.level_difference, "SI_SDR": bm.si_sdr,
        "paper_SSR": bm.paper_ssr, "paper_SRR": bm.paper_srr, "paper_diff_ITD": bm.paper_itd_difference,
        "paper_diff_ILD": bm.paper_ild_difference,
    }  # fmt: skip
    for column, function in single.items():
        assert function(*pair, FS) == scores[column], column
    azimuth = bm.azimuth_error(*pair, FS, hrirs())
    assert azimuth == scores["azimuth_error_deg"] or (
        np.isnan(azimuth) and scores["azimuth_error_deg"] is None
    )


def test_the_gain_of_the_mixture_multiplies_the_reference(pair: tuple[FloatArray, FloatArray]) -> None:
    reference, _ = pair
    assert bm.ssr(reference, 0.5 * reference, FS, mixture_gain=0.5) == 80
    assert bm.score(reference, 0.5 * reference, FS, mixture_gain=0.5)["level_db"] == pytest.approx(0)


def test_channels_may_be_the_first_or_the_last_axis(pair: tuple[FloatArray, FloatArray]) -> None:
    reference, estimate = pair
    expected = bm.score(reference, estimate, FS, bsseval=False).to_dict()
    last_axis: list[dict[str, Any]] = [{}, {"axis": 1}, {"axis": -1}]
    for options in last_axis:
        assert bm.score(reference.T, estimate.T, FS, bsseval=False, **options).to_dict() == expected
    assert bm.score(reference, estimate.T, FS, bsseval=False).to_dict() == expected
    references, estimates = (np.stack([x, x[::-1]]) for x in pair)
    several = bm.score(references, estimates, FS, bsseval=False)
    assert several.stems["0"] == expected
    turned = references.transpose(0, 2, 1), estimates.transpose(0, 2, 1)
    assert bm.score(*turned, FS, bsseval=False).to_dict() == several.to_dict()
    assert bm.score(*turned, FS, bsseval=False, axis=2).to_dict() == several.to_dict()


def test_several_stems_are_scored_as_a_track(pair: tuple[FloatArray, FloatArray]) -> None:
    reference, estimate = pair
    references = {"vocals": reference, "bass": reference[:, ::-1]}
    estimates = {"bass": 0.9 * reference[:, ::-1], "vocals": estimate}
    scores = bm.score(references, estimates, FS, metrics="all")
    rows = {row["source"]: row for row in score_track(references, estimates, FS)[0]}
    for stem, row in scores.stems.items():
        assert row == {column: rows[stem][column] for column in row}
    assert scores["SIR"] == {stem: row["SIR"] for stem, row in rows.items()}
    json.dumps(scores.to_dict(), allow_nan=False)


def test_metrics_that_were_not_computed_are_left_out(pair: tuple[FloatArray, FloatArray]) -> None:
    scores = bm.score(*pair, FS)
    assert {"SDR", "ISR"} < scores.to_dict().keys()
    assert not {"SIR", "SAR", "azimuth_deg", "paper_SSR", "source"} & scores.to_dict().keys()
    assert not set(scores.frames["metric"]) & {"SIR", "SAR"}
    with pytest.raises(KeyError):
        scores["SIR"]
    assert "azimuth_error_deg" in bm.score(*pair, FS, hrir=hrirs(), bsseval=False).to_dict()
    assert set(bm.score(*pair, FS, metrics="paper").to_dict()) == {
        "paper_SSR", "paper_SRR", "paper_cost", "paper_shift", "paper_scale", "paper_diff_ITD", "paper_diff_ILD",
        "paper2026_diff_ITD", "paper2026_ref_ITD", "paper2026_est_ITD", "valid_frames", "total_frames", "status",
        "reason",
    }  # fmt: skip


def test_results_convert_to_data_frames(pair: tuple[FloatArray, FloatArray]) -> None:
    pandas = pytest.importorskip("pandas")
    scores = bm.score({"vocals": pair[0]}, {"vocals": pair[1]}, FS)
    table = scores.to_pandas()
    assert list(table["source"]) == ["vocals"]
    assert table["SSR"][0] == scores["SSR"]["vocals"]
    frames = scores.frames_to_pandas()
    assert isinstance(frames, pandas.DataFrame)
    assert frames[frames["metric"] == "SSR"]["value"].median() == table["SSR"][0]


def test_a_metric_without_a_value_is_nan_and_score_has_the_reason(
    pair: tuple[FloatArray, FloatArray],
) -> None:
    reference, _ = pair
    one_ear = reference * [[1.0], [0.0]]
    assert np.isnan(bm.ild_difference(reference, one_ear, FS))
    scores = bm.score(reference, one_ear, FS)
    assert scores["d_ild_db"] is None
    assert "the estimate's right channel is silent" in scores["reason"]
    assert np.isnan(bm.ssr(reference, 0 * reference, FS))
    assert bm.score(reference, 0 * reference, FS)["status"] == "failed"


GOOD = np.random.default_rng(1).standard_normal((2, FS))
NAN = np.where(np.arange(FS) == 5, np.nan, GOOD)
BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "ambiguous": ((GOOD[:, :2], GOOD[:, :2], FS), {}, "axis=0 or axis=1"),
    "mono": ((GOOD[0], GOOD[0], FS), {}, "1 dimension"),
    "three channels": ((np.ones((3, FS)), np.ones((3, FS)), FS), {}, "expected two channels"),
    "wrong axis": ((GOOD, GOOD, FS), {"axis": 1}, "8000 channel"),
    "no such axis": ((GOOD, GOOD, FS), {"axis": 2}, "axis 2"),
    "four dimensions": ((GOOD[None, None], GOOD[None, None], FS), {}, "dimension"),
    "ragged": (([[1.0], [1.0, 2.0]], GOOD, FS), {}, "not an array"),
    "NaN": ((GOOD, NAN, FS), {}, "estimate holds samples that are NaN"),
    "integers": ((GOOD, (100 * GOOD).astype(np.int16), FS), {}, "int16"),
    "lengths": ((GOOD, GOOD[:, :-1], FS), {}, "7999 and 8000 samples"),
    "too short": ((GOOD[:, :-1], GOOD[:, :-1], FS), {}, "at least one second"),
    "empty": ((GOOD[:, :0], GOOD[:, :0], FS), {}, "no samples"),
    "sample rate": ((GOOD, GOOD, 0), {}, "sample rate 0"),
    "fractional rate": ((GOOD, GOOD, 8000.5), {}, "sample rate 8000.5"),
    "metrics": ((GOOD, GOOD, FS), {"metrics": "best"}, "corrected, paper, all"),
    "aggregate": ((GOOD, GOOD, FS), {"aggregate": "mode"}, "median, mean"),
    "gain": ((GOOD, GOOD, FS), {"mixture_gain": 0.0}, "mixture gain"),
    "gain text": ((GOOD, GOOD, FS), {"mixture_gain": "1"}, "mixture gain"),
    "workers": ((GOOD, GOOD, FS), {"workers": 0}, "workers 0"),
    "other stems": (({"a": GOOD}, {"b": GOOD}, FS), {}, "expected the same stems"),
    "stem and stems": ((GOOD, {"stem": GOOD}, FS), {}, "expected the same stems"),
    "no stem": (({}, {}, FS), {}, "at least one"),
    "hrir rate": ((GOOD, GOOD, FS), {"hrir": hrirs(44100)}, "HRIR set is at 44100 Hz"),
    "hrir": ((GOOD, GOOD, FS), {"hrir": "sphere"}, "not an HRIR set"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_raise_value_error(name: str) -> None:
    arguments, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        bm.score(*arguments, **options)


def test_bad_arguments_of_single_metrics_raise_value_error() -> None:
    for function in (bm.ssr, bm.si_sdr, bm.itd_difference, bm.paper_ssr):
        for reference, estimate in ((GOOD, NAN), (GOOD[:, :2], GOOD[:, :2]), (GOOD, GOOD[:, :-1])):
            with pytest.raises(ValueError):  # noqa: PT011  # the messages are those of `score`
                function(reference, estimate, FS)
    with pytest.raises(ValueError, match="expected one reference"):
        bm.ssr(np.stack([GOOD, GOOD]), np.stack([GOOD, GOOD]), FS)
    with pytest.raises(ValueError, match="not an HRIR set"):
        bm.azimuth_error(GOOD, GOOD, FS, None)  # type: ignore[arg-type]


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        bm.nothing  # noqa: B018
    assert {"score", "ssr", "Hrirs"} <= set(dir(bm))
