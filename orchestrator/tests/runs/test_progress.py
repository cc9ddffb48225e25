"""Progress, throughput and status of a run; files that can be removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mssbench.execution.gc import find_removable
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import RECENT_CELLS, Progress, seconds_left, survey, throughput
from mssbench.runs.run import Run
from mssbench.runs.status import failures_of, status_of
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import Conflict


@pytest.fixture
def run(workspace: Path) -> Run:
    config = RunConfig(dataset="music", separators=["oracle-irm", "oracle-mixture"])
    return prepare(config, make_runtime(workspace))


def test_cells_are_counted_by_separator_and_condition(run: Run) -> None:
    first, second, third, *_ = run.record.cells()
    run.store.save_result(first, {"rows": []})
    run.store.save_error(second, "separate", "bad-output", "no")
    # A result takes precedence over the error of an earlier attempt.
    run.store.save_error(third, "evaluate", "step-failed", "no")
    (run.store.layout.cell(third) / "result.json").write_text("{}")
    found = survey(run)
    assert (found.progress.cells, found.progress.ended, found.progress.failed) == (8, 3, 1)
    assert found.progress.separated == 2
    assert (found.progress.to_render, found.progress.rendered) == (2, 0)
    shares = {(share.separator, share.condition): share for share in found.by_separator}
    assert len(shares) == 4
    assert sum(share.cells for share in found.by_separator) == 8
    mine = shares[second.separator, second.condition]
    assert (mine.ended, mine.failed, mine.cells) == (1, 1, 2)
    assert [failure.title for failure in failures_of(run)] == [second.title]


def test_the_state_of_a_run_follows_its_lock_and_markers(run: Run) -> None:
    assert status_of(run).state == "incomplete"
    with run.store.lock.hold():
        assert status_of(run).state == "running"
        assert status_of(run).throughput is None
        for cell in run.record.cells():
            run.store.save_result(cell, {"rows": []})
        # The tables may still be being written.
        assert status_of(run).state == "running"
        assert (status_of(run).throughput or 0) > 0
    assert status_of(run).state == "complete"
    run.store.clear_outcome(run.record.cells()[0])
    run.store.layout.cancelled.touch()
    assert status_of(run).state == "cancelled"


def test_the_throughput_is_that_of_the_recent_past() -> None:
    assert throughput([], since=0.0, now=100.0) is None
    assert throughput([1.0, 2.0], since=50.0, now=100.0) is None
    # Ten cells in the minute since execution started. The earlier cell does not count.
    assert throughput([3.0, *range(50, 60)], since=40.0, now=100.0) == pytest.approx(10.0)
    # One cell per second at first, then one every ten seconds.
    slow = [1000.0 + 10 * step for step in range(RECENT_CELLS + 1)]
    assert throughput([*range(1000), *slow], since=0.0, now=slow[-1]) == pytest.approx(6.0)


def test_the_time_left_is_unknown_without_a_throughput() -> None:
    progress = Progress(cells=100, separated=50, ended=40, failed=0, to_render=0, rendered=0)
    assert seconds_left(progress, None) is None
    assert seconds_left(progress, 30.0) == pytest.approx(120.0)


def test_nothing_is_removed_while_a_run_cannot_be_read(run: Run, workspace: Path) -> None:
    rendering = workspace / run.record.tracks[0].folders["binaural"]
    rendering.mkdir(parents=True)
    other = rendering.parent.parent / "0000" / "other"
    other.mkdir(parents=True)
    found = find_removable(run.runtime)
    assert [item.reference for item in found] == ["data/rendered/0000/other"]
    run.store.layout.record.write_text("{")
    with pytest.raises(Conflict, match=r"run\.json"):
        find_removable(run.runtime)


def test_recent_temporary_files_are_not_removed(run: Run, workspace: Path) -> None:
    for name in (".tmp-new", ".tmp-old"):
        (run.store.folder / name).write_text("x")
    os.utime(run.store.folder / ".tmp-old", (0, 0))
    (workspace / "runs/.deleted-gone/estimates").mkdir(parents=True)
    found = {Path(item.reference).name for item in find_removable(run.runtime)}
    assert found == {".tmp-old", ".deleted-gone"}
