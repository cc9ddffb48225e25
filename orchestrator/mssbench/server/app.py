"""The orchestrator service: start runs, follow them, get their results and reports.

Its runs go through RQ on the Redis at ``MSSBENCH_REDIS_URL``. A supervisor thread follows each run that was
started here, enqueues lost jobs again, and writes the tables and the report at the end. After a restart it
continues all incomplete runs. With ``MSSBENCH_TOKEN`` (or ``MSSBENCH_TOKEN_FILE``), requests that change
something need this token. Publish only this service: the other services trust every client.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from mssbench_service import app as base
from mssbench_service.app import Settings
from mssbench_service.files import DataRoot
from starlette.middleware import Middleware

from .. import __version__
from ..execution.queues import connect
from ..runs.store import open_workspace
from ..services.health import survey_separators
from ..services.runtime import make_runtime
from ..settings.secrets import secret
from . import dashboard
from .collector import RunCollector
from .leaderboard import LeaderboardSite
from .middleware import AuthMiddleware, HeadMiddleware
from .routes import queues, results, runs
from .run_service import RunService
from .storage_notice import storage_notice

log = logging.getLogger("mssbench")


def create_app(settings: Settings | None = None, redis_url: str | None = None) -> FastAPI:
    """Build the application. The settings and the URL of Redis are by default those of the environment."""
    workspace = open_workspace(settings.data_root.root if settings else None)
    settings = replace(settings or Settings.from_environment(), data_root=DataRoot(workspace.root))
    redis_url = redis_url or secret("MSSBENCH_REDIS_URL") or "redis://localhost:6379/0"
    # Requests come over the network: references are resolved strictly, whatever the transport.
    runtime = make_runtime(workspace.root, trusted=False)
    service = RunService(workspace, runtime, redis_url)
    leaderboard = LeaderboardSite(workspace)

    def info() -> dict[str, Any]:
        return {
            "separators": [
                {
                    "service": one.name,
                    "separators": [asdict(info) for info in one.separators],
                    "reason": one.reason,
                }
                for one in survey_separators(runtime)
            ]
        }

    def setup() -> None:
        with contextlib.closing(connect(redis_url)) as connection:
            service.notice = storage_notice(workspace, connection)
        if service.notice:
            log.warning("%s", service.notice)
        service.supervisor.start(app.state.stopping)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with base_lifespan(app) as state:
            yield state
        await anyio.to_thread.run_sync(service.supervisor.join)
        await anyio.to_thread.run_sync(leaderboard.close)

    app = base.create_app("orchestrator", __version__, settings=settings, info=info, setup=setup, hosts=())
    base_lifespan, app.router.lifespan_context = app.router.lifespan_context, lifespan
    app.state.service = service
    app.state.metrics.registry.register(RunCollector(service))
    # Innermost, so that a refused request has its request id too.
    app.user_middleware.append(Middleware(AuthMiddleware, token=secret("MSSBENCH_TOKEN")))
    app.user_middleware.append(Middleware(HeadMiddleware))
    for router in (runs.router, results.router, queues.router, dashboard.create_router(service, leaderboard)):
        app.include_router(router)
    return app


app = create_app()
