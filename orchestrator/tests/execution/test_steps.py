"""Errors in a step: its own cells end with an error, unavailable services are retried, no row is lost."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mssbench.execution.control import retry_failed
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.execution.retries import perform_with_retries
from mssbench.execution.steps import perform
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import progress_of
from mssbench.runs.records import Cell
from mssbench.runs.run import Run, Task
from mssbench.runs.store import LOG_CHARACTERS, Workspace
from mssbench.services.registry import Service
from mssbench.services.runtime import Runtime, make_runtime
from mssbench.services.transport import Transport
from mssbench.settings.limits import Limits
from mssbench_service.errors import (
    BadInput,
    Busy,
    Interrupted,
    NotReady,
    Starting,
    StepFailed,
    StorageFull,
    TimedOut,
    Unavailable,
    Unreachable,
)
from mssbench_service.wire import EvaluateResult

T = TypeVar("T")


class Faulty:
    """A transport that fails on chosen calls and forwards the others."""

    def __init__(self, transport: Transport, faults: dict[str, list[Exception | object]]) -> None:
        self.transport, self.faults = transport, faults
        self.calls: list[str] = []

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> Any:
        self.calls.append(step)
        fault = self.faults.get(step, [])
        if fault:
            answer = fault.pop(0)
            if isinstance(answer, Exception):
                raise answer
            if callable(answer):
                return answer()
            if answer is not None:
                return answer
        return self.transport.call(service, step, request, result, seconds)

    def info(self, service: Service) -> dict[str, Any]:
        return self.transport.info(service)

    def close(self) -> None:
        self.transport.close()


MakeRun = Callable[..., tuple[Run, Faulty]]


@pytest.fixture
def make_run(workspace: Path) -> MakeRun:
    def make(**faults: list[Exception | object]) -> tuple[Run, Faulty]:
        runtime = make_runtime(workspace)
        transport = Faulty(runtime.transport, faults)
        faulty = Runtime(transport, runtime.registry, runtime.root)
        separators = ["oracle-identity", "oracle-irm"]
        config = RunConfig(dataset="music", separators=separators, tracks=1, bsseval=False)
        return prepare(config, Workspace(workspace), faulty), transport

    return make


def finish(run: Run) -> None:
    run_inline(run, lambda: None)
    assert progress_of(run).complete


def outcome_of(run: Run, cell: Cell) -> dict[str, Any]:
    outcome = run.store.outcome(cell)
    assert outcome is not None
    return outcome


def outcomes(run: Run) -> list[str]:
    return [outcome.get("code", "ok") for outcome in map(run.store.outcome, run.record.cells()) if outcome]


def test_a_failed_rendering_ends_the_binaural_cells_of_its_track_alone(make_run: MakeRun) -> None:
    run, _ = make_run(render=[BadInput("drums.wav is damaged")])
    finish(run)
    for cell in run.record.cells():
        outcome = outcome_of(run, cell)
        if cell.condition == "binaural":
            assert (outcome["step"], outcome["code"], outcome["detail"]) == (
                "render",
                "bad-input",
                "drums.wav is damaged",
            )
        else:
            assert "rows" in outcome


@pytest.mark.parametrize("step", ["separate", "evaluate"])
def test_a_failed_step_ends_its_own_cell_alone(make_run: MakeRun, step: str) -> None:
    run, _ = make_run(**{step: [StepFailed("the model broke")]})
    finish(run)
    assert sorted(outcomes(run)) == ["ok", "ok", "ok", "step-failed"]


def test_an_unexpected_exception_is_recorded_with_its_traceback(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[Busy("full"), ZeroDivisionError("1/0")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, pauses=[1.0], sleep=lambda seconds: None)
    error = outcome_of(run, task.cell)
    assert (error["step"], error["code"], error["detail"], error["tries"]) == (
        "separate",
        "step-failed",
        "ZeroDivisionError: 1/0",
        2,
    )
    assert "attempt 1: busy: full" in error["log"]
    assert "raise answer" in error["log"], "the traceback is missing"
    assert error["host"]
    assert datetime.datetime.fromisoformat(error["when"]).tzinfo


def test_a_long_log_is_truncated(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[RuntimeError("x" * 10**6)])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform(run, task)
    assert len(outcome_of(run, task.cell)["log"]) == LOG_CHARACTERS


def test_a_step_that_times_out_is_tried_twice(make_run: MakeRun) -> None:
    run, transport = make_run(separate=[TimedOut("nothing in 9 s")] * 6)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, sleep=lambda seconds: None)
    error = outcome_of(run, task.cell)
    assert (error["code"], error["tries"], transport.calls.count("separate")) == ("timed-out", 2, 2)


def test_a_full_disk_leaves_the_task_open(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[StorageFull("no room")] * 4)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    with pytest.raises(StorageFull):
        perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert not run.store.ended(task.cell)
    perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert run.store.separated(task.cell)


def test_invalid_estimates_are_removed_so_that_a_retry_succeeds(make_run: MakeRun) -> None:
    run, transport = make_run()
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform(run, task)
    shutil.move(run.store.layout.estimates(task.cell), run.store.folder / "bad")
    (run.store.folder / "bad/drums.wav").write_bytes(b"RIFF")

    def leave_bad_estimates() -> None:
        shutil.copytree(run.store.folder / "bad", run.store.layout.estimates(task.cell))

    transport.faults["separate"] = [leave_bad_estimates]
    perform(run, task)
    error = outcome_of(run, task.cell)
    assert (error["step"], error["code"]) == ("separate", "bad-output")
    assert "drums" in error["detail"]
    run.store.clear_outcome(task.cell)
    perform(run, task)
    assert run.store.separated(task.cell)
    assert not run.store.ended(task.cell)


def test_a_separation_without_stems_fails(make_run: MakeRun) -> None:
    run, _ = make_run(separate=["done"])
    finish(run)
    assert sorted(outcomes(run)) == ["bad-output", "ok", "ok", "ok"]


def test_scores_of_the_wrong_stems_fail(make_run: MakeRun) -> None:
    run, _ = make_run(evaluate=[EvaluateResult([{"source": "vocals"}], 0.1)])
    finish(run)
    assert sorted(outcomes(run)) == ["bad-output", "ok", "ok", "ok"]


@pytest.fixture
def remote_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle counts as a service over HTTP."""
    monkeypatch.setattr(Runtime, "is_remote", lambda self, service: service.name == "oracle")


