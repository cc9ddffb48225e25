"""RFC 9457 problem documents: the one format of every error that a service answers."""

from __future__ import annotations

import logging
import re
import tempfile
from http import HTTPStatus
from typing import Any, Union

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .errors import PROBLEM_TYPE, BadInput, BenchError, ClientDisconnected, OutOfMemory, Unavailable, one_line
from .files import DataRoot
from .wire import validation_detail

log = logging.getLogger("mssbench")

MEDIA_TYPE = "application/problem+json"

UPLOADS = "separate-"
"""How the names of folders with uploaded files begin, in the system's folder for temporary files."""

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "which error of the family it is, as a URN"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line for a person"},
        "retryable": {"type": "boolean", "description": "whether it makes sense to try again"},
        "retry_after": {"type": "integer", "description": "seconds"},
    },
}


def problems(*statuses: int) -> dict[Union[int, str], dict[str, Any]]:  # noqa: UP007
    """Descriptions of the errors with these statuses, for ``responses=`` of a route."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _SCHEMA, "example": _example(status)}},
        }
        for status in statuses
    }


def _example(status: int) -> dict[str, Any]:
    kinds = [BenchError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    for kind in kinds:
        if kind.status == status:
            return {
                "type": PROBLEM_TYPE + kind.code,
                "title": kind.title,
                "status": status,
                "detail": "what was found, and what was expected",
                "retryable": kind.retryable,
            }
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}


def install_problem_documents(app: FastAPI, root: DataRoot) -> None:
    # Messages name files by their full path, which is right on a terminal; a caller over HTTP sees them
    # relative to the data root, and uploads by the name of their form field.
    uploads = f"{re.escape(tempfile.gettempdir())}/{UPLOADS}[^/]+"
    roots = "|".join(re.escape(str(path)) for path in (root.root.resolve(), root.root))
    inside = re.compile(f"({roots}|{uploads})/")
    itself = re.compile(rf"({roots})(?![^\s:;,'\")])")

    def shown(detail: str) -> str:
        return itself.sub("the data root", inside.sub("", detail))

    async def bench_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, BenchError)
        if error.status >= 500 and not isinstance(error, Unavailable):
            log.error("%s %s: %s", request.method, request.url.path, error.detail)
        elif isinstance(
            error, ClientDisconnected
        ):  # nobody reads the answer, and so the server does not log it
            log.info("%s %s: %s", request.method, request.url.path, error.detail)
        return problem_response(error, shown(error.detail))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(BadInput(validation_detail(error.errors())))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = HTTPStatus(error.status_code).phrase
        said = one_line(str(error.detail))
        problem = {
            "type": "about:blank",
            "title": title,
            "status": error.status_code,
            "detail": said
            if said != title
            else one_line(f"{request.method} {request.url.path}: {title.lower()}"),
        }
        return JSONResponse(problem, error.status_code, error.headers, MEDIA_TYPE)

    async def out_of_memory(request: Request, error: Exception) -> Response:
        log.error("%s %s ran out of memory", request.method, request.url.path, exc_info=error)
        return problem_response(OutOfMemory("there was not enough memory for this", retry_after=30))

    async def gone(request: Request, _: Exception) -> Response:
        log.info(
            "%s %s: the client went away before it had sent everything", request.method, request.url.path
        )
        return problem_response(BadInput("the request broke off"))  # which nobody will read

    async def unexpected(request: Request, error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", "")
        log.error("%s %s failed (%s)", request.method, request.url.path, request_id, exc_info=error)
        # The details stay in the log: they may name paths or hold data that are nobody's business.
        response = problem_response(BenchError("an unexpected error; the service's log has the details"))
        response.headers["X-Request-ID"] = request_id  # this answer is made outside of RequestId
        return response

    app.add_exception_handler(BenchError, bench_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(MemoryError, out_of_memory)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unexpected)


def problem_response(error: BenchError, detail: str | None = None) -> Response:
    """RFC 9457 problem document of `error`, with ``Retry-After`` where a retry makes sense."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Unavailable) else None
    problem = error.to_problem() | ({"detail": detail} if detail is not None else {})
    return JSONResponse(problem, error.status, headers, MEDIA_TYPE)
