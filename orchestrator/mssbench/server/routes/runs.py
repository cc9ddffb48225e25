"""Runs: start, list, follow, cancel, resume, retry, delete."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from mssbench_service.errors import NotFound
from mssbench_service.known import KNOWN_PARAMETERS
from mssbench_service.problems import problems

from ...runs.config import RunConfig, require_known
from ...runs.status import RunStatus
from .. import examples, status_watch
from .common import TOKEN, RunId, RunServiceDependency, json_response, require_ready

router = APIRouter(tags=["runs"], dependencies=[KNOWN_PARAMETERS])


async def require_known_settings(request: Request) -> None:
    """Raise BadInput with a suggestion if the body has an unknown setting."""
    with contextlib.suppress(ValueError, RecursionError):  # refused as a body
        settings = await request.json()
        if isinstance(settings, dict):
            require_known(settings)


@router.post(
    "/runs",
    status_code=202,
    summary="Start or continue a run",
    responses=json_response(examples.STATUS, "The run was started", 202) | problems(400, 401, 403, 404, 413),
    dependencies=[TOKEN, Depends(require_ready), Depends(require_known_settings)],
)
def start(
    config: Annotated[RunConfig, Body(openapi_examples=examples.CONFIGS)],
    service: RunServiceDependency,
    name: Annotated[str, Query(description="Its name. Default: made from its configuration and files.")] = "",
) -> RunStatus:
    """The same configuration with the same files is the same run."""
    return service.start(config, name)


@router.get(
    "/runs",
    summary="List all runs, newest first",
    responses={
        200: {
            "description": "One page of runs",
            "content": {"application/json": {"example": [examples.STATUS]}},
            "headers": {"X-Total-Count": {"description": "Number of runs", "schema": {"type": "integer"}}},
        }
    },
)
def runs(
    response: Response,
    service: RunServiceDependency,
    limit: Annotated[int, Query(ge=1, le=500, description="Number of runs per page")] = 50,
    offset: Annotated[int, Query(ge=0, description="Number of runs to skip")] = 0,
) -> list[RunStatus]:
    """`X-Total-Count` holds the number of all runs."""
    page, total = service.statuses(limit, offset)
    response.headers["X-Total-Count"] = str(total)
    return page


@router.get(
    "/runs/{run_id}",
    summary="Get the status of a run",
    responses=json_response(examples.STATUS, "Status of the run") | problems(404),
)
def status(run_id: RunId, service: RunServiceDependency) -> RunStatus:
    """`state` is `running`, `cancelled`, `complete`, or `incomplete` if no process runs it."""
    return service.status(run_id)


async def shared_status(run_id: RunId, service: RunServiceDependency) -> RunStatus:
    """The status for a client that follows events."""
    return await service.watch.latest(run_id)


@router.get(
    "/runs/{run_id}/events",
    summary="Follow a run (server-sent events)",
    response_class=EventSourceResponse,
    responses={
        200: {"description": "Events", "content": {"text/event-stream": {"example": examples.EVENTS}}},
        **problems(404),
    },
)
async def events(
    request: Request, first: Annotated[RunStatus, Depends(shared_status)], service: RunServiceDependency
) -> AsyncIterator[ServerSentEvent]:
    """Send `progress` with the status at each change, then `end` with the last status, and close."""
    now = first
    yield ServerSentEvent(event="progress", data=asdict(now))
    while now.state == "running" and not request.app.state.stopping.is_set():
        await anyio.sleep(status_watch.SECONDS)
        before = now
        try:
            now = await service.watch.latest(first.id)
        except NotFound:  # the run was deleted
            return
        if now != before:
            yield ServerSentEvent(event="progress", data=asdict(now))
    if now.state != "running":
        yield ServerSentEvent(event="end", data=asdict(now))


def change(name: str, summary: str, response: str, *errors: int, **example: str) -> Callable[..., Any]:
    """Decorator of a route that changes a run, ``POST /runs/{run_id}/<name>``, and returns its status."""
    return router.post(
        f"/runs/{{run_id}}/{name}",
        status_code=202,
        summary=summary,
        responses=json_response(examples.STATUS | example, response, 202) | problems(401, 403, 404, *errors),
        dependencies=[TOKEN],
    )


@change("cancel", "Cancel a run", "The run is cancelled", 409, state="cancelled")
def cancel(run_id: RunId, service: RunServiceDependency) -> RunStatus:
    """No further step starts. Steps that are running finish; all other cells stay pending."""
    return service.cancel(run_id)


@change("resume", "Resume a run that was cancelled or interrupted", "The run is running")
def resume(run_id: RunId, service: RunServiceDependency) -> RunStatus:
    """Does nothing if the run is running."""
    return service.resume(run_id)


@change("retry", "Retry the failed cells of a run", "The failed cells are pending again", 409)
def retry(run_id: RunId, service: RunServiceDependency) -> RunStatus:
    """Finished steps are not repeated: existing estimates are used again."""
    return service.retry(run_id)


@router.delete(
    "/runs/{run_id}",
    status_code=204,
    summary="Delete a run with all its files",
    responses=problems(401, 403, 404, 409),
    dependencies=[TOKEN],
)
def delete(run_id: RunId, service: RunServiceDependency) -> None:
    """A run that is running is refused. Rendered tracks stay, because other runs may use them."""
    service.delete(run_id)
