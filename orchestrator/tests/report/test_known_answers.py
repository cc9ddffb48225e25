"""Known-answer tests: the demo fails if a known score is not measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from mssbench import cli
from mssbench.datasets import demo
from mssbench.execution import launch
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.report.known_answers import SelfCheckFailed, self_check
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell
from mssbench.runs.run import Run
from mssbench.services.runtime import make_runtime
from mssbench_service.files import read_json, write_json
from oracle_service.probes import Gain


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of ``mssbench …`` in this process."""
    monkeypatch.setattr(sys, "argv", ["mssbench", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def short_demo(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo with one short track and without the report."""
    write = demo.write_demo
    monkeypatch.setattr(launch, "finish", lambda run, **options: None)
    monkeypatch.setattr(demo, "write_demo", lambda out: write(out, tracks=1, seconds=2.0))


@pytest.mark.usefixtures("short_demo")
def test_the_demo_confirms_the_known_scores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "demo", "--inline") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1].startswith("report: ")
    assert "scores of the known-answer tests confirmed" in captured.err


@pytest.mark.usefixtures("short_demo")
def test_a_wrong_score_fails_the_demo_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Gain, "distort", lambda self, signal, sample_rate: signal * np.float32(0.25))
    assert command(monkeypatch, "demo", "--inline") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mssbench: ")]
    assert len(lines) == 1
    assert (
        "self-check: oracle-gain, stereo, SSR: expected 6.0106 to 6.0306, measured 2.49877 to 2.4" in lines[0]
    )


@pytest.fixture
def run(workspace: Path) -> Run:
    runtime = make_runtime(workspace)
    config = RunConfig(
        dataset="music", tracks=1, separators=["oracle-swap"], conditions=["stereo"], bsseval=False
    )
    job = prepare(config, runtime)
    run_inline(job, lambda: None)
    return job


def change(run: Run, **values: object) -> None:
    cell = Cell("stereo", "oracle-swap", run.record.tracks[0].title)
    path = run.store.layout.cell(cell) / "result.json"
    result = read_json(path)
    for row in result["rows"]:
        row.update(values)
    write_json(path, result)


def test_known_scores_are_counted(run: Run) -> None:
    # SSR, SRR and d_ic; the known scores of the paper's metrics are binaural.
    assert self_check(run.store.folder) == "3 of 3 scores of the known-answer tests confirmed, 0 failed"


def test_a_missing_score_is_a_failure(run: Run) -> None:
    change(run, SRR=None, status="undefined", reason="SRR: missing")
    with pytest.raises(
        SelfCheckFailed, match=r"oracle-swap, stereo, SRR: expected 79.99 to 80.01, measured nothing"
    ):
        self_check(run.store.folder)


def test_a_probe_that_failed_is_a_failure(run: Run) -> None:
    change(run, SSR=None, SRR=None, d_ic=None, status="failed", reason="broken")
    with pytest.raises(SelfCheckFailed, match=r"4 failed.*2 more in the report"):
        self_check(run.store.folder)


def test_a_run_without_known_answer_tests_fails_the_self_check(workspace: Path) -> None:
    config = RunConfig(
        dataset="music", tracks=1, separators=["oracle-mixture"], conditions=["stereo"], bsseval=False
    )
    job = prepare(config, make_runtime(workspace))
    run_inline(job, lambda: None)
    with pytest.raises(SelfCheckFailed, match="no probe"):
        self_check(job.store.folder)


def test_known_scores_of_a_run_with_a_composite_target_are_those_of_the_stems(workspace: Path) -> None:
    runtime = make_runtime(workspace)
    targets = ["vocals", "bass", "accompaniment"]
    config = RunConfig(
        dataset="music", tracks=1, separators=["oracle-gain"], conditions=["binaural"], targets=targets, bsseval=False
    )  # fmt: skip
    made = prepare(config, runtime)
    run_inline(made, lambda: None)
    assert re.match(r"[1-9]\d* of \d+ .* 0 failed", self_check(made.store.folder))
