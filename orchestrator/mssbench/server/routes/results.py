"""Results of a run: rows, table, failures, report."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from mssbench_service.errors import NotFound
from mssbench_service.files import DataRoot
from mssbench_service.known import KNOWN_PARAMETERS
from mssbench_service.problems import problems

from ...runs.results import result_rows
from ...runs.status import Failure, failures_of
from .. import examples
from .common import RunId, RunServiceDependency, json_response

router = APIRouter(prefix="/runs/{run_id}", tags=["results"], dependencies=[KNOWN_PARAMETERS])


@router.get(
    "/results",
    summary="Get the result rows",
    responses=json_response([examples.ROW], "Four rows per cell") | problems(404),
)
def results(run_id: RunId, service: RunServiceDependency) -> list[dict[str, Any]]:
    """`status` is `pending` for unfinished cells, and `failed` with a reason for failed ones."""
    run = service.run(run_id)
    return result_rows(run.store, run.record)


@router.get(
    "/results.csv",
    summary="Get the result table of a complete run",
    response_class=FileResponse,
    responses={
        200: {
            "description": "CSV",
            "content": {"text/csv": {"schema": {"type": "string"}, "example": examples.TABLE}},
        },
        **problems(404),
    },
)
def results_csv(run_id: RunId, service: RunServiceDependency) -> Response:
    """The rows of `results` as CSV."""
    path = service.run(run_id).store.layout.results_csv
    if not path.exists():
        raise NotFound(f"run {run_id} has no results yet")
    return FileResponse(path, media_type="text/csv", filename=f"{run_id}.csv")


@router.get(
    "/failures",
    summary="List the failed cells with their reasons",
    responses=json_response([examples.FAILURE], "The failed cells") | problems(404),
)
def failures(run_id: RunId, service: RunServiceDependency) -> list[Failure]:
    """In the order of the run."""
    return failures_of(service.run(run_id))


@router.get(
    "/report/{path:path}",
    summary="Get a file of the report",
    response_class=FileResponse,
    responses={
        200: {"description": "A file", "content": {"text/html": {"schema": {"type": "string"}}}},
        **problems(404),
    },
)
def report(
    run_id: RunId, path: Annotated[str, Path(examples=["index.html"])], service: RunServiceDependency
) -> FileResponse:
    """`index.html`, and the files that it links to."""
    folder = service.run(run_id).store.layout.report.parent
    inside = DataRoot(folder).resolve(path or "index.html").relative_to(folder.resolve())
    file = folder / inside
    if not file.is_file():
        raise NotFound(f"the report of {run_id} has no file {path!r}")
    return page(file)


def page(file: FilePath) -> FileResponse:
    """A file of a report or of the leaderboard, with the content security policy that it has itself."""
    return FileResponse(file, headers={"Content-Security-Policy": _policy_of(file), **_HEADERS})


_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
_POLICY_OF_EARLIER_VERSIONS = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; media-src 'self'"
)
_POLICY = re.compile(rb'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')


def _policy_of(file: FilePath) -> str:
    """The policy that the page itself has, extended by what only a header can say."""
    with file.open("rb") as page:
        found = _POLICY.search(page.read(1000))
    policy = found[1].decode("latin-1") if found else _POLICY_OF_EARLIER_VERSIONS
    return f"{policy}; frame-ancestors 'none'"