@pytest.mark.usefixtures("remote_oracle")
@pytest.mark.parametrize("error", [Unreachable("gone"), Starting("loading"), NotReady("no weights")])
def test_a_service_that_is_away_is_waited_for(make_run: MakeRun, error: Unavailable) -> None:
    run, transport = make_run(separate=[Interrupted("closed"), *[error] * 500])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    slept: list[float] = []
    waited_for = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        waited_for.append(run.store.outages.current())

    perform_with_retries(run, task, pauses=(1.0,), sleep=sleep)
    assert run.store.separated(task.cell)
    assert transport.calls.count("separate") == 502
    assert max(slept) <= 5.0, "a service that returns is noticed within 5 s"
    assert waited_for == [[], *[["oracle"]] * 500]
    assert run.store.outages.current() == []


@pytest.mark.usefixtures("remote_oracle")
def test_all_cells_of_a_service_fail_after_the_limit(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task waits for the whole limit. The others then fail at their first attempt, until a retry."""
    run, transport = make_run(separate=[Unreachable("gone")] * 100)
    first, *others = [task for task in run.open_tasks() if task.step == "separate"]
    now = [1e9]
    monkeypatch.setattr("mssbench.runs.outages.time.time", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        for path in run.store.layout.outages.iterdir():
            os.utime(path, (now[0], now[0]))

    monkeypatch.setenv("MSSBENCH_SERVICE_WAIT_HOURS", "0.01")
    perform_with_retries(run, first, sleep=sleep)
    assert 36 <= now[0] - 1e9 < 36 + 5
    assert outcome_of(run, first.cell)["code"] == "unreachable"
    for task in others:
        perform_with_retries(run, task, sleep=lambda seconds: pytest.fail("waited again"))
        assert outcome_of(run, task.cell)["code"] == "unreachable"
    transport.faults.clear()
    retry_failed(run)
    finish(run)
    assert set(outcomes(run)) == {"ok"}


@pytest.mark.usefixtures("remote_oracle")
def test_an_outage_noted_by_a_process_that_has_ended_does_not_count(make_run: MakeRun) -> None:
    run, _ = make_run()
    run.store.outages.note("oracle", "gone")
    note = run.store.layout.outage("oracle")
    an_hour_ago = time.time() - 3600
    note.write_text(json.dumps({"since": an_hour_ago, "reason": "gone"}))
    assert run.store.outages.note("oracle", "gone") == pytest.approx(3600, abs=5)
    os.utime(note, (an_hour_ago, an_hour_ago))
    assert run.store.outages.current() == []
    assert run.store.outages.note("oracle", "gone") == 0.0
    note.write_text("{")
    assert run.store.outages.current() == []


@pytest.mark.usefixtures("remote_oracle")
def test_a_cancelled_run_does_not_wait_for_a_service(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[Unreachable("gone")] * 100)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    slept: list[float] = []

    def cancel_after_two(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            run.store.markers.set_cancelled()

    perform_with_retries(run, task, sleep=cancel_after_two)
    assert len(slept) == 2
    assert not run.store.ended(task.cell)


def test_a_service_that_kills_its_connections_is_not_waited_for(
    make_run: MakeRun, remote_oracle: None
) -> None:
    """It may be the track: the service is restarted, and the next attempt breaks it again."""
    faults = [error for _ in range(20) for error in (Interrupted("closed"), Unreachable("gone"))]
    run, transport = make_run(separate=faults)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert outcome_of(run, task.cell)["code"] == "interrupted"
    assert transport.calls.count("separate") == 5


def test_a_busy_service_is_retried_after_growing_pauses(make_run: MakeRun) -> None:
    run, transport = make_run(separate=[Busy("full"), Busy("full"), Busy("full")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    slept: list[float] = []
    perform_with_retries(run, task, sleep=slept.append)
    assert slept == sorted(slept)
    assert len(slept) == 3
    assert transport.calls.count("separate") == 4
    assert run.store.separated(task.cell)


def test_an_unreachable_service_ends_the_cell_with_its_error(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[Unreachable("gone")] * 3)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert outcome_of(run, task.cell)["code"] == "unreachable"


def test_a_busy_service_is_retried_for_the_time_limit_of_a_step(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cell fails because there are more workers than places in a service. A service that is always busy must not
    block the run."""
    monkeypatch.setenv("MSSBENCH_STEP_SECONDS", "600")
    monkeypatch.setenv("MSSBENCH_STEP_SECONDS_PER_AUDIO_SECOND", "0.001")
    for times, ends in ((10, True), (1000, False)):
        run, _ = make_run(separate=[Busy("full")] * times)
        task = next(task for task in run.open_tasks() if task.step == "separate")
        slept: list[float] = []
        perform_with_retries(run, task, pauses=(10.0, 60.0), sleep=slept.append)
        assert run.store.separated(task.cell) is ends
        assert sum(slept) <= 600 + 60
        assert sum(slept) < Limits.from_environment().of_job(0.0)
        shutil.rmtree(run.store.folder)
    assert slept[:3] == [10.0, 60.0, 60.0]


def test_bad_input_is_not_retried(make_run: MakeRun) -> None:
    run, transport = make_run(separate=[BadInput("five channels")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, sleep=lambda seconds: pytest.fail("waited"))
    assert transport.calls.count("separate") == 1


def test_unavailable_is_raised_and_leaves_the_cell_open(make_run: MakeRun) -> None:
    run, _ = make_run(separate=[Busy("full")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    with pytest.raises(Unavailable):
        perform(run, task)
    assert not run.store.ended(task.cell)


def _touch(run: Run) -> None:
    path = run.runtime.root.resolve(run.record.tracks[0].source) / "drums.wav"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("step", "condition"), [("render", ""), ("separate", "stereo"), ("evaluate", "stereo")]
)
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_track_whose_files_changed_is_refused(
    make_run: MakeRun, step: str, condition: str, when: str
) -> None:
    """Otherwise later runs would reuse the rendering of other files."""
    run, transport = make_run()
    title = run.record.tracks[0].title
    task = Task(step, title, condition, "oracle-irm" if condition else "")
    if step == "evaluate":
        perform(run, Task("separate", title, condition, "oracle-irm"))
    if when == "before":
        _touch(run)
    else:
        call = transport.call

        def touching(*arguments: Any) -> Any:
            _touch(run)
            return call(*arguments)

        transport.call = touching  # type: ignore[assignment, method-assign]
    perform(run, task)
    for cell in run.cells_of(task):
        error = outcome_of(run, cell)
        assert (error["step"], error["code"]) == (step, "bad-input")
        assert "have changed since the run was planned" in error["detail"]
    assert not run.rendered(title, "binaural")
    assert run.store.separated(task.cell) is (step == "evaluate")


def test_an_hrir_set_that_changed_is_refused(make_run: MakeRun) -> None:
    run, _ = make_run()
    assert run.record.hrir is not None
    run.record.hrir.sha256 = "0" * 64  # as if the run had been planned with another set
    finish(run)
    assert sorted(outcomes(run)) == ["bad-input", "bad-input", "ok", "ok"]
    assert not run.rendered(run.record.tracks[0].title, "binaural")


def test_a_completed_task_is_not_repeated(make_run: MakeRun) -> None:
    run, transport = make_run()
    finish(run)
    before = list(transport.calls)
    for cell in run.record.cells():
        for step in ("separate", "evaluate"):
            perform(run, Task(step, cell.title, cell.condition, cell.separator))
        perform(run, Task("render", cell.title, "binaural"))
    assert transport.calls == before
