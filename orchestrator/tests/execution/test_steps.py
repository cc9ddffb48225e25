"""Errors in a step: its own cells end with an error, unavailable services are retried, no row is lost."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from mssbench.runs.store import LOG_CHARACTERS
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
Fault = Exception | object
"""What a call raises, does or returns; None: what the service does."""


class Faulty:
    """A transport that fails on chosen calls and forwards the others."""

    def __init__(self, transport: Transport, faults: dict[str, list[Fault]]) -> None:
        self.transport, self.faults = transport, faults
        self.calls: list[str] = []

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> Any:
        self.calls.append(step)
        answer = self.faults[step].pop(0) if self.faults.get(step) else None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer() if callable(answer) else answer
        return self.transport.call(service, step, request, result, seconds)

    def info(self, service: Service) -> dict[str, Any]:
        return self.transport.info(service)

    def close(self) -> None:
        self.transport.close()


@dataclass
class Trial:
    """A run with faults, its first separation, and the pauses between the attempts of that."""

    run: Run
    transport: Faulty
    task: Task
    slept: list[float] = field(default_factory=list)

    def separate(
        self, pauses: Sequence[float] | None = None, sleep: Callable[[float], None] | None = None
    ) -> None:
        perform_with_retries(self.run, self.task, pauses, sleep or self.slept.append)

    @property
    def attempts(self) -> int:
        return self.transport.calls.count("separate")

    def error(self, cell: Cell | None = None) -> dict[str, Any]:
        """The outcome of `cell`; default: that of the first separation."""
        outcome = self.run.store.outcome(cell or self.task.cell)
        assert outcome is not None
        return outcome

    def codes(self) -> list[str]:
        """Run all tasks; return the outcomes: codes of errors, or ``ok``."""
        run_inline(self.run, lambda: None)
        assert progress_of(self.run).complete
        return sorted(self.error(cell).get("code", "ok") for cell in self.run.record.cells())


MakeTrial = Callable[..., Trial]


@pytest.fixture
def make_trial(workspace: Path) -> MakeTrial:
    def make(**faults: list[Fault]) -> Trial:
        runtime = make_runtime(workspace)
        transport = Faulty(runtime.transport, faults)
        config = RunConfig("music", separators=["oracle-identity", "oracle-irm"], tracks=1, bsseval=False)
        faulty = Runtime(transport, runtime.registry, runtime.root)
        run = prepare(config, faulty)
        return Trial(run, transport, next(task for task in run.open_tasks() if task.step == "separate"))

    return make


def test_a_failed_rendering_ends_the_binaural_cells_of_its_track_alone(make_trial: MakeTrial) -> None:
    trial = make_trial(render=[BadInput("drums.wav is damaged")])
    assert trial.codes() == ["bad-input", "bad-input", "ok", "ok"]
    for cell in trial.run.record.cells():
        if cell.condition == "binaural":
            assert (trial.error(cell)["step"], trial.error(cell)["detail"]) == (
                "render",
                "drums.wav is damaged",
            )


@pytest.mark.parametrize(
    ("step", "fault", "code"),
    [
        ("separate", StepFailed("the model broke"), "step-failed"),
        ("evaluate", StepFailed("the model broke"), "step-failed"),
        ("separate", "done", "bad-output"),  # without stems
        ("evaluate", EvaluateResult([{"source": "vocals"}], 0.1), "bad-output"),
    ],
)
def test_a_failed_step_ends_its_own_cell_alone(
    make_trial: MakeTrial, step: str, fault: Fault, code: str
) -> None:
    assert make_trial(**{step: [fault]}).codes() == sorted([code, "ok", "ok", "ok"])


def test_an_unexpected_exception_is_one_line_of_the_log_and_recorded_with_its_traceback(
    make_trial: MakeTrial, caplog: pytest.LogCaptureFixture
) -> None:
    trial = make_trial(separate=[Busy("full"), ZeroDivisionError("1/0")])
    trial.separate(pauses=[1.0])
    error = trial.error()
    assert (error["step"], error["code"], error["tries"]) == ("separate", "step-failed", 2)
    assert error["detail"] == "ZeroDivisionError: 1/0"
    assert "attempt 1: busy: full" in error["log"]
    assert "raise answer" in error["log"], "the traceback is missing"
    (said,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert said.exc_info is None
    assert "\n" not in said.getMessage()
    assert "separate failed: " in said.getMessage()
    assert error["host"]
    assert datetime.datetime.fromisoformat(error["when"]).tzinfo


def test_a_long_log_is_truncated(make_trial: MakeTrial) -> None:
    trial = make_trial(separate=[RuntimeError("x" * 10**6)])
    trial.separate()
    assert len(trial.error()["log"]) == LOG_CHARACTERS


def test_a_full_disk_leaves_the_task_open(make_trial: MakeTrial) -> None:
    trial = make_trial(separate=[StorageFull("no room")] * 4)
    with pytest.raises(StorageFull):
        trial.separate(pauses=(0.0, 0.0))
    assert not trial.run.store.ended(trial.task.cell)
    trial.separate(pauses=(0.0, 0.0))
    assert trial.run.store.separated(trial.task.cell)


def test_invalid_estimates_are_removed_so_that_a_retry_succeeds(make_trial: MakeTrial) -> None:
    trial = make_trial()
    run, cell = trial.run, trial.task.cell
    trial.separate()
    bad = run.store.layout.estimates(cell).rename(run.store.folder / "bad")
    (bad / "drums.wav").write_bytes(b"RIFF")
    trial.transport.faults["separate"] = [lambda: shutil.copytree(bad, run.store.layout.estimates(cell))]
    trial.separate()
    error = trial.error()
    assert (error["step"], error["code"], "drums" in error["detail"]) == ("separate", "bad-output", True)
    run.store.clear_outcome(cell)
    trial.separate()
    assert run.store.separated(cell)
    assert not run.store.ended(cell)


@pytest.fixture
def remote_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle counts as a service over HTTP."""
    monkeypatch.setattr(Runtime, "is_remote", lambda self, service: service.name == "oracle")


