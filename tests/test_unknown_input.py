"""Every route of a service that does a job refuses fields and parameters that it does not know."""

from __future__ import annotations

import importlib

import pytest
from mssbench_contract.server import served, wait_for


@pytest.mark.parametrize(
    "package", ["synth_service", "evaluator_service", "oracle_service", "template_service"]
)
def test_every_job_refuses_unknown_fields_and_parameters(package: str) -> None:
    app = importlib.import_module(f"{package}.app").app
    paths = [path for path, methods in app.openapi()["paths"].items() if "post" in methods]
    assert paths
    with served(app) as service:
        wait_for(lambda: service.get("/health").status == 200)
        for path in paths:
            for query, body, detail in (
                ("", {"colour": 1}, "unknown field 'colour'"),
                ("?colour=1", {}, "unknown parameter 'colour'"),
            ):
                answer = service.post_json(path + query, body)
                assert answer.status == 422
                assert detail in answer.json()["detail"]
