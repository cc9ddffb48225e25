"""The OpenAPI document: every operation with its errors, and examples that are valid."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mssbench.execution.queue_status import QueueStatus
from mssbench.runs.config import RunConfig
from mssbench.runs.results import result_columns
from mssbench.runs.status import Failure, RunStatus
from mssbench.server import examples
from mssbench.server.app import create_app
from mssbench_service.musdb import STEMS
from mssbench_service.wire import parse

from .conftest import settings_of


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = create_app(
        settings_of(tmp_path_factory.mktemp("root")), "redis://127.0.0.1:1/0"
    ).openapi()
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_operation_is_described_with_its_errors(description: dict[str, Any]) -> None:
    found = list(operations(description))
    assert len(found) >= 15
    for method, path, operation in found:
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses), where
        assert {"422", "500", "503"} <= statuses, where
        if "{run_id}" in path:
            assert "404" in statuses, where
        if method != "get":
            assert {"401", "403"} <= statuses, where
            assert operation["security"] == [{"HTTPBearer": []}], where
        for status, response in operation["responses"].items():
            if status >= "4":
                assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"
                example = response["content"]["application/problem+json"]["example"]
                assert example["status"] == int(status), f"{where} {status}"
            elif status != "204":
                assert response["content"], f"{where} {status}"


EXAMPLES: dict[tuple[str, str], Callable[[object], object]] = {
    ("post", "/runs"): lambda shown: parse(RunStatus, shown),
    ("get", "/runs"): lambda shown: parse(list[RunStatus], shown),
    ("get", "/runs/{run_id}"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/cancel"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/resume"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/retry"): lambda shown: parse(RunStatus, shown),
    ("get", "/runs/{run_id}/failures"): lambda shown: parse(list[Failure], shown),
    ("get", "/queues"): lambda shown: parse(QueueStatus, shown),
}


def test_examples_are_valid_requests_and_responses(description: dict[str, Any]) -> None:
    for (method, path), check in EXAMPLES.items():
        responses = description["paths"][path][method]["responses"]
        (success,) = [value for status, value in responses.items() if status < "3"]
        check(success["content"]["application/json"]["example"])
    body = description["paths"]["/runs"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        parse(RunConfig, example["value"]).validate()
    events = description["paths"]["/runs/{run_id}/events"]["get"]["responses"]["200"]["content"]
    name, data = events["text/event-stream"]["example"].splitlines()[:2]
    assert name == "event: progress"
    assert parse(RunStatus, json.loads(data.removeprefix("data: "))).id == examples.RUN_ID
    table = description["paths"]["/runs/{run_id}/results.csv"]["get"]["responses"]["200"]["content"]
    (row,) = csv.DictReader(table["text/csv"]["example"].splitlines())
    assert set(row) <= set(result_columns())
    assert row["source"] in STEMS