@pytest.mark.usefixtures("remote_oracle")
@pytest.mark.parametrize("error", [Unreachable("gone"), Starting("loading"), NotReady("no weights")])
def test_a_service_that_is_away_is_waited_for(make_trial: MakeTrial, error: Unavailable) -> None:
    trial = make_trial(separate=[Interrupted("closed"), *[error] * 500])
    outages = trial.run.store.outages
    waited_for = []

    def sleep(seconds: float) -> None:
        assert seconds <= 5.0, "a service that returns is noticed within 5 s"
        waited_for.append(outages.current())

    trial.separate(pauses=(1.0,), sleep=sleep)
    assert trial.run.store.separated(trial.task.cell)
    assert trial.attempts == 502
    assert waited_for == [[], *[["oracle"]] * 500]
    assert outages.current() == []


@pytest.mark.usefixtures("remote_oracle")
def test_all_cells_of_a_service_fail_after_the_limit(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task waits for the whole limit. The others then fail at their first attempt, until a retry."""
    trial = make_trial(separate=[Unreachable("gone")] * 100)
    run = trial.run
    now = [1e9]
    monkeypatch.setattr("mssbench.runs.outages.time.time", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        for path in run.store.layout.outages.iterdir():
            os.utime(path, (now[0], now[0]))

    monkeypatch.setenv("MSSBENCH_SERVICE_WAIT_HOURS", "0.01")
    trial.separate(sleep=sleep)
    assert 36 <= now[0] - 1e9 < 36 + 5
    assert trial.error()["code"] == "unreachable"
    for task in [task for task in run.open_tasks() if task.step == "separate"]:
        perform_with_retries(run, task, sleep=lambda seconds: pytest.fail("waited again"))
        assert trial.error(task.cell)["code"] == "unreachable"
    trial.transport.faults.clear()
    retry_failed(run)
    assert set(trial.codes()) == {"ok"}


def test_an_outage_noted_by_a_process_that_has_ended_does_not_count(make_trial: MakeTrial) -> None:
    store = make_trial().run.store
    store.outages.note("oracle", "gone")
    note = store.layout.outage("oracle")
    an_hour_ago = time.time() - 3600
    note.write_text(json.dumps({"since": an_hour_ago, "reason": "gone"}))
    assert store.outages.note("oracle", "gone") == pytest.approx(3600, abs=60)
    os.utime(note, (an_hour_ago, an_hour_ago))
    assert store.outages.current() == []
    assert store.outages.note("oracle", "gone") == 0.0
    note.write_text("{")
    assert store.outages.current() == []


@pytest.mark.usefixtures("remote_oracle")
def test_a_cancelled_run_does_not_wait_for_a_service(make_trial: MakeTrial) -> None:
    trial = make_trial(separate=[Unreachable("gone")] * 100)

    def cancel_after_two(seconds: float) -> None:
        trial.slept.append(seconds)
        if len(trial.slept) == 2:
            trial.run.store.markers.set_cancelled(True)

    trial.separate(sleep=cancel_after_two)
    assert len(trial.slept) == 2
    assert not trial.run.store.ended(trial.task.cell)


@pytest.mark.usefixtures("remote_oracle")
def test_a_service_that_kills_its_connections_is_not_waited_for(make_trial: MakeTrial) -> None:
    """It may be the track: the service is restarted, and the next attempt breaks it again."""
    trial = make_trial(separate=[Interrupted("closed"), Unreachable("gone")] * 20)
    trial.separate(pauses=(0.0, 0.0))
    assert (trial.error()["code"], trial.attempts) == ("interrupted", 5)


@pytest.mark.parametrize(
    ("faults", "pauses", "code", "attempts"),
    [
        ([TimedOut("nothing in 9 s")] * 6, None, "timed-out", 2),
        ([Unreachable("gone")] * 6, (0.0, 0.0), "unreachable", 3),
        ([BadInput("five channels")] * 6, None, "bad-input", 1),
    ],
)
def test_attempts_end_with_the_error(
    make_trial: MakeTrial, faults: list[Fault], pauses: Sequence[float] | None, code: str, attempts: int
) -> None:
    trial = make_trial(separate=faults)
    trial.separate(pauses)
    assert (trial.error()["code"], trial.error()["tries"], trial.attempts) == (code, attempts, attempts)
    assert len(trial.slept) == attempts - 1


def test_a_busy_service_is_retried_after_growing_pauses(make_trial: MakeTrial) -> None:
    trial = make_trial(separate=[Busy("full")] * 3)
    with pytest.raises(Busy):
        perform(trial.run, trial.task)
    assert not trial.run.store.ended(trial.task.cell), "one attempt leaves the cell open"
    trial.separate()
    assert trial.slept == sorted(trial.slept)
    assert (len(trial.slept), trial.attempts) == (2, 4)
    assert trial.run.store.separated(trial.task.cell)


@pytest.mark.parametrize(("times", "ends"), [(10, True), (1000, False)])
def test_a_busy_service_is_retried_for_the_time_limit_of_a_step(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch, times: int, ends: bool
) -> None:
    """No cell fails because there are more workers than places in a service. A service that is always busy must not
    block the run."""
    monkeypatch.setenv("MSSBENCH_STEP_SECONDS", "600")
    monkeypatch.setenv("MSSBENCH_STEP_SECONDS_PER_AUDIO_SECOND", "0.001")
    trial = make_trial(separate=[Busy("full")] * times)
    trial.separate(pauses=(10.0, 60.0))
    assert trial.run.store.separated(trial.task.cell) is ends
    assert sum(trial.slept) <= 600 + 60
    assert sum(trial.slept) < Limits.from_environment().of_job(0.0)
    assert trial.slept[:3] == [10.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("step", "condition"), [("render", ""), ("separate", "stereo"), ("evaluate", "stereo")]
)
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_track_whose_files_changed_is_refused(
    make_trial: MakeTrial, step: str, condition: str, when: str
) -> None:
    """Otherwise later runs would reuse the rendering of other files."""
    trial = make_trial()
    run, call = trial.run, trial.transport.call
    title = run.record.tracks[0].title
    task = Task(step, title, condition, "oracle-irm" if condition else "")
    if step == "evaluate":
        perform(run, Task("separate", title, condition, "oracle-irm"))

    def touching(*arguments: Any) -> Any:
        path = run.runtime.root.resolve(run.record.tracks[0].source) / "drums.wav"
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
        return call(*arguments) if arguments else None

    if when == "before":
        touching()
    else:
        trial.transport.call = touching  # type: ignore[assignment, method-assign]
    perform(run, task)
    for cell in run.cells_of(task):
        assert (trial.error(cell)["step"], trial.error(cell)["code"]) == (step, "bad-input")
        assert "have changed since the run was planned" in trial.error(cell)["detail"]
    assert not run.rendered(title, "binaural")
    assert run.store.separated(task.cell) is (step == "evaluate")


def test_an_hrir_set_that_changed_is_refused(make_trial: MakeTrial) -> None:
    trial = make_trial()
    assert trial.run.record.hrir is not None
    trial.run.record.hrir.sha256 = "0" * 64  # as if the run had been planned with another set
    assert trial.codes() == ["bad-input", "bad-input", "ok", "ok"]
    assert not trial.run.rendered(trial.task.title, "binaural")


def test_a_completed_task_is_not_repeated(make_trial: MakeTrial) -> None:
    trial = make_trial()
    trial.codes()
    before = list(trial.transport.calls)
    for cell in trial.run.record.cells():
        for step in ("separate", "evaluate"):
            perform(trial.run, Task(step, cell.title, cell.condition, cell.separator))
        perform(trial.run, Task("render", cell.title, "binaural"))
    assert trial.transport.calls == before
