"""The survey calls each service that is needed once, all at the same time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from mssbench.services.health import survey, survey_separators
from mssbench.services.registry import Registry, Service
from mssbench.services.runtime import Runtime
from mssbench_service.errors import BenchError, NotReady, Starting, StepFailed, TimedOut, Unreachable
from mssbench_service.files import DataRoot

OFFERS = {"alpha": ["alpha-one", "alpha-two"], "beta": ["beta"], "gamma": ["odd", "gamma"]}


class FakeTransport:
    """Answers ``info`` from `OFFERS`, once `together` calls are waiting; services in `errors` raise."""

    def __init__(self, together: int = 1, errors: dict[str, BenchError] | None = None) -> None:
        self.calls: list[str] = []
        self._errors = errors or {}
        self._barrier = threading.Barrier(together)

    def info(self, service: Service) -> dict[str, Any]:
        self.calls.append(service.name)
        self._barrier.wait(60)
        if service.name in self._errors:
            raise self._errors[service.name]
        offers = [{"name": name, "description": ""} for name in OFFERS.get(service.name, [])]
        return {"version": "1.5", "separators": offers}

    def call(self, *_: object) -> Any:
        raise AssertionError("a survey runs no step")

    def close(self) -> None:
        pass


def runtime_over(transport: FakeTransport) -> Runtime:
    tools = {name: Service(name, name, "") for name in ("synth", "evaluator")}
    separators = {name: Service(name, name, "") for name in OFFERS}
    return Runtime(transport, Registry(tools, separators), DataRoot(Path.cwd()))


def test_services_are_called_in_parallel_and_once() -> None:
    transport = FakeTransport(together=5)
    result = survey(runtime_over(transport))
    assert [one.name for one in result] == ["synth", "evaluator", "alpha", "beta", "gamma"]
    assert sorted(transport.calls) == sorted(one.name for one in result)
    assert {one.version for one in result} == {"1.5"}


@pytest.mark.parametrize(
    ("names", "tools", "called"),
    [
        (["alpha-two"], False, {"alpha"}),
        (["alpha"], True, {"synth", "evaluator", "alpha"}),
        (["gamma", "beta"], False, {"beta", "gamma"}),
        ([], False, {"alpha", "beta", "gamma"}),
        (["odd"], False, {"alpha", "beta", "gamma"}),
        (["alpha-three"], False, {"alpha", "beta", "gamma"}),
    ],
)
def test_only_the_services_that_are_needed_are_called(
    names: list[str], tools: bool, called: set[str]
) -> None:
    transport = FakeTransport()
    result = survey_separators(runtime_over(transport), names, tools=tools)
    assert sorted(transport.calls) == sorted(called)
    order = ["synth", "evaluator", "alpha", "beta", "gamma"]
    assert [one.name for one in result] == [name for name in order if name in called]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Starting("loading"), "starting"),
        (Unreachable("refused"), "not there"),
        (NotReady("no weights"), "not ready"),
        (StepFailed("no driver"), "failed"),
        (TimedOut("no answer within 5 s"), "failed"),
    ],
)
def test_a_service_that_fails_has_its_state_and_reason(error: BenchError, state: str) -> None:
    transport = FakeTransport(errors={"beta": error})
    alpha, beta, gamma = survey_separators(runtime_over(transport))
    assert (beta.state, beta.reason, beta.separators) == (state, error.detail, [])
    assert alpha.ready
    assert [one.name for one in gamma.separators] == ["odd", "gamma"]
