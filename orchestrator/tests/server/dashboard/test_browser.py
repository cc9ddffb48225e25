"""The dashboard in headless Chromium with a real orchestrator: launch, follow, read, retry, cancel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from dashboard_pages import (
    Watched,
    fill_form,
    give_token,
    launch,
    open_form,
    run_id_of_page,
    separator,
    state,
)


@dataclass(frozen=True)
class Launched:
    """A run that was launched from the page, and the announcement when it was complete."""

    id: str
    reloaded: bool
    said: str


@pytest.fixture(scope="module")
def launched(browser: Any, system: Any) -> Launched:
    with Watched(browser, system) as watched:
        page = watched.page
        fill_form(page, "oracle-identity", "oracle-irm", tracks=1, binaural=True)
        page.get_by_text("Rendering and scoring").click()
        page.get_by_label("Seed").fill("7")
        page.get_by_role("button", name="Launch").click()
        run_id = run_id_of_page(page)
        page.evaluate("window.sameDocument = true")
        state(page, "complete")
        page.locator("#said:not(:empty)").wait_for(state="attached")
        said = page.locator("#said[role=status]").text_content()
        return Launched(run_id, not page.evaluate("window.sameDocument === true"), said)


def test_a_run_is_launched_followed_and_read(browser: Any, system: Any, launched: Launched) -> None:
    assert not launched.reloaded
    # The announcement for screen readers.
    assert launched.said == "Run complete: 4 of 4 cells ended."
    with Watched(browser, system) as watched:
        page = watched.page
        page.goto("/")
        row = page.get_by_role("listitem").filter(has_text=launched.id)
        assert "4 of 4" in row.inner_text()
        assert "complete" in row.inner_text()
        row.get_by_role("link", name=launched.id, exact=True).click()
        stages = page.locator(".stages progress")
        stages.first.wait_for()
        assert [(one.get_attribute("aria-label"), one.text_content()) for one in stages.all()] == [
            ("Tracks rendered", "1 of 1"),
            ("Cells separated", "4 of 4"),
            ("Cells ended", "4 of 4"),
        ]
        rows = page.locator(".separators tbody tr th")
        assert [head.inner_text().split() for head in rows.all()] == [
            ["oracle-irm", "stereo"],
            ["oracle-irm", "binaural"],
            ["oracle-identity", "stereo"],
            ["oracle-identity", "binaural"],
        ]
        table = page.locator(".medians")
        heads = [head.inner_text().split(" (")[0] for head in table.locator("thead th").all()]
        assert heads[0] == "Separator"
        assert {"SSR", "SRR", "ΔITD", "ΔILD"} <= set(heads)
        rows = table.locator("tbody tr")
        assert rows.count() == 4
        assert rows.nth(1).locator("th").inner_text().split() == ["oracle-irm", "binaural"]
        assert re.fullmatch(r"\d+\.\d+", rows.nth(1).locator("td").nth(heads.index("SSR") - 1).inner_text())
        assert page.locator("#failures").inner_text() == "None."
        assert "drawn with seed 7" in page.locator("main").inner_text()
        page.get_by_role("link", name="Open the report").click()
        page.wait_for_url(f"**/runs/{launched.id}/report/index.html")
        assert launched.id in page.title()
        assert page.locator("h1").is_visible()


def test_progress_is_shown_while_a_run_is_running(browser: Any, guarded: Any) -> None:
    # This orchestrator has no workers: the test ends the cells one at a time, as workers do.
    with Watched(browser, guarded) as watched:
        page = watched.page
        watched.expect_refusal(401)
        fill_form(page, "oracle-swap")
        page.get_by_role("button", name="Launch").click()
        give_token(page)
        run_id = run_id_of_page(page)
        bar = page.get_by_role("progressbar", name="oracle-swap, stereo: evaluated")
        assert bar.get_attribute("value") == "0"
        titles = sorted(path.name for path in (guarded.root / "data/music/test").iterdir())
        folder = guarded.root / "runs" / run_id / "cells" / "stereo" / "oracle-swap" / titles[0]
        folder.mkdir(parents=True)
        error = folder / "error.json"
        error.with_suffix(".tmp").write_text('{"step": "separate", "detail": "<i>it</i> broke"}')
        error.with_suffix(".tmp").rename(error)
        page.locator("progress[aria-label='oracle-swap, stereo: evaluated'][value='1']").wait_for()
        assert "1 of 2" in page.locator(".separators").inner_text()
        page.get_by_role("button", name="Retry 1 failed cell").wait_for()
        assert "<i>it</i> broke" in page.locator("#failures").inner_text()
        page.get_by_role("button", name="Cancel").click()
        state(page, "cancelled")
        assert page.locator("#said").text_content() == "Run cancelled."
        page.get_by_role("button", name="Resume").click()
        state(page, "running")
        page.get_by_role("button", name="Cancel").click()
        state(page, "cancelled")


def test_a_failure_shows_its_reason_and_can_be_retried(browser: Any, system: Any) -> None:
    system.damage(system.marked)
    with Watched(browser, system) as watched:
        page = watched.page
        run_id = launch(page, "oracle-identity")
        state(page, "complete")
        retry = page.get_by_role("button", name="Retry 1 failed cell")
        row = page.locator(".failures tbody tr")
        assert row.count() == 1
        assert system.marked in row.inner_text()  # as text, not as markup
        assert "oracle-identity, stereo" in row.inner_text()
        assert "NaN" in row.inner_text() or "finite" in row.inner_text()
        assert page.locator("main img, main b").count() == 0
        # A complete run with failed cells does not show the green tick.
        assert page.locator("h1 .state").inner_text().split() == ["!", "complete"]
        assert page.locator("progress.full").count() == 0
        system.repair(system.marked)
        retry.focus()
        page.keyboard.press("Enter")
        page.get_by_text("None.", exact=True).wait_for()
        state(page, "complete")
        # The focused button is gone: the focus moves to the section, not to the top of the page.
        assert page.evaluate("document.activeElement.id") == "failures"
        assert page.locator(".stages .figures dd").first.text_content() == "0"
        assert page.locator("h1 .state").inner_text().split() == ["✓", "complete"]
        assert page.get_by_role("link", name="Open the report").is_visible()
    assert system.state(run_id) == "complete"


def test_deleting_a_run_needs_confirmation(browser: Any, guarded: Any) -> None:
    with Watched(browser, guarded) as watched:
        page = watched.page
        watched.expect_refusal(401)
        fill_form(page, "oracle-mixture")
        page.get_by_role("button", name="Launch").click()
        give_token(page)
        run_id = run_id_of_page(page)
        assert page.get_by_role("button", name="Delete …").count() == 0  # not while the run is running
        page.get_by_role("button", name="Cancel").click()
        state(page, "cancelled")
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("button", name="Keep").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        assert (guarded.root / "runs" / run_id / "run.json").exists()
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        page.wait_for_url(f"{guarded.url}/")
        assert not (guarded.root / "runs" / run_id).exists()
        assert run_id not in page.locator("#runs").inner_text()


def test_an_error_of_the_service_is_shown_next_to_the_form(browser: Any, system: Any) -> None:
    with Watched(browser, system) as watched:
        page = watched.page
        fill_form(page, "oracle-identity")
        page.get_by_label("Dataset").fill("no/such <i>place</i>")
        watched.expect_refusal(404)
        page.get_by_role("button", name="Launch").click()
        problem = page.get_by_role("alert")
        problem.wait_for()
        assert "'no/such <i>place</i>' does not exist under the data root" in problem.inner_text()
        assert page.evaluate("document.activeElement.id") == "launch-problem"
        page.get_by_label("Dataset").fill("data/music")
        page.get_by_role("checkbox", name="stereo").uncheck()
        watched.expect_refusal(422)
        page.get_by_role("button", name="Launch").click()
        problem.get_by_text("no condition given").wait_for()
        assert page.url == f"{system.url}/"


def test_the_token_is_requested_and_kept_for_the_tab(browser: Any, guarded: Any) -> None:
    with Watched(browser, guarded) as watched:
        page = watched.page
        watched.expect_refusal(401)
        fill_form(page, "oracle-identity")
        page.get_by_role("button", name="Launch").click()
        dialog = page.get_by_role("dialog", name="Access token")
        dialog.wait_for()
        assert page.evaluate("document.activeElement.id") == "token-value"
        page.keyboard.press("Escape")
        page.get_by_role("alert").wait_for()  # nothing was started, and the page shows the reason
        page.get_by_role("button", name="Launch").click()
        page.locator("#token-value").fill("wrong")
        page.get_by_role("button", name="Use this token").click()
        page.get_by_text("That token was not accepted.").wait_for()
        page.locator("#token-value").fill("sesame")
        page.get_by_role("button", name="Use this token").click()
        run_id_of_page(page)
        page.get_by_role("button", name="Cancel").click()  # the token is not requested again
        state(page, "cancelled")
        assert page.evaluate("[sessionStorage.length, localStorage.length]") == [1, 0]
        assert "sesame" not in page.content()


def test_a_run_can_be_launched_with_the_keyboard(browser: Any, guarded: Any) -> None:
    with Watched(browser, guarded) as watched:
        page = watched.page
        watched.expect_refusal(401)
        open_form(page)
        focused = "(e => e.name ? e.name + '=' + e.value : e.id)(document.activeElement)"

        def tab_to(wanted: str) -> None:
            for _ in range(80):
                page.keyboard.press("Tab")
                if page.evaluate(focused) == wanted:
                    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert outline != "none", f"the focus on {wanted} is not visible"
                    return
            raise AssertionError(f"{wanted} cannot be reached with the keyboard")

        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        tab_to("dataset=data/music")  # the only dataset
        tab_to("tracks=")
        page.keyboard.type("1")
        tab_to("conditions=binaural")
        page.keyboard.press("Space")
        tab_to("separators=oracle-gain")
        page.keyboard.press("Space")
        tab_to("bsseval=on")
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        give_token(page)
        run_id_of_page(page)
        tab_to("cancel")
        page.keyboard.press("Enter")
        state(page, "cancelled")
        # Resume has replaced Cancel; it or its section has the focus.
        assert page.evaluate("document.activeElement.closest('#head') !== null")
        assert page.locator(".separators tbody th").all_inner_texts() == ["oracle-gain stereo"]


def test_a_run_can_be_repeated_with_other_settings(browser: Any, system: Any, launched: Launched) -> None:
    with Watched(browser, system) as watched:
        page = watched.page
        page.goto(f"/ui/runs/{launched.id}")
        page.get_by_role("link", name="New run like this").click()
        separator(page, "oracle-irm").wait_for()
        ticked = page.locator("input[name=separators]:checked")
        assert [one.get_attribute("value") for one in ticked.all()] == ["oracle-irm", "oracle-identity"]
        assert not page.get_by_role("checkbox", name="BSS Eval").is_checked()


def test_unavailable_separators_show_their_reason(browser: Any, system: Any) -> None:
    with Watched(browser, system) as watched:
        page = watched.page
        open_form(page)
        for form_or_page in ("#separators", "#services"):
            if form_or_page == "#services":
                page.goto("/ui/system")
            reasons = page.locator(f"{form_or_page} details.why")
            assert reasons.count() >= 4  # the services of the models are not installed here
            for one in reasons.all():
                # One line each; the reason on request.
                assert one.bounding_box()["height"] < 40
                one.locator("summary").click()
                assert one.locator("p").inner_text()
        page.get_by_role("row", name=re.compile("^oracle .*available")).wait_for()
        queues = page.locator(".queues tbody tr")
        shown = {row.locator("th").inner_text(): row.locator("td").last.inner_text() for row in queues.all()}
        assert shown["render"] == "1"  # workers
        assert shown["separate-oracle"] == "1"
        assert page.locator(".workers tbody tr").count() >= 3


def test_an_unreachable_service_is_reported_on_the_page(
    browser: Any, system: Any, launched: Launched
) -> None:
    with Watched(browser, system) as watched:
        page = watched.page
        page.goto(f"/ui/runs/{launched.id}")
        watched.expected.append("ERR_INTERNET_DISCONNECTED")
        watched.context.set_offline(True)
        page.get_by_text("The service does not answer").wait_for()
        watched.context.set_offline(False)
        page.get_by_text("The service does not answer").wait_for(state="hidden")


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_launch_is_visible_with_what_the_run_will_take(
    browser: Any, system: Any, width: int, height: int
) -> None:
    with Watched(browser, system, width) as watched:
        page = watched.page
        page.set_viewport_size({"width": width, "height": height})
        fill_form(page, "oracle-identity")
        page.evaluate("document.getElementById('new').scrollIntoView({behavior: 'instant'})")
        estimate = page.locator("#estimate")
        estimate.get_by_text(re.compile(r"^2 tracks, 2 cells · about [\d.]+ [MG]B of disk")).wait_for()
        box = page.get_by_role("button", name="Launch").bounding_box()
        assert 0 < box["y"] < height - box["height"]
        page.get_by_label("Dataset").fill("no/such")
        estimate.get_by_text("Not possible: 'no/such' does not exist under the data root").wait_for()


def test_the_form_offers_parts_targets_and_further_hrir_sets(browser: Any, guarded: Any) -> None:
    (guarded.root / "data" / "heads").mkdir()
    (guarded.root / "data" / "heads" / "D 1.sofa").touch()
    with Watched(browser, guarded) as watched:
        page = watched.page
        fill_form(page, "oracle-identity", binaural=True)
        page.get_by_role("checkbox", name="data/heads/D 1.sofa").check()
        page.get_by_text("Titles, excerpts, targets").click()
        page.get_by_label("Titles").fill("A*\n\nB, with a comma\n")
        page.get_by_label("Excerpt").fill("0:1")
        page.get_by_label("Targets").fill("vocals, accompaniment")
        page.get_by_label("Keep estimates").select_option("none")
        page.get_by_label("Name of the run").fill("mine")
        sent: list[Any] = []

        def answer(route: Any) -> None:
            sent.append(route.request.post_data_json)
            route.fulfill(json={"id": "nothing"})

        page.route("**/runs?name=mine", answer)
        watched.expect_refusal(404)  # the page of the run that was not started
        page.get_by_role("button", name="Launch").click()
        page.wait_for_url("**/ui/runs/nothing")
    (body,) = sent
    assert body["conditions"][2:] == [
        {"name": "binaural-D-1", "hrir": "data/heads/D 1.sofa", "same_placement_as": "binaural"}
    ]
    assert body["titles"] == ["A*", "B, with a comma"]
    assert (body["excerpt"], body["keep_estimates"]) == ("0:1", "none")
    assert body["targets"] == ["vocals", "accompaniment"]


def test_pages_have_no_inline_scripts_or_styles(browser: Any, system: Any, launched: Launched) -> None:
    with Watched(browser, system) as watched:
        page = watched.page
        for path in ("/", f"/ui/runs/{launched.id}", "/ui/system", "/ui/runs/nothing"):
            answer = page.request.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            text = answer.text()
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), path
