"""One row per stem with all selected values, or None and a reason; an unusable stem does not affect other rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from binaural_metrics import InputError
from binaural_metrics.bsseval import bss_eval
from binaural_metrics.cues import Hrirs, interaural_cues
from binaural_metrics.interaural import paper_cues
from binaural_metrics.level import level
from binaural_metrics.registry import columns
from binaural_metrics.registry import metrics as all_metrics
from binaural_metrics.scoring import Row, score_track
from binaural_metrics.signals import FloatArray
from binaural_metrics.spauq import spauq_equations, spauq_released
from golden_signals import extreme, pink

FS = 4000
STEMS = ("vocals", "drums", "bass", "other")
PAPER = [c for c in columns() if c.startswith("paper_")]
AZIMUTH = ["azimuth_deg", "azimuth_error_deg"]
BSSEVAL = ["SDR", "ISR", "SIR", "SAR", "bsseval_frames"]
NEW = [
    "in_place",
    "missing",
    "cue_error_jnd",
    "itd_moved",
    "timbre_db",
    "lateral_error_deg",
    "paper2026_diff_ITD",
]
CORRECTED = ["SSR", "SRR", "d_itd_us", "d_ild_db", "d_ic", "level_db", "SI_SDR"]


def track(seconds: int = 3) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    rng = np.random.default_rng(1)
    references = {stem: pink(rng, 1, seconds * FS) + 0.3 * pink(rng, 2, seconds * FS) for stem in STEMS}
    estimates = {stem: 0.9 * x + 0.2 * pink(rng, 2, seconds * FS) for stem, x in references.items()}
    return references, estimates


def score(
    references: dict[str, FloatArray],
    estimates: dict[str, FloatArray],
    *,
    bsseval: bool = False,
    **options: Any,
) -> dict[str, Row]:
    """Rows by stem, by default without BSS Eval, which is slow (4096 equations per track)."""
    rows = score_track(references, estimates, FS, bsseval=bsseval, **options)[0]
    json.dumps(rows, allow_nan=False)  # every table must be valid JSON
    return {row["source"]: row for row in rows}


def assert_same(row: Row, expected: Row) -> None:
    """Equal, except for rounding errors of numbers."""
    assert list(row) == list(expected)
    for column, value in expected.items():
        if isinstance(value, float | list):
            np.testing.assert_allclose(row[column], value, rtol=1e-7, atol=1e-7, err_msg=column)
        else:
            assert row[column] == value, column


def test_rows_have_all_columns_in_the_order_of_the_references() -> None:
    references, estimates = track()
    rows = score_track(dict(reversed(references.items())), estimates, FS, bsseval=False)[0]
    assert [row["source"] for row in rows] == list(reversed(STEMS))
    assert all(tuple(row) == columns() for row in rows)
    assert all(row["status"] == "ok" and row["reason"] == "" for row in rows)


def test_values_equal_those_of_the_single_metrics() -> None:
    references, estimates = track()
    row = score(references, estimates, bsseval=True)["drums"]
    reference, estimate = references["drums"], estimates["drums"]
    released, equations = spauq_released(reference, estimate, FS), spauq_equations(reference, estimate, FS)
    paper = paper_cues(reference, estimate, FS)
    assert row["SSR"] == pytest.approx(equations.median_ssr, abs=1e-9)
    assert row["SRR"] == pytest.approx(equations.median_srr, abs=1e-9)
    assert row["paper_SSR"] == pytest.approx(released.median_ssr, abs=1e-9)
    assert row["paper_SRR"] == pytest.approx(released.median_srr, abs=1e-9)
    assert row["paper_cost"] == pytest.approx(np.median(released.cost))
    assert row["paper_shift"] == np.median(released.shift, axis=0).tolist()
    np.testing.assert_allclose(row["paper_scale"], np.median(released.scale, axis=0))
    assert (row["paper_diff_ITD"], row["paper_diff_ILD"]) == (paper.d_itd_us, paper.d_ild_db)
    assert (row["valid_frames"], row["total_frames"]) == (5, 5)
    cues, fitted = interaural_cues(reference, estimate, FS), level(reference, estimate, FS)
    assert row["d_itd_us"] == pytest.approx(cues.d_itd_us.value)
    assert row["d_ild_db"] == pytest.approx(cues.d_ild_db.value)
    assert row["d_ic"] == pytest.approx(cues.d_ic.value)
    assert (row["level_db"], row["SI_SDR"]) == pytest.approx((fitted.level_db, fitted.si_sdr_db))
    bss = np.median(bss_eval(references, estimates, FS).values[:, 1], axis=1)
    assert [row[ratio] for ratio in ("SDR", "ISR", "SIR", "SAR")] == pytest.approx(bss.tolist())
    assert row["bsseval_frames"] == 3


def test_a_metric_set_that_was_not_selected_is_empty_without_a_reason() -> None:
    everything = score(*track())["bass"]
    for metrics, absent, present in [("paper", CORRECTED, PAPER), ("corrected", PAPER, CORRECTED)]:
        row = score(*track(), metrics=metrics)["bass"]
        assert row["status"] == "ok"
        assert row["reason"] == ""
        assert all(row[column] is None for column in absent)
        found, expected = ([v for c in present for v in np.ravel(r[c])] for r in (row, everything))
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
        assert row["valid_frames"] == 5


def test_the_mixture_gain_applies_only_to_the_corrected_metrics() -> None:
    references, _ = track()
    estimates = {stem: 1.333 * x for stem, x in references.items()}
    as_stored, at_gain = (
        score(references, estimates)["vocals"],
        score(references, estimates, mixture_gain=1.333)["vocals"],
    )
    assert (at_gain["SSR"], at_gain["SRR"]) == (80, 80)
    assert (
        as_stored["SSR"]
        == pytest.approx(at_gain["paper_SSR"])
        == pytest.approx(-20 * math.log10(0.333), abs=1e-6)
    )


BROKEN: dict[str, tuple[Callable[[FloatArray], npt.NDArray[Any]], str]] = {
    "NaN": (
        lambda x: np.where(np.arange(x.shape[1]) == 50, np.nan, x),
        "estimate holds samples that are NaN or infinite",
    ),
    "infinite": (lambda x: np.where(np.arange(x.shape[1]) == 50, np.inf, x), "NaN or infinite"),
    "mono": (lambda x: x[:1], "estimate has 1 channel(s)"),
    "empty": (lambda x: x[:, :0], "estimate holds no samples"),
    "short": (lambda x: x[:, : FS - 1], "3999 samples (1.000 s) and the reference 12000 (3.000 s)"),
    "integer": (lambda x: (x * 1000).astype(np.int32), "estimate holds int32 samples"),
    "silent": (lambda x: 0 * x, "the estimate is silent wherever the reference is active"),
    "offset": (lambda x: 0 * x + 0.1, "the estimate is silent wherever the reference is active"),
}


@pytest.mark.parametrize("metrics", ["paper", "corrected", "all"])
@pytest.mark.parametrize("kind", BROKEN)
def test_an_unusable_stem_fails_alone(kind: str, metrics: str) -> None:
    references, estimates = track()
    intact = score(references, estimates, metrics=metrics)
    breaking, reason = BROKEN[kind]
    estimates["drums"] = breaking(estimates["drums"])
    rows = score(references, estimates, metrics=metrics)
    assert rows["drums"]["status"] == "failed"
    assert reason in rows["drums"]["reason"]
    assert all(rows["drums"][column] is None for column in CORRECTED)
    for stem in STEMS:
        if stem != "drums":
            assert_same(rows[stem], intact[stem])


def test_a_silent_estimate_fails_and_keeps_the_paper_metrics() -> None:
    references, estimates = track()
    estimates["vocals"] = np.zeros_like(estimates["vocals"])
    row = score(references, estimates)["vocals"]
    assert (row["paper_SSR"], row["paper_SRR"], row["paper_cost"]) == (pytest.approx(0, abs=1e-9), 0, 0)
    assert row["paper_diff_ITD"] is row["paper_diff_ILD"] is None
    assert "paper_diff_ITD, paper_diff_ILD: the estimate's left and right channel is silent" in row["reason"]


def test_a_missing_stem_fails_alone_and_an_extra_one_is_ignored() -> None:
    references, estimates = track()
    estimates["piano"] = estimates.pop("bass")
    rows = score(references, estimates)
    assert list(rows) == list(STEMS)
    assert (rows["bass"]["status"], rows["bass"]["reason"]) == (
        "failed",
        "the separator returned no stem 'bass'",
    )
    assert {rows[stem]["status"] for stem in STEMS if stem != "bass"} == {"ok"}


def test_a_broken_reference_fails_its_own_stem() -> None:
    references, estimates = track()
    references["other"] = np.full_like(references["other"], np.nan)
    rows = score(references, estimates)
    assert rows["other"]["status"] == "failed"
    assert "reference holds samples that are NaN" in rows["other"]["reason"]
    assert rows["bass"]["status"] == "ok"


def test_bsseval_is_undefined_without_all_references_and_names_the_missing_one() -> None:
    references, estimates = track(1)
    references["other"] = np.zeros_like(references["other"])
    rows = score(references, estimates, bsseval=True)
    assert rows["bass"]["SDR"] is None
    assert rows["bass"]["status"] == "undefined"
    assert "SDR, ISR, SIR, SAR: the reference 'other' is silent throughout" in rows["bass"]["reason"]
    references["other"] = np.full_like(references["other"], np.nan)
    rows = score(references, estimates, bsseval=True)
    assert "SDR, ISR, SIR, SAR: reference 'other' holds samples that are NaN" in rows["bass"]["reason"]


def test_bsseval_scores_the_stems_that_did_not_fail() -> None:
    references, estimates = track(2)
    whole = score(references, estimates, bsseval=True)
    del estimates["drums"]
    estimates["other"] = np.full_like(estimates["other"], np.nan)
    rows = score(references, estimates, bsseval=True)
    for stem in ("vocals", "bass"):
        assert_same(rows[stem], whole[stem])
    assert all(rows["drums"][column] is None for column in BSSEVAL)
    assert all(rows["other"][column] is None for column in BSSEVAL)


def test_a_row_says_whether_the_equations_of_bsseval_were_regularised() -> None:
    source = pink(np.random.default_rng(2), 1, FS)
    ears = {"a": np.vstack([source, 0.5 * source]), "b": pink(np.random.default_rng(3), 2, FS)}
    rows = score(ears, ears, bsseval=True)
    assert rows["a"]["bsseval_regularised"] == rows["b"]["bsseval_regularised"] == 1
    independent = {"b": ears["b"], "c": 0.1 * np.random.default_rng(4).standard_normal((2, FS))}
    rows = score(independent, independent, bsseval=True)
    assert rows["b"]["bsseval_regularised"] == 0
    assert score(ears, ears)["a"]["bsseval_regularised"] is None


def test_bsseval_skips_windows_with_a_silent_stem_and_counts_the_others() -> None:
    references, estimates = track()
    references["bass"][:, FS : 2 * FS] = 0
    rows = score(references, estimates, bsseval=True)
    assert {row["bsseval_frames"] for row in rows.values()} == {2}


def test_a_stem_silent_in_reference_and_estimate_is_undefined_not_failed() -> None:
    references, estimates = track()
    references["vocals"] = estimates["vocals"] = np.zeros((2, 3 * FS))
    row = score(references, estimates)["vocals"]
    assert row["status"] == "undefined"
    assert row["SSR"] is row["SRR"] is None
    assert (row["valid_frames"], row["total_frames"]) == (0, 5)
    assert "SSR, SRR: reference and estimate are silent in every frame" in row["reason"]


def test_a_silent_channel_makes_interaural_metrics_undefined() -> None:
    references, estimates = track()
    estimates["other"] = estimates["other"] * [[1.0], [0.0]]
    row = score(references, estimates)["other"]
    assert row["status"] == "undefined"
    assert row["SSR"] is not None
    assert (
        "paper_diff_ITD, paper_diff_ILD, d_itd_us, itd_moved, d_ild_db, d_ild_db_flat, d_ic: "
        "the estimate's right channel is silent" in row["reason"]
    )


def test_signals_are_trimmed_to_the_shorter_length() -> None:
    references, estimates = track()
    longer = {stem: np.pad(x, ((0, 0), (0, 177))) for stem, x in estimates.items()}
    for stem, row in score(references, longer).items():
        assert "are compared" in row["reason"]
        assert_same(row | {"reason": ""}, score(references, estimates)[stem])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(metrics="best"), "unknown metrics 'best'; expected one of corrected, paper, all"),
        (dict(aggregate="mode"), "unknown aggregation 'mode'; expected one of median, mean"),
        (dict(mixture_gain=0.0), "mixture gain"),
        (dict(sample_rate=-1), "sample rate -1"),
        (dict(references={}), "no reference stem"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    references, estimates = track(1)
    defaults: dict[str, Any] = {"references": references, "estimates": estimates, "sample_rate": FS}
    with pytest.raises(InputError, match=message):
        score_track(**defaults | arguments)


# ------------------------------------------------------------------------------- frames and aggregation


@pytest.mark.parametrize("aggregate", ["median", "mean"])
def test_the_value_of_a_track_is_the_aggregate_of_its_counted_frames(aggregate: str) -> None:
    references, estimates = track(4)
    references["bass"][:, : 2 * FS] = estimates["bass"][:, : 2 * FS] = 0
    rows, frames = score_track(references, estimates, FS, aggregate=aggregate)
    assert {len(column) for column in frames.values()} == {len(frames["value"])}
    for row in rows:
        for metric in ("SSR", "SRR", "paper_SSR", "paper_SRR", "paper_cost", "SDR", "ISR", "SIR", "SAR"):
            mine = (frames["source"] == row["source"]) & (frames["metric"] == metric)
            values = frames["value"][mine & frames["counted"].astype(bool)]
            assert getattr(np, aggregate)(values) == pytest.approx(row[metric]), metric
        for metric in ("d_ild_db", "d_ic", "d_itd_us"):
            mine = (frames["source"] == row["source"]) & (frames["metric"] == metric)
            values, weights = frames["value"][mine], frames["weight"][mine]
            assert len(values)
            assert (weights > 0).all()
            if aggregate == "mean" or metric == "d_ic":
                expected = np.average(values, weights=weights) if aggregate == "mean" else np.median(values)
                assert abs(expected) == pytest.approx(row[metric]), metric
    bass = {row["source"]: row for row in rows}["bass"]
    counted = frames["counted"][(frames["source"] == "bass") & (frames["metric"] == "SSR")]
    assert (int(counted.sum()), len(counted)) == (bass["valid_frames"], bass["total_frames"]) == (4, 7)


def test_frames_have_their_start_time() -> None:
    _, frames = score_track(*track(2), FS)
    start = {
        metric: frames["start_s"][(frames["source"] == "drums") & (frames["metric"] == metric)].tolist()
        for metric in ("SSR", "paper_SRR", "d_ic", "SDR")
    }
    assert start == {"SSR": [0, 0.5, 1], "paper_SRR": [0, 0.5, 1], "d_ic": [0, 0.5, 1], "SDR": [0, 1]}


def test_only_binaural_tracks_with_an_hrir_set_have_an_azimuth() -> None:
    references, estimates = track(1)
    delays = np.array([-2, 0, 2])
    irs = np.zeros((3, 2, 9))
    irs[np.arange(3), 0, 4 - delays] = irs[np.arange(3), 1, 4 + delays] = 1
    hrir = Hrirs(np.array([300.0, 0.0, 60.0]), irs, FS)
    source = references["bass"][:1]
    references["bass"] = np.vstack(
        [source, np.roll(source, 4)]
    )  # the right ear is later: an azimuth of 60 degrees
    estimates["bass"] = references["bass"][::-1]
    row = score(references, estimates, hrir=hrir)["bass"]
    assert (row["azimuth_deg"], row["azimuth_error_deg"]) == (300, 120)
    without: list[dict[str, Any]] = [{"hrir": hrir, "binaural": False}, {}]
    for options in without:
        row = score(references, estimates, **options)["bass"]
        assert all(row[column] is None for column in AZIMUTH)
        assert "azimuth" not in row["reason"]
    with pytest.raises(InputError, match="HRIR set is at 48000 Hz; expected the track's 4000 Hz"):
        score(references, estimates, hrir=Hrirs(hrir.azimuths, irs, 48000))


RATE = 8000
NOISE = pink(np.random.default_rng(2), 2, RATE) + 0.3 * pink(np.random.default_rng(3), 1, RATE)
EXTREME = extreme(NOISE, RATE)
LIMITS = {
    metric.column: (
        -np.inf if metric.low is None else metric.low,
        np.inf if metric.high is None else metric.high,
    )
    for metric in all_metrics()
}


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_signals_give_a_value_or_a_reason_in_every_column(name: str) -> None:
    """Each also as an estimate of another stem; a warning would fail the test."""
    irs = np.zeros((4, 2, 9))
    irs[:, :, 4] = [[1.0, 1.0], [1.0, 0.5], [0.9, 0.9], [0.5, 1.0]]
    x = EXTREME[name]
    for other in (x, NOISE, EXTREME["click"], EXTREME["silence"]):
        references = {"vocals": x, "bass": NOISE[:, : x.shape[1]]}
        rows, frames = score_track(
            references,
            {"vocals": other[:, : x.shape[1]], "bass": x},
            RATE,
            hrir=Hrirs(np.array([0.0, 90.0, 180.0, 270.0]), irs, RATE),
            dry={stem: signal[0] for stem, signal in references.items()},
            moving=["bass"],
            bsseval=other is NOISE,
        )
        json.dumps(rows, allow_nan=False)
        assert np.isfinite(frames["value"][frames["counted"].astype(bool)].astype(float)).all()
        for row in rows:
            assert row["status"] in ("ok", "undefined", "failed")
            assert (row["status"] != "ok") <= bool(row["reason"])
            named = row["reason"].replace(":", " ").replace(",", " ").split()
            for column, (low, high) in LIMITS.items():
                assert not isinstance(row[column], float) or low <= row[column] <= high, column
            # A stem that has failed has one reason for all its columns.
            for column in () if row["status"] == "failed" else (*NEW, *CORRECTED):
                assert row[column] is not None or column in named, (column, row["reason"])
