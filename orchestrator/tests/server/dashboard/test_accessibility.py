"""Every page and dialog of the dashboard in its states, with axe-core: on wide and narrow screens, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from browsing import PLACES
from dashboard_pages import Watched, fill_form
from mssbench.runs.store import Workspace
from mssbench_contract.server import wait_for

RUN = {"dataset": "data/music", "separators": ["oracle-irm", "oracle-identity"], "bsseval": False}
TOKEN = {"Authorization": "Bearer sesame"}

OUTSIDE = """() => { const edge = document.querySelector("main").getBoundingClientRect().right + 1;
  return [...document.querySelectorAll("main table, main p, main dl, main progress")]
    .filter((e) => !e.closest(".scroll, .sr") && e.getBoundingClientRect().right > edge).map((e) => e.className); }"""
"""Elements that are wider than the column, even if they still fit the screen."""


def check(watched: Watched, state: str) -> None:
    """Check the page as it is now on all screens. `state` is for the message."""
    page = watched.page
    for width, scheme in PLACES:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        where = f"{state}, {width} px, {scheme}"
        assert watched.violations() == [], where
        assert watched.overflow() == 0, where
        assert page.evaluate(OUTSIDE) == [], where
        assert page.locator("h1").count() == page.locator("main").count() == 1, where
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light"), where


def visit(page: Any, path: str, details: bool = False) -> None:
    """Open a page whose services have answered, with its details open or as they are."""
    page.goto(path)
    page.locator("[data-pending]").wait_for(state="detached")
    if details:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_pages_of_a_service_with_workers(browser: Any, system: Any) -> None:
    system.damage(system.marked)
    try:
        run = httpx.post(f"{system.url}/runs", json=RUN, timeout=60).json()["id"]
        wait_for(lambda: system.state(run) == "complete")
    finally:
        system.repair(system.marked)
    with Watched(browser, system) as watched:
        page = watched.page
        visit(page, "/")
        check(watched, "the list of runs")
        visit(page, f"/?like={run}", details=True)
        check(watched, "the launch form with open details")
        for details in (False, True):
            visit(page, f"/ui/runs/{run}", details)
            page.get_by_role("button", name="Retry 4 failed cells").wait_for()
            # A row for each reason: of the separation in stereo and of the rendering.
            rows = page.locator(".failures tbody tr th")
            assert [row.locator("summary").inner_text() for row in rows.all()] == ["2 cells", "2 cells"]
            check(watched, f"a complete run with failed cells, details open: {details}")
            visit(page, "/ui/system", details)
            check(watched, f"workers and services, details open: {details}")
        watched.expect_refusal(404)
        visit(page, "/ui/runs/nothing")
        check(watched, "an error")
        visit(page, "/leaderboard/")
        check(watched, "the leaderboard")


def test_pages_and_dialogs_of_a_service_without_workers(browser: Any, guarded: Any) -> None:
    with Watched(browser, guarded) as watched:
        page = watched.page
        visit(page, "/")
        page.get_by_text("No runs yet").wait_for()
        check(watched, "no runs")
        visit(page, "/ui/system")
        check(watched, "no workers")
        watched.expect_refusal(401)
        fill_form(page, "oracle-irm")
        page.get_by_role("button", name="Launch").click()
        page.get_by_role("dialog", name="Access token").wait_for()
        check(watched, "the dialog of the token")
        page.keyboard.press("Escape")
        page.get_by_role("alert").wait_for()
        check(watched, "a refused launch")

        run = httpx.post(f"{guarded.url}/runs", json=RUN, headers=TOKEN, timeout=60).json()["id"]
        visit(page, "/ui/system")
        page.get_by_text("no worker listens on this queue").first.wait_for()
        check(watched, "jobs without workers")
        visit(page, "/")
        page.get_by_text("no worker listens on render, separate-oracle").wait_for()
        end_two_cells(guarded.root, run)
        visit(page, f"/ui/runs/{run}", details=True)
        page.get_by_role("table", name="Scores").wait_for()
        check(watched, "a running run with its first scores")
        assert page.locator("#places").inner_text().count("no worker listens on this queue yet") == 2
        assert httpx.post(f"{guarded.url}/runs/{run}/cancel", headers=TOKEN, timeout=60).is_success
        visit(page, f"/ui/runs/{run}")
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("dialog", name="Delete").wait_for()
        check(watched, "the dialog before a run is deleted")


def test_the_description_of_the_api(browser: Any, guarded: Any) -> None:
    show = ".opblock-summary-control[aria-expanded=false]"
    with Watched(browser, guarded) as watched:
        page = watched.page
        page.goto("/docs")
        page.locator(show).first.wait_for()
        found = {name for name, _ in watched.violations()}
        page.evaluate(f"document.querySelectorAll('{show}').forEach(one => one.click())")
        page.locator(".responses-table").first.wait_for()
        assert page.locator("main").count() == 1
        assert watched.overflow() == 0
        found |= {name for name, _ in watched.violations()}
        # Of Swagger UI itself: it has no heading of the second level, all tables of responses have the same label,
        # and the choice of examples has none.
        assert found <= {"heading-order", "landmark-unique", "select-name"}


def test_pages_of_a_service_without_redis(browser: Any, stranded: Any) -> None:
    with Watched(browser, stranded) as watched:
        page = watched.page
        visit(page, "/ui/system")
        page.get_by_text("The queue does not answer").wait_for()
        check(watched, "no queue")
        watched.expect_refusal(503)
        fill_form(page, "oracle-irm")
        page.get_by_role("button", name="Launch").click()
        page.get_by_role("alert").get_by_text("Redis").wait_for()
        check(watched, "a launch without a queue")


def end_two_cells(root: Path, run: str) -> None:
    """End a cell with scores and one with an error, as workers do."""
    store = Workspace(root).run(run)
    scored, failed = [cell for cell in store.load().cells() if cell.condition == "stereo"][:2]
    rows = [{"source": "vocals", "status": "ok", "SSR": 12.5, "SRR": 7.25, "d_itd_us": 20.0}]
    store.save_result(scored, {"rows": rows})
    store.save_error(failed, "separate", "step-failed", "it broke", trace="Traceback: a long log")
