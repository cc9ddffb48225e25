"""The orchestrator service: start runs, watch them, fetch their results and reports.

Its runs go through RQ on the Redis at ``MSSBENCH_REDIS_URL``. A supervisor thread follows every run that was
started here, puts back what got lost, and ends it with tables and a report; after a restart it takes up
whatever was not complete. With ``MSSBENCH_TOKEN`` (or ``MSSBENCH_TOKEN_FILE``), whatever changes something
needs this token. Only this service is meant to be published: the others trust whoever reaches them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import Body, Depends, FastAPI, Query, Request, Response, Security
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent
from mssbench_service.app import Settings, create_app, problems
from mssbench_service.errors import NotFound
from mssbench_service.files import DataRoot
from starlette.middleware import Middleware

from .. import __version__
from ..execution.queue_status import QueueStatus
from ..execution.queues import connect
from ..runs.config import RunConfig
from ..runs.results import result_rows
from ..runs.status import Failure, RunStatus
from ..runs.store import open_workspace
from ..services.health import ServiceHealth, survey_separators
from ..services.runtime import make_runtime
from ..settings.secrets import secret
from . import dashboard, examples
from .auth import AnswersHead, Guard, token_from_environment
from .collector import RunCollector
from .service import Service

LOOK_SECONDS = 1.0
"""Between looks at a run whose events somebody follows."""

RunId = Annotated[str, PathParameter(description="The run's name", examples=[examples.RUN_ID])]

# Checked by `Guard`; here so that the API's description says so, and /docs has a place for the token.
_bearer = HTTPBearer(auto_error=False, description="Needed where the service was given MSSBENCH_TOKEN.")
_CHANGES: Any = {"dependencies": [Security(_bearer)]}


def _shows(example: object, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}


def _offer(health: ServiceHealth) -> dict[str, Any]:
    return {
        "service": health.name,
        "separators": [asdict(separator) for separator in health.separators],
        "reason": health.reason,
    }


def _status(request: Request, run_id: RunId) -> RunStatus:
    # Not a function of `create`: an annotation that names it is looked up in the module.
    service: Service = request.app.state.service
    return service.status(run_id)


def _then(lifespan: Callable[[FastAPI], Any], last: Callable[[], None]) -> Callable[[FastAPI], Any]:
    """`lifespan`, at whose end `last` is called."""

    @contextlib.asynccontextmanager
    async def longer(app: FastAPI) -> AsyncIterator[Any]:
        async with lifespan(app) as state:
            yield state
        await anyio.to_thread.run_sync(last)

    return longer


def create(settings: Settings | None = None, redis_url: str | None = None) -> FastAPI:
    """The application. `settings` and `redis_url` default to the environment's."""
    workspace = open_workspace(settings.data_root.root if settings else None)
    settings = replace(settings or Settings.from_environment(), data_root=DataRoot(workspace.root))
    redis_url = redis_url or secret("MSSBENCH_REDIS_URL") or "redis://localhost:6379/0"
    # Requests come over the network, whatever the transport: references are resolved strictly.
    runtime = make_runtime(workspace.root, trusted=False)
    service = Service(workspace, runtime, redis_url)

    def info() -> dict[str, Any]:
        return {"separators": [_offer(health) for health in survey_separators(runtime)]}

    def setup() -> None:
        connect(redis_url).close()
        service.supervisor.start(app.state.stopping)

    app = create_app("orchestrator", __version__, settings=settings, info=info, setup=setup)
    app.router.lifespan_context = _then(app.router.lifespan_context, service.supervisor.join)
    app.state.service = service
    app.state.metrics.registry.register(RunCollector(service))
    # Innermost, so that a refusal has its request id, too.
    app.user_middleware.append(Middleware(Guard, token=token_from_environment()))
    app.user_middleware.append(Middleware(AnswersHead))

    def ready(request: Request) -> None:
        request.app.state.readiness.require()

    @app.post(
        "/runs",
        status_code=202,
        summary="Start a run, or continue it",
        tags=["runs"],
        responses=_shows(examples.STATUS, "It was started", 202) | problems(400, 401, 403, 404, 413),
        dependencies=[Security(_bearer), Depends(ready)],
    )
    def start(config: Annotated[RunConfig, Body(openapi_examples=examples.CONFIGS)]) -> RunStatus:
        """The same configuration over the same files is the same run."""
        return service.start(config)

    @app.get(
        "/runs",
        summary="All runs, newest first",
        tags=["runs"],
        responses={
            200: {
                "description": "A page of them",
                "content": {"application/json": {"example": [examples.STATUS]}},
                "headers": {"X-Total-Count": {"description": "All runs", "schema": {"type": "integer"}}},
            }
        },
    )
    def runs(
        response: Response,
        limit: Annotated[int, Query(ge=1, le=500, description="Runs on a page")] = 50,
        offset: Annotated[int, Query(ge=0, description="Runs before it")] = 0,
    ) -> list[RunStatus]:
        """`X-Total-Count` says how many there are."""
        found, total = service.statuses(limit, offset)
        response.headers["X-Total-Count"] = str(total)
        return found

    @app.get(
        "/runs/{run_id}",
        summary="How a run stands",
        tags=["runs"],
        responses=_shows(examples.STATUS, "Its status") | problems(404),
    )
    def status(run_id: RunId) -> RunStatus:
        """`state` is `running`, `cancelled`, `complete`, or `incomplete` where nobody follows it."""
        return service.status(run_id)

    @app.get(
        "/runs/{run_id}/events",
        summary="Follow a run (server-sent events)",
        tags=["runs"],
        response_class=EventSourceResponse,
        responses={
            200: {"description": "Events", "content": {"text/event-stream": {"example": examples.EVENTS}}},
            **problems(404),
        },
    )
    async def events(
        request: Request, first: Annotated[RunStatus, Depends(_status)]
    ) -> AsyncIterator[ServerSentEvent]:
        """`progress` whenever the status changes, with the status; `end` with the last one. Then it closes."""
        now = first
        yield ServerSentEvent(event="progress", data=asdict(now))
        while now.state == "running" and not request.app.state.stopping.is_set():
            await anyio.sleep(LOOK_SECONDS)
            before = now
            try:
                now = await anyio.to_thread.run_sync(service.status, first.id)
            except NotFound:  # it was deleted meanwhile
                return
            if now != before:
                yield ServerSentEvent(event="progress", data=asdict(now))
        if now.state != "running":
            yield ServerSentEvent(event="end", data=asdict(now))

    @app.get(
        "/runs/{run_id}/results",
        summary="The rows so far",
        tags=["results"],
        responses=_shows([examples.ROW], "Four rows for each cell") | problems(404),
    )
    def results(run_id: RunId) -> list[dict[str, Any]]:
        """What has not ended yet is `pending`, what failed is `failed` and says why."""
        run = service.run(run_id)
        return result_rows(run.store, run.record)

    @app.get(
        "/runs/{run_id}/results.csv",
        summary="The table of a complete run",
        tags=["results"],
        response_class=FileResponse,
        responses={
            200: {
                "description": "CSV",
                "content": {"text/csv": {"schema": {"type": "string"}, "example": examples.TABLE}},
            },
            **problems(404),
        },
    )
    def results_csv(run_id: RunId) -> Response:
        """The same rows."""
        store = service.run(run_id).store
        path = store.results_csv
        if not path.exists():
            raise NotFound(f"run {run_id} has no results yet")
        return FileResponse(path, media_type="text/csv", filename=f"{run_id}.csv")

    @app.get(
        "/runs/{run_id}/failures",
        summary="The cells that failed, and why",
        tags=["results"],
        responses=_shows([examples.FAILURE], "Each with its reason") | problems(404),
    )
    def failures(run_id: RunId) -> list[Failure]:
        """In the run's order."""
        return service.failures(run_id)

    @app.post(
        "/runs/{run_id}/cancel",
        status_code=202,
        summary="Begin no further step of a run",
        tags=["runs"],
        responses=_shows(examples.STATUS | {"state": "cancelled"}, "Cancelled", 202)
        | problems(401, 403, 404, 409),
        **_CHANGES,
    )
    def cancel(run_id: RunId) -> RunStatus:
        """Steps that run already run to their end; cells that have not ended stay pending."""
        return service.cancel(run_id)

    @app.post(
        "/runs/{run_id}/resume",
        status_code=202,
        summary="Go on with a run that was cancelled or left",
        tags=["runs"],
        responses=_shows(examples.STATUS, "It goes on", 202) | problems(401, 403, 404),
        **_CHANGES,
    )
    def resume(run_id: RunId) -> RunStatus:
        """A run that is running already is left alone."""
        return service.resume(run_id)

    @app.post(
        "/runs/{run_id}/retry",
        status_code=202,
        summary="Try the failed cells again",
        tags=["runs"],
        responses=_shows(examples.STATUS, "They are tried again", 202) | problems(401, 403, 404, 409),
        **_CHANGES,
    )
    def retry(run_id: RunId) -> RunStatus:
        """From where their files allow: what was separated stays."""
        return service.retry(run_id)

    @app.delete(
        "/runs/{run_id}",
        status_code=204,
        summary="Remove a run and all that it has written",
        tags=["runs"],
        responses=problems(401, 403, 404, 409),
        **_CHANGES,
    )
    def delete(run_id: RunId) -> None:
        """Not while it runs. Rendered tracks stay, other runs may use them."""
        service.delete(run_id)

    @app.get(
        "/queues",
        summary="Queues and workers",
        tags=["system"],
        responses=_shows(examples.QUEUES, "What Redis knows now"),
    )
    def queues() -> QueueStatus:
        """`failed` counts jobs that the queue gave up, not cells with an error."""
        return service.queue_status()

    @app.get(
        "/runs/{run_id}/report/{path:path}",
        summary="The report's files",
        tags=["results"],
        response_class=FileResponse,
        responses={
            200: {"description": "A file", "content": {"text/html": {"schema": {"type": "string"}}}},
            **problems(404),
        },
    )
    def report(run_id: RunId, path: Annotated[str, PathParameter(examples=["index.html"])]) -> FileResponse:
        """`index.html`, and what it links to."""
        store = service.run(run_id).store
        folder = store.report.parent
        inside = DataRoot(folder).resolve(path or "index.html").relative_to(folder.resolve())
        file = folder / inside
        if not file.is_file():
            raise NotFound(f"the report of {run_id} has no file {path!r}")
        return FileResponse(file)

    app.include_router(dashboard.router(service))
    return app


app = create()
