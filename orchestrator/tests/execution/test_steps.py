"""What a step does when things go wrong: an error of its own cells, another try, never a lost row."""

from __future__ import annotations

import datetime
import os
import shutil
from pathlib import Path

import pytest
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.execution.steps import perform, perform_with_retries
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import progress_of
from mssbench.runs.run import Run, Task
from mssbench.runs.store import LOG_CHARACTERS, Workspace
from mssbench.services.runtime import Runtime, make_runtime
from mssbench.settings.limits import Limits
from mssbench_service.errors import (
    BadInput,
    Busy,
    StepFailed,
    StorageFull,
    TimedOut,
    Unavailable,
    Unreachable,
)
from mssbench_service.wire import EvaluateResult


class Faulty:
    """A transport that fails on chosen calls and otherwise passes them on."""

    def __init__(self, transport: object, faults: dict[str, list[Exception | object]]) -> None:
        self.transport, self.faults, self.calls = transport, faults, []

    def call(self, service, step, request, result, seconds):
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

    def info(self, service):
        return self.transport.info(service)


@pytest.fixture
def make_run(workspace: Path):
    def make(**faults: list[Exception | object]) -> tuple[Run, Faulty]:
        runtime = make_runtime(workspace)
        transport = Faulty(runtime.transport, faults)
        faulty = Runtime(transport, runtime.registry, runtime.root)
        config = RunConfig(dataset="music", separators=["oracle-identity", "oracle-irm"], tracks=1)
        return prepare(config, Workspace(workspace), faulty), transport

    return make


def finish(run: Run) -> None:
    run_inline(run, lambda: None)
    assert progress_of(run).complete


def outcomes(run: Run) -> list[str]:
    return [outcome.get("code", "ok") for outcome in map(run.store.outcome, run.record.cells()) if outcome]


def test_a_failed_rendering_ends_the_binaural_cells_of_its_track_alone(make_run) -> None:
    run, _ = make_run(render=[BadInput("drums.wav is damaged")])
    finish(run)
    for cell in run.record.cells():
        outcome = run.store.outcome(cell)
        if cell.condition == "binaural":
            assert (outcome["step"], outcome["code"], outcome["detail"]) == (
                "render",
                "bad-input",
                "drums.wav is damaged",
            )
        else:
            assert "rows" in outcome


@pytest.mark.parametrize("step", ["separate", "evaluate"])
def test_a_failed_step_ends_its_own_cell_alone(make_run, step) -> None:
    run, _ = make_run(**{step: [StepFailed("the model broke")]})
    finish(run)
    assert sorted(outcomes(run)) == ["ok", "ok", "ok", "step-failed"]


def test_an_error_that_nobody_foresaw_is_recorded_like_any_other(make_run) -> None:
    run, _ = make_run(separate=[Busy("full"), ZeroDivisionError("1/0")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, pauses=[1.0], sleep=lambda seconds: None)
    error = run.store.outcome(task.cell)
    assert (error["step"], error["code"], error["detail"], error["tries"]) == (
        "separate",
        "step-failed",
        "ZeroDivisionError: 1/0",
        2,
    )
    assert "attempt 1: busy: full" in error["log"]
    assert "raise answer" in error["log"], "the traceback is not there"
    assert error["host"]
    assert datetime.datetime.fromisoformat(error["when"]).tzinfo


def test_a_log_without_end_is_kept_in_bounds(make_run) -> None:
    run, _ = make_run(separate=[RuntimeError("x" * 10**6)])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform(run, task)
    assert len(run.store.outcome(task.cell)["log"]) == LOG_CHARACTERS


def test_a_service_that_gives_no_answer_in_time_is_asked_twice_and_no_more(make_run) -> None:
    run, transport = make_run(separate=[TimedOut("nothing in 9 s")] * 6)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, sleep=lambda seconds: None)
    error = run.store.outcome(task.cell)
    assert (error["code"], error["tries"], transport.calls.count("separate")) == ("timed-out", 2, 2)


def test_a_full_disk_is_waited_for_and_never_an_outcome(make_run) -> None:
    run, _ = make_run(separate=[StorageFull("no room")] * 4)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    with pytest.raises(StorageFull):
        perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert not run.store.ended(task.cell)
    perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert run.store.separated(task.cell)


