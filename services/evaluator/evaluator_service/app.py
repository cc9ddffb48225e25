"""HTTP application of the service. Settings are environment variables (:mod:`mssbench_service.app`, and ``DEVICE``:
:mod:`evaluator_service.device`).

``uvicorn evaluator_service.app:app``
"""

from __future__ import annotations

from typing import Any

from binaural_metrics.registry import columns
from binaural_metrics.sets import METRIC_SETS
from fastapi import FastAPI, Request
from mssbench_service.admission import run_job
from mssbench_service.app import JOB_PROBLEMS, Settings, create_app
from mssbench_service.known import known_input
from mssbench_service.wire import EvaluateRequest, EvaluateResult

from . import __version__, steps
from .device import choose_device


def create(settings: Settings | None = None) -> FastAPI:
    """Create the application. By default, `settings` are read from the environment."""
    settings = settings or Settings.from_environment()
    device: str | None = None

    def setup() -> None:
        nonlocal device
        device = choose_device()

    def info() -> dict[str, Any]:
        return {
            "device": device or "cpu",
            "metrics": list(METRIC_SETS),
            "columns": ["title", *columns()],
        }

    app = create_app(
        "evaluator",
        __version__,
        settings=settings,
        info=info,
        setup=setup,
        jobs=["/evaluate"],
        device=lambda: device or "cpu",
    )

    @app.post(
        "/evaluate",
        summary="Score the stems of one track",
        responses=JOB_PROBLEMS,
        dependencies=[known_input(EvaluateRequest)],
    )
    async def evaluate(request: Request, body: EvaluateRequest) -> EvaluateResult:
        return await run_job(
            request,
            lambda: steps.evaluate(settings.data_root, body, max_seconds=settings.max_seconds, device=device),
        )

    return app


app = create()
