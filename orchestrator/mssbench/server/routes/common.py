"""Parameters, dependencies and descriptions that the routers share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer

from .. import examples
from ..run_service import RunService

RunId = Annotated[str, Path(description="The run's name", examples=[examples.RUN_ID])]

# `AuthMiddleware` checks the token. This puts it into the API's description, and a field for it into /docs.
TOKEN: Any = Security(
    HTTPBearer(auto_error=False, description="Required if the service was started with MSSBENCH_TOKEN.")
)


def get_service(request: Request) -> RunService:
    """The service behind the API."""
    service: RunService = request.app.state.service
    return service


def require_ready(request: Request) -> None:
    """Raise `NotReady` until the service has started."""
    request.app.state.readiness.require()


RunServiceDependency = Annotated[RunService, Depends(get_service)]


def json_response(example: object, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The description of a response for the OpenAPI document."""
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}