def test_estimates_that_break_their_promise_are_taken_away_so_that_a_retry_can_mend_them(make_run) -> None:
    run, transport = make_run()
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform(run, task)
    shutil.move(run.store.layout.estimates(task.cell), run.store.folder / "bad")
    (run.store.folder / "bad/drums.wav").write_bytes(b"RIFF")

    def leave_bad_estimates() -> None:
        shutil.copytree(run.store.folder / "bad", run.store.layout.estimates(task.cell))

    transport.faults["separate"] = [leave_bad_estimates]
    perform(run, task)
    error = run.store.outcome(task.cell)
    assert (error["step"], error["code"]) == ("separate", "bad-output")
    assert "drums" in error["detail"]
    run.store.clear_outcome(task.cell)
    perform(run, task)
    assert run.store.separated(task.cell)
    assert not run.store.ended(task.cell)


def test_a_success_that_left_no_stems_is_a_failure(make_run) -> None:
    run, _ = make_run(separate=["done, believe me"])
    finish(run)
    assert sorted(outcomes(run)) == ["bad-output", "ok", "ok", "ok"]


def test_scores_of_the_wrong_stems_are_a_failure(make_run) -> None:
    run, _ = make_run(evaluate=[EvaluateResult([{"source": "vocals"}], 0.1)])
    finish(run)
    assert sorted(outcomes(run)) == ["bad-output", "ok", "ok", "ok"]


def test_a_busy_service_is_asked_again_after_growing_pauses(make_run) -> None:
    run, transport = make_run(separate=[Busy("full"), Busy("full"), Busy("full")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    slept: list[float] = []
    perform_with_retries(run, task, sleep=slept.append)
    assert slept == sorted(slept)
    assert len(slept) == 3
    assert transport.calls.count("separate") == 4
    assert run.store.separated(task.cell)


def test_a_service_that_stays_away_ends_the_cell_with_its_reason(make_run) -> None:
    run, _ = make_run(separate=[Unreachable("gone")] * 3)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, pauses=(0.0, 0.0), sleep=lambda seconds: None)
    assert run.store.outcome(task.cell)["code"] == "unreachable"


def test_a_busy_service_is_given_the_time_that_a_step_may_take(
    make_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More workers than places, and each place taken for minutes: no cell fails of that. A service that is stuck
    is busy for ever, and must not keep the run from its end."""
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


def test_bad_input_is_never_asked_again(make_run) -> None:
    run, transport = make_run(separate=[BadInput("five channels")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    perform_with_retries(run, task, sleep=lambda seconds: pytest.fail("waited"))
    assert transport.calls.count("separate") == 1


def test_unavailable_alone_is_passed_on_and_nothing_recorded(make_run) -> None:
    run, _ = make_run(separate=[Busy("full")])
    task = next(task for task in run.open_tasks() if task.step == "separate")
    with pytest.raises(Unavailable):
        perform(run, task)
    assert not run.store.ended(task.cell)


def _touched(run: Run) -> None:
    path = run.runtime.root.resolve(run.record.tracks[0].source) / "drums.wav"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("step", "condition"), [("render", ""), ("separate", "stereo"), ("evaluate", "stereo")]
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_track_that_is_not_what_it_was_is_not_taken_for_it(make_run, step, condition, when) -> None:
    """A rendering of other files would stay, and be every later run's."""
    run, transport = make_run()
    title = run.record.tracks[0].title
    task = Task(step, title, condition, "oracle-irm" if condition else "")
    if step == "evaluate":
        perform(run, Task("separate", title, condition, "oracle-irm"))
    if when == "before":
        _touched(run)
    else:
        call = transport.call

        def touching(*arguments):
            _touched(run)
            return call(*arguments)

        transport.call = touching
    perform(run, task)
    for cell in run.cells_of(task):
        error = run.store.outcome(cell)
        assert (error["step"], error["code"]) == (step, "bad-input")
        assert "have changed since the run was planned" in error["detail"]
    assert not run.rendered(title)
    assert run.store.separated(task.cell) is (step == "evaluate")


def test_an_hrir_set_that_is_not_what_it_was_is_not_taken_for_it(make_run) -> None:
    run, _ = make_run()
    run.record.hrir.sha256 = "0" * 64  # as if the set had been another when the run was planned
    finish(run)
    assert sorted(outcomes(run)) == ["bad-input", "bad-input", "ok", "ok"]
    assert not run.rendered(run.record.tracks[0].title)


def test_doing_a_task_again_does_nothing(make_run) -> None:
    run, transport = make_run()
    finish(run)
    before = list(transport.calls)
    for cell in run.record.cells():
        for step in ("separate", "evaluate"):
            perform(run, Task(step, cell.title, cell.condition, cell.separator))
        perform(run, Task("render", cell.title))
    assert transport.calls == before
