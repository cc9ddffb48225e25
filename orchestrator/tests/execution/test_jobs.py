"""A job runs a step and nothing else, also a job that an earlier version queued."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from mssbench.execution import work as jobs
from mssbench.execution.jobs import StepJob
from mssbench.execution.work import work
from mssbench_service.errors import Forbidden


def job(function: str) -> StepJob:
    made = StepJob(connection=Mock())
    made._func_name = function
    return made


@pytest.mark.parametrize("function", ["mssbench.execution.work.work", "mssbench.queues.work"])
def test_jobs_of_this_and_of_the_first_version_run_a_step(function: str) -> None:
    assert job(function).func is work


def test_a_job_that_names_another_function_is_refused() -> None:
    with pytest.raises(Forbidden, match=r"names the function 'os\.system'"):
        _ = job("os.system").func


def test_a_worker_sees_services_that_were_registered_after_its_start(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_record", Mock())
    record = workspace / "runs" / "one" / "run.json"
    record.parent.mkdir(parents=True)
    record.touch()

    def url() -> str:
        run = jobs.load_run("one")
        assert run is not None
        return run.runtime.service_of("separate", "oracle").url

    before = url()
    monkeypatch.setenv("MSSBENCH_URL_ORACLE", "http://127.0.0.1:1")
    assert url() == "http://127.0.0.1:1" != before
    monkeypatch.setenv("MSSBENCH_SERVICES", "damaged")
    assert url() == "http://127.0.0.1:1"
