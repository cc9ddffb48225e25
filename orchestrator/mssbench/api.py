"""The orchestrator service: start runs, watch them, fetch their results and reports.

Its runs go through RQ on the Redis at ``MSSBENCH_REDIS_URL``. A supervisor thread follows every run that was
started here, puts back what got lost, and ends it with tables and a report; after a restart it takes up
whatever was not complete.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response
from mssbench_service.app import Settings, create_app
from mssbench_service.errors import BenchError, NotFound, Unavailable
from mssbench_service.files import DataRoot, write_text
from redis.exceptions import RedisError

from . import __version__
from .config import RunConfig
from .launch import Progress, finish, open_run, prepare, progress_of
from .queues import connect, reconcile
from .results import result_rows
from .runtime import Runtime, make_runtime
from .steps import Run
from .store import Workspace

log = logging.getLogger("mssbench")

LAUNCHED = "launched-by-api"
"""Marks a run directory whose run this service follows."""

PROBLEM = "report-problem.txt"
"""Why the run's tables or report could not be written."""


@dataclass
class RunStatus:
    """How a run stands. When `state` is ``complete`` (not ``incomplete``), `links` has its table and report.

    `problem` says what went wrong with the run as a whole, such as a report that could not be written.
    """

    id: str
    state: str
    created: str
    progress: Progress
    separators: list[dict[str, Any]]
    links: dict[str, str]
    problem: str = ""


class Supervisor:
    """Follows runs, one thread for all."""

    def __init__(self, workspace: Workspace, runtime: Runtime, redis_url: str, seconds: float = 1.0) -> None:
        self.workspace, self.runtime, self.redis_url, self.seconds = workspace, runtime, redis_url, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def launch(self, run: Run) -> None:
        """From now on, follow `run`."""
        (run.store.folder / LAUNCHED).touch()
        reconcile(run, connect(self.redis_url))

    def _follow(self) -> None:
        reconciled = 0.0
        while not self._stop.wait(self.seconds):
            again = time.monotonic() - reconciled > 5 * self.seconds
            for marker in sorted(self.workspace.runs.glob(f"*/{LAUNCHED}")):
                try:
                    run = open_run(self.workspace.run(marker.parent.name), self.runtime)
                    self._advance(run, again)
                except (BenchError, RedisError, OSError) as error:
                    log.warning("run %s: %s", marker.parent.name, error)
                except Exception:  # one damaged run must not stop the others
                    log.exception("run %s", marker.parent.name)
            if again:
                reconciled = time.monotonic()

    def _advance(self, run: Run, again: bool) -> None:
        if progress_of(run).complete:
            with run.store.exclusive():
                self._finish(run)
                (run.store.folder / LAUNCHED).unlink(missing_ok=True)
        elif again:
            reconcile(run, connect(self.redis_url))

    def _finish(self, run: Run) -> None:
        problem = run.store.folder / PROBLEM
        try:
            finish(run)
            problem.unlink(missing_ok=True)
        except Exception as error:  # trying for ever would not mend it: say so, `mssbench report` tries again
            log.exception("run %s: no report", run.store.id)
            write_text(problem, f"{type(error).__name__}: {error}")


def create(settings: Settings | None = None, redis_url: str | None = None) -> FastAPI:
    """The application. `settings` and `redis_url` default to the environment's."""
    settings = settings or Settings.from_environment()
    redis_url = redis_url or os.environ.get("MSSBENCH_REDIS_URL") or "redis://localhost:6379/0"
    workspace = Workspace(settings.data_root.root)
    # Requests come over the network, whatever the transport: references are resolved strictly.
    runtime = make_runtime(workspace.root, trusted=False)
    supervisor = Supervisor(workspace, runtime, redis_url)

    def info() -> dict[str, Any]:
        return {"separators": [asdict(found) for found in runtime.availability()]}

    def setup() -> None:
        connect(redis_url).close()
        supervisor.start()

    app = create_app("orchestrator", __version__, settings=settings, info=info, setup=setup)

    def load(run_id: str) -> Run:
        return open_run(workspace.run(run_id), runtime)

    def describe(run: Run) -> RunStatus:
        done = progress_of(run)
        # Complete means that the tables and the report are there, not only that the last cell ended.
        state = "complete" if done.complete and not (run.store.folder / LAUNCHED).exists() else "incomplete"
        links = {"self": f"/runs/{run.store.id}"}
        for path in (run.store.results_csv, run.store.report):
            if state == "complete" and path.exists():
                name = path.relative_to(run.store.folder).as_posix()
                links[name] = f"/runs/{run.store.id}/{name}"
        separators = [asdict(separator) for separator in run.record.separators]
        problem = run.store.folder / PROBLEM
        said = problem.read_text(encoding="utf-8") if problem.exists() else ""
        return RunStatus(run.store.id, state, run.record.created, done, separators, links, said)

    @app.post("/runs", status_code=202, summary="Start a run, or continue it")
    async def start(request: Request, config: RunConfig) -> RunStatus:
        """The same configuration over the same files is the same run."""
        request.app.state.readiness.require()

        def begin() -> RunStatus:
            run = prepare(config, workspace, runtime, command=f"POST /runs {asdict(config)}")
            try:
                supervisor.launch(run)
            except RedisError as error:
                raise Unavailable(f"the queue does not answer: {error}") from None
            return describe(run)

        return await anyio.to_thread.run_sync(begin)

    @app.get("/runs", summary="All runs, newest first")
    def runs() -> list[RunStatus]:
        return [describe(load(run_id)) for run_id in workspace.run_ids()]

    @app.get("/runs/{run_id}", summary="How a run stands")
    def status(run_id: str) -> RunStatus:
        return describe(load(run_id))

    @app.get("/runs/{run_id}/results", summary="The rows so far")
    def results(run_id: str) -> list[dict[str, Any]]:
        run = load(run_id)
        return result_rows(run.store, run.record)

    @app.get("/runs/{run_id}/results.csv", summary="The table of a complete run")
    def results_csv(run_id: str) -> Response:
        path = load(run_id).store.results_csv
        if not path.exists():
            raise NotFound(f"run {run_id} has no results yet")
        return FileResponse(path, media_type="text/csv", filename=f"{run_id}.csv")

    @app.get("/runs/{run_id}/report/{path:path}", summary="The report's files")
    def report(run_id: str, path: str) -> Response:
        folder = DataRoot(load(run_id).store.report.parent)
        file = folder.existing(path or "index.html")
        if not file.is_file():
            raise NotFound(f"the report of {run_id} has no file {path!r}")
        return FileResponse(file)

    return app


app = create()
