"""A metric is one entry of the registry, from which results, tables, reports and documentation read it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from binaural_metrics.registry import (
    Frames,
    Metric,
    Value,
    columns,
    markdown_table,
    metrics,
    register,
    registered,
    reported,
)
from binaural_metrics.scoring import score_track
from binaural_metrics.signals import FloatArray
from binaural_metrics.stem import Stem

FS = 8000
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def peak(stem: Stem) -> Value:
    frames = Frames.of(np.abs(stem.estimate[0, :3]), np.arange(3.0), "max")
    return Value(float(np.abs(stem.estimate).max()), frames=frames)


PEAK = Metric(
    "peak", peak, "Largest sample of the estimate.", better="lower", low=0, label="Peak", decimals=1
)


def track() -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal((1, 2 * FS)) + 0.03 * rng.standard_normal((2, 2 * FS))
    return {"vocals": x}, {"vocals": 0.5 * x}


def test_a_metric_is_scored_as_soon_as_it_is_registered() -> None:
    references, estimates = track()
    before = columns()
    with registered(PEAK):
        (row,), frames = score_track(references, estimates, FS, bsseval=False)
        assert row["peak"] == np.abs(estimates["vocals"]).max()
        assert tuple(row) == columns()
        assert set(columns()) - set(before) == {"peak"}
        assert list(frames["aggregate"][frames["metric"] == "peak"]) == ["max"] * 3
        assert "| `peak` | – | 0 … | – | Largest sample of the estimate. |" in markdown_table()
        (row,) = score_track(references, estimates, FS, metrics="paper")[0]
        assert row["peak"] is None
    assert columns() == before


def test_a_registered_metric_is_in_the_results_and_the_reports_of_runs(tmp_path: Path) -> None:
    report = pytest.importorskip("mssbench.report.metrics")
    results = pytest.importorskip("mssbench.runs.results")
    with registered(PEAK):
        rows = [row | {"title": "A"} for row in score_track(*track(), FS, bsseval=False)[0]]
        results.write_csv(tmp_path / "results.csv", rows, results.result_columns())
        with (tmp_path / "results.csv").open(newline="") as file:
            (stored,) = csv.DictReader(file)
        assert float(stored["peak"]) == rows[0]["peak"]
        (shown,) = (metric for metric in report.all_metrics() if metric.column == "peak")
        assert (shown.title, shown.better, shown.format(0.25)) == ("Peak", "lower", "0.2")
        assert shown in report.present(stored)


def test_a_missing_value_has_a_reason() -> None:
    absent = Metric("absent", lambda stem: Value(None, "nothing to measure"), "Never there.")
    with registered(absent):
        (row,) = score_track(*track(), FS, bsseval=False)[0]
    assert (row["status"], row["reason"]) == ("undefined", "absent: nothing to measure")


def test_an_invalid_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="already a column 'SSR'"):
        register(Metric("SSR", peak, ""))
    with pytest.raises(ValueError, match="already a column 'status'"):
        register(Metric("status", peak, ""))
    with pytest.raises(ValueError, match="expected corrected, paper or both"):
        register(Metric("peak", peak, "", sets=("best",)))


VERSION_0_1 = (
    "source", "SSR", "SRR", "d_itd_us", "d_ild_db", "d_ic", "azimuth_deg", "azimuth_error_deg", "level_db",
    "SI_SDR", "SDR", "ISR", "SIR", "SAR", "bsseval_frames", "paper_SSR", "paper_SRR", "paper_cost", "paper_shift",
    "paper_scale", "paper_diff_ITD", "paper_diff_ILD", "valid_frames", "total_frames", "status", "reason",
)  # fmt: skip


def test_columns_of_version_0_1_keep_their_names_and_order() -> None:
    assert tuple(column for column in columns() if column in VERSION_0_1) == VERSION_0_1


def test_reports_begin_with_the_share_that_stays_in_place() -> None:
    assert [metric.column for metric in reported()] == [
        "in_place", "missing", "cue_error_jnd", "silence_leak_db", "SSR", "SRR", "d_itd_us", "itd_moved", "itd_lag_ms",
        "d_ild_db", "d_ic", "azimuth_error_deg", "lateral_error_deg", "polar_error_deg", "front_back", "timbre_db",
        "level_db", "paper_SSR", "paper_SRR", "paper_diff_ITD", "paper2026_diff_ITD", "paper_diff_ILD", "SDR",
        "ISR", "SIR", "SAR", "SI_SDR",
    ]  # fmt: skip


def test_every_metric_has_a_text_and_a_range_that_includes_its_perfect_value() -> None:
    for metric in metrics():
        assert metric.text.endswith("."), metric.column
        if metric.perfect is not None:
            assert metric.low is None or metric.low <= metric.perfect, metric.column
            assert metric.high is None or metric.perfect <= metric.high, metric.column
        assert bool(metric.better) <= (metric.perfect is not None), metric.column


@pytest.mark.skipif(not DOCS.exists(), reason="not in the repository")
def test_the_documentation_has_the_table_of_the_registry() -> None:
    """`python -m binaural_metrics` prints the table."""
    assert markdown_table() in DOCS.read_text(encoding="utf-8")
