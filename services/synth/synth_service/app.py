"""The service over HTTP; settings from the environment (:mod:`mssbench_service.app`).

``uvicorn synth_service.app:app``
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from mssbench_service.admission import run_job
from mssbench_service.app import JOB_PROBLEMS, Settings, create_app
from mssbench_service.known import known_input
from mssbench_service.wire import (
    RENDER_PROFILES,
    HrirInfo,
    HrirRequest,
    PlaceRequest,
    PlaceResult,
    RenderRequest,
    RenderResult,
    SceneResult,
)

from . import __version__, steps
from .hrir import SPHERE, load_hrir


def create(settings: Settings | None = None) -> FastAPI:
    """Create the application. By default, `settings` come from the environment."""
    settings = settings or Settings.from_environment()
    root = settings.data_root

    def info() -> dict[str, Any]:
        builtin = steps.describe_hrir(root, HrirRequest(SPHERE))
        return {"profiles": list(RENDER_PROFILES), "builtin_hrir": asdict(builtin)}

    def setup() -> None:
        load_hrir(SPHERE)

    app = create_app(
        "synth",
        __version__,
        settings=settings,
        info=info,
        setup=setup,
        jobs=["/render", "/describe_hrir", "/place"],
    )

    @app.post(
        "/render",
        summary="Render one track binaurally",
        responses=JOB_PROBLEMS,
        dependencies=[known_input(RenderRequest)],
    )
    async def render(request: Request, body: RenderRequest) -> SceneResult | RenderResult:
        return await run_job(request, lambda: steps.render(root, body, max_seconds=settings.max_seconds))

    @app.post(
        "/describe_hrir",
        summary="Describe an HRIR set",
        responses=JOB_PROBLEMS,
        dependencies=[known_input(HrirRequest)],
    )
    async def describe_hrir(request: Request, body: HrirRequest) -> HrirInfo:
        return await run_job(request, lambda: steps.describe_hrir(root, body))

    @app.post(
        "/place",
        summary="Check where the stems of tracks are",
        responses=JOB_PROBLEMS,
        dependencies=[known_input(PlaceRequest)],
    )
    async def place(request: Request, body: PlaceRequest) -> PlaceResult:
        return await run_job(request, lambda: steps.place(root, body))

    return app


app = create()
