"""The main job as a user runs it: the real command, real queues, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command, killed_when
from comparing import assert_equal_tables, read_table
from mssbench.runs.records import Cell
from mssbench.runs.store import RunStore
from mssbench_contract.server import wait_for

RUN = ["run", "--dataset", "music", "--separators", "oracle-identity,oracle-irm"]
SMALL = [*RUN, "--no-bsseval", "--tracks", "1"]
"""Four cells; each is scored in a fraction of a second."""

without_report = pytest.mark.usefixtures("without_report")


def only_run(workspace: Path) -> Path:
    runs = sorted((workspace / "runs").iterdir())
    assert len(runs) == 1
    return runs[0]


def test_a_run_ends_with_the_path_of_its_report_and_a_row_for_every_stem(workspace: Path) -> None:
    command = [sys.executable, "-m", "mssbench", *RUN, "--tracks", "1", "--inline"]
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = only_run(workspace)
    assert done.stdout.splitlines()[-1] == f"report: runs/{folder.name}/report/index.html"
    assert (folder / "report/index.html").read_text(encoding="utf-8").count("oracle-irm") > 0
    table = read_table(folder / "results.csv")
    assert len(table) == 2 * 2 * 4
    assert {row["status"] for row in table.values()} <= {"ok", "undefined"}
    for (condition, separator, *_), row in table.items():
        assert row["SSR"], row
        if separator == "oracle-identity":
            assert float(row["SSR"]) == pytest.approx(80.0, abs=1e-6), condition
            assert float(row["SRR"]) == pytest.approx(80.0, abs=1e-6), condition


@without_report
def test_through_redis_and_workers_the_results_are_those_of_one_process(
    mssbench: Command, workspace: Path
) -> None:
    inline = mssbench(*RUN, "--no-bsseval", "--inline", "--run-id", "inline")
    queued = mssbench(*RUN, "--no-bsseval", "--run-id", "queued")
    assert (inline.returncode, queued.returncode) == (0, 0), inline.stderr + queued.stderr
    assert_equal_tables(workspace / "runs/inline/results.csv", workspace / "runs/queued/results.csv")
    wait_for(lambda: no_process_mentions(str(workspace)), "no worker and no Redis outlives the run")


@without_report
@pytest.mark.parametrize("mode", [["--inline"], []], ids=["inline", "queued"])
def test_a_run_killed_at_any_moment_is_completed_by_the_same_command(
    mssbench: Command, workspace: Path, mode: list[str]
) -> None:
    undisturbed = mssbench(*SMALL, "--inline", "--run-id", "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    kept = max(kill_after(cells, workspace, mode) for cells in (0, 2))
    assert kept > 0, "nothing was finished before the kill: the test shows nothing"
    folder = workspace / "runs/disturbed"
    survivors = {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}
    done = mssbench(*SMALL, "--run-id", "disturbed", *mode)
    assert done.returncode == 0, done.stderr
    assert_equal_tables(workspace / "runs/undisturbed/results.csv", folder / "results.csv")
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors, "a finished cell was repeated"
    assert not [path for path in folder.rglob(".tmp-*") if path.parent.name == "report"]


def kill_after(cells: int, workspace: Path, mode: list[str]) -> int:
    """Start the run, kill -9 it once so many cells have ended; how many had."""
    folder = workspace / "runs/disturbed"

    def ready() -> bool:
        return (folder / "run.json").exists() and len(list(folder.rglob("result.json"))) >= cells

    killed_when(ready, workspace, *SMALL, "--run-id", "disturbed", *mode)
    wait_for(lambda: no_process_mentions(str(workspace)), "no worker and no Redis outlives the killed run")
    return len(list(folder.rglob("result.json")))


def no_process_mentions(root: str) -> bool:
    """Whether no worker of this data root is left (its environment names the root)."""
    needle = f"MSSBENCH_DATA_ROOT={root}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and needle in (process / "environ").read_bytes().split(b"\0"):
                return False
        except OSError:
            continue
    return True


@without_report
def test_failed_cells_are_tried_again_only_when_asked(mssbench: Command, workspace: Path) -> None:
    drums = next(workspace.glob("music/test/*/drums.wav"))
    assert mssbench(*SMALL, "--inline", "--conditions", "stereo").returncode == 0
    folder = only_run(workspace)
    store, cell = RunStore(folder), Cell("stereo", "oracle-irm", drums.parent.name)
    store.clear_outcome(cell)
    store.save_error(cell, "separate", "busy", "was busy")
    again = mssbench(*SMALL, "--inline", "--conditions", "stereo")
    assert "1 of 2 cells failed" in again.stderr
    assert store.failed(cell)
    retried = mssbench(*SMALL, "--inline", "--conditions", "stereo", "--retry-failed")
    assert retried.returncode == 0
    assert store.succeeded(cell)
    assert {row["status"] for row in read_table(folder / "results.csv").values()} <= {"ok", "undefined"}


@without_report
def test_status_says_how_far_a_run_is(mssbench: Command, workspace: Path) -> None:
    assert mssbench("status").stderr.startswith("no runs in ")
    assert mssbench(*SMALL, "--inline", "--run-id", "mine").returncode == 0
    said = mssbench("status", "mine").stdout.splitlines()
    assert said[0] == "mine: complete, 4/4 cells ended, 0 failed, 1/1 tracks rendered"
    assert [line.split()[:3] for line in said[1:]] == [
        [condition, separator, "1/1"]
        for separator in ("oracle-identity", "oracle-irm")
        for condition in ("stereo", "binaural")
    ]
    next((workspace / "runs/mine").rglob("result.json")).unlink()
    assert mssbench("status").stdout.startswith("mine: incomplete, 3/4 cells ended")


def test_a_report_of_an_unfinished_run_counts_what_is_pending(mssbench: Command, workspace: Path) -> None:
    assert mssbench(*SMALL, "--inline", "--run-id", "mine").returncode == 0
    next((workspace / "runs/mine").rglob("result.json")).unlink()
    done = mssbench("report", "mine", "--no-audio")
    assert done.returncode == 0, done.stderr
    rows = read_table(workspace / "runs/mine/results.csv").values()
    assert sum(row["status"] == "pending" for row in rows) == 4
    assert len(rows) == 16


@without_report
def test_rescore_scores_stored_estimates_again_and_separates_nothing(
    mssbench: Command, workspace: Path
) -> None:
    options = ["--tracks", "1", "--metrics", "paper", "--conditions", "binaural"]
    first = mssbench(*RUN, "--inline", "--run-id", "mine", *options)
    assert first.returncode == 0, first.stderr
    estimates = {path: path.stat().st_mtime_ns for path in workspace.glob("runs/mine/estimates/**/*.flac")}
    assert estimates
    assert all(row["SSR"] == "" for row in read_table(workspace / "runs/mine/results.csv").values())
    done = mssbench("rescore", "mine", "--profile", "corrected", "--no-bsseval", "--inline")
    assert done.returncode == 0, done.stderr
    rows = read_table(workspace / "runs/mine/results.csv").values()
    assert all(row["SSR"] != "" and row["paper_SSR"] == "" and row["SDR"] == "" for row in rows)
    assert any(row["azimuth_error_deg"] != "" for row in rows)
    assert {path: path.stat().st_mtime_ns for path in estimates} == estimates
    assert len(list(workspace.glob("runs/mine/cells/**/frames.parquet"))) == 2
