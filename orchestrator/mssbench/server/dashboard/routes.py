"""Pages of the dashboard and their URLs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from mssbench_service.errors import BenchError

from ...services.health_cache import HealthCache
from ..leaderboard import LeaderboardSite
from ..routes.results import page as page_of_run
from ..run_service import RunService
from . import pages, views
from .scores import LiveScores


def create_router(service: RunService, site: LeaderboardSite) -> APIRouter:
    """Build the routes of the dashboard."""
    health = HealthCache(service.runtime)
    scores = LiveScores()
    router = APIRouter(include_in_schema=False)

    def error_page(error: BenchError) -> Response:
        detail = service.message(error)
        return pages.render("error.html.j2", {"title": error.title, "detail": detail}, error.status)

    @router.get("/")
    def runs(page: str = "1", like: str = "") -> Response:
        try:
            context = views.runs_page(service, page, like)
        except BenchError as error:
            return error_page(error)
        return pages.render("runs.html.j2", context | {"services": health.latest(), "notice": service.notice})

    @router.get("/ui/runs/{run_id}")
    def run(run_id: str, page: str = "1") -> Response:
        try:
            context = views.run_page(service.run(run_id), service.status(run_id), page, scores)
            return pages.render("run.html.j2", context)
        except BenchError as error:
            return error_page(error)

    @router.get("/ui/estimate")
    def estimate(config: str) -> dict[str, str]:
        """The cost of the run, or why it would be refused."""
        try:
            return {"text": views.cost_text(config, service), "problem": ""}
        except BenchError as error:
            return {"text": "", "problem": service.message(error)}

    @router.get("/ui/system")
    def system() -> Response:
        context: dict[str, Any] = {"services": health.latest(), "queue_status": None, "problem": ""}
        try:
            context["queue_status"] = service.queue_status()
        except BenchError as error:
            context["problem"] = service.message(error)
        return pages.render("system.html.j2", context)

    @router.get("/leaderboard")
    def leaderboard() -> Response:
        return RedirectResponse("leaderboard/")  # links of its pages are relative

    @router.get("/leaderboard/{path:path}")
    def leaderboard_file(path: str) -> Response:
        try:
            return page_of_run(site.file(path))
        except BenchError as error:
            return error_page(error)

    @router.get("/ui/assets/{name}")
    def asset(name: str) -> Response:
        return pages.asset(name)

    @router.get("/favicon.ico")
    def icon() -> Response:
        """Browsers request this for pages without an icon, such as reports."""
        return pages.asset("icon.svg")

    return router
