"""Parameters, dependencies and descriptions that the routers share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer
from mssbench_service.errors import BadInput
from mssbench_service.names import suggestion

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


def require_known_parameters(request: Request) -> None:
    """Raise BadInput with a suggestion if the query has a parameter that the route does not have."""
    known = sorted(parameter.alias for parameter in request.scope["route"].dependant.query_params)
    for name in request.query_params:
        if name not in known:
            near = suggestion(name, known) or f"; known: {', '.join(known) or 'none'}"
            raise BadInput(f"unknown parameter {name[:100]!r}{near}")


KNOWN_PARAMETERS: Any = Depends(require_known_parameters)


def require_ready(request: Request) -> None:
    """Raise `NotReady` until the service has started."""
    request.app.state.readiness.require()


RunServiceDependency = Annotated[RunService, Depends(get_service)]


def json_response(example: object, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The description of a response for the OpenAPI document."""
    content = {"application/json": {"example": example}}
    return {status: {"description": description, "content": content}}
