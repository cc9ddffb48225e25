"""RFC 9457 problem documents: the format of all errors that a service returns."""

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

from .errors import BadInput, BenchError, ClientDisconnected, OutOfMemory, Unavailable, one_line
from .files import DataRoot, storage_error
from .wire import validation_detail

log = logging.getLogger("mssbench")

MEDIA_TYPE = "application/problem+json"

UPLOADS = "separate-"
"""Prefix of the folders with uploaded files, in the system's folder for temporary files."""

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "the error, as a URN"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one line for the user"},
        "retryable": {"type": "boolean", "description": "whether a retry may succeed"},
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
    for kind in kinds:  # it grows: base classes come before their subclasses
        if kind.status == status:
            return kind("what was found, and what was expected").to_problem()
        kinds.extend(kind.__subclasses__())
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}


def install_problem_documents(app: FastAPI, root: DataRoot) -> None:
    """Make `app` answer every error with a problem document.

    Messages contain full paths, for use in a terminal. Over HTTP they become relative to the data root, and uploads are
    named by their form field.
    """
    uploads = re.compile(f"{re.escape(tempfile.gettempdir())}/{UPLOADS}[^/]+/")

    def shown(detail: str) -> str:
        return root.hide_root(uploads.sub("", detail))

    async def bench_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, BenchError)
        if error.status >= 500 and not isinstance(error, Unavailable):
            log.error("%s %s: %s", request.method, request.url.path, error.detail)
        elif isinstance(error, ClientDisconnected):  # uvicorn does not log a response that is not sent
            log.info("%s %s: %s", request.method, request.url.path, error.detail)
        return problem_response(error, shown(error.detail))

    async def system_error(request: Request, error: Exception) -> Response:
        if found := storage_error(error, root.root):
            return await bench_error(request, found)
        raise error

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(BadInput(validation_detail(error.errors())))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status, title = error.status_code, HTTPStatus(error.status_code).phrase
        detail = one_line(str(error.detail))
        if detail == title:
            detail = one_line(f"{request.method} {request.url.path}: {title.lower()}")
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        return JSONResponse(problem, status, error.headers, MEDIA_TYPE)

    async def out_of_memory(request: Request, error: Exception) -> Response:
        log.error("%s %s ran out of memory", request.method, request.url.path, exc_info=error)
        return problem_response(OutOfMemory("there was not enough memory for this", retry_after=30))

    async def disconnected(request: Request, _: Exception) -> Response:
        where = f"{request.method} {request.url.path}"
        log.info("%s: the client disconnected before the request was complete", where)
        return problem_response(BadInput("the request is not complete"))  # it cannot be sent

    async def unexpected(request: Request, error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", "")
        log.error("%s %s failed (%s)", request.method, request.url.path, request_id, exc_info=error)
        # The details are only in the log: they may contain paths and private data.
        response = problem_response(BenchError("an unexpected error; the service's log has the details"))
        response.headers["X-Request-ID"] = request_id  # this response does not pass through RequestId
        return response

    app.add_exception_handler(BenchError, bench_error)
    app.add_exception_handler(OSError, system_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(MemoryError, out_of_memory)
    app.add_exception_handler(ClientDisconnect, disconnected)
    app.add_exception_handler(Exception, unexpected)


def problem_response(error: BenchError, detail: str | None = None) -> Response:
    """RFC 9457 problem document of `error`, with ``Retry-After`` where a retry may succeed."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Unavailable) else None
    problem = error.to_problem() | ({"detail": detail} if detail is not None else {})
    return JSONResponse(problem, error.status, headers, MEDIA_TYPE)
