"""A metric that is registered needs no second edit: it is in every table, in the report and in its summary."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from binaural_metrics.registry import Metric, Value, registered
from mssbench.execution.inline import run_inline
from mssbench.execution.launch import finish
from mssbench.execution.prepare import prepare
from mssbench.report import paper_figures
from mssbench.runs.config import RunConfig
from mssbench.services.runtime import make_runtime
from mssbench_service.files import read_json


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_metric_is_in_every_table_and_the_report_as_soon_as_it_is_registered(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_figures, "save_for_paper", lambda *_: [])  # it takes most of the time
    pd = pytest.importorskip("pandas")
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    peak = Metric("peak", lambda stem: Value(float(stem.estimate.max())), "Largest sample.", label="Peak")
    config = RunConfig("music", separators=["oracle-mixture"], conditions=["stereo"], tracks=1, bsseval=False)
    with registered(peak):
        run = prepare(config, make_runtime(workspace), run_id="mine")
        run_inline(run, lambda: None)
        finish(run, audio=False)
    report = run.store.folder / "report"
    found = [float(row["peak"]) for row in rows(run.store.layout.results_csv)]
    assert len(found) == 4
    assert min(found) > 0.0
    assert [float(row["peak"]) for row in rows(report / "results.csv")] == found
    assert pd.read_parquet(report / "results.parquet")["peak"].tolist() == found
    shown = read_json(report / "summary.json")
    jsonschema.validate(shown, read_json(report / "summary.schema.json"))
    assert "peak" in [metric["column"] for metric in shown["metrics"]]
    assert "Largest sample." in (report / "index.html").read_text(encoding="utf-8")
