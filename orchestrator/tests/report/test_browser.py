"""The report in headless Chromium, opened from disk: no errors, no network, two widths, light and dark theme."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mssbench.report import build_leaderboard, build_report, paper_figures
from mssbench.report.excerpts import SECONDS
from mssbench.report.leaderboard import read_source
from mssbench.report.summary import SpeedSummary
from mssbench.runs.conditions import Condition
from mssbench.runs.store import RunStore
from mssbench_service.wire import ModelCard

MakeRun = Callable[..., Path]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
TIMEOUT_MS = 180_000
"""Long enough for a machine under load."""

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (set CHROMIUM to one)")

PLACES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=9, models=1, audio=True, later=True)


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    titles = [track.title for track in RunStore(run).load().tracks[:2]]  # only these have audio
    return build_report(run, cells=[("binaural", "model-0", title, "vocals") for title in titles])


class RecordedPage:
    """A page in a browser; records its requests, console messages, errors and dialogs."""

    def __init__(
        self, browser: Any, path: Path, width: int = 1280, scheme: str = "light", height: int = 900
    ) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.resolve().as_uri())

    def wait_for(self, condition: str) -> None:
        # Not `wait_for_function`, which the content security policy of the page does not allow.
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, condition
            self.page.wait_for_timeout(50)

    def _dismiss(self, dialog: Any) -> None:
        self.messages.append(dialog.message)
        dialog.dismiss()

    def __enter__(self) -> RecordedPage:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is not None:
            return  # show the first error
        assert self.messages == []
        assert [url for url in self.requests if not url.startswith("file:")] == []


@pytest.mark.parametrize(("width", "scheme"), PLACES)
def test_page_has_no_errors_and_fits_the_screen(browser: Any, report: Path, width: int, scheme: str) -> None:
    with RecordedPage(browser, report, width, scheme) as recorded:
        page = recorded.page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg.figure").count() > 20
        assert page.locator("img").count() == 0  # one of the titles contains an img element as text
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_a_contrast_of_at_least_4_5(browser: Any, report: Path, scheme: str) -> None:
    script = """() => {
      const parse = (text) => text.match(/[\\d.]+/g).map(Number);
      const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92
        : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
      const poor = new Set();
      for (const e of document.querySelectorAll("p, td, th, a, summary, button, span, strong, dd, dt, text, h1, h2")) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        const style = getComputedStyle(e);
        const a = light(parse(e.tagName === "text" ? style.fill : style.color)), b = light(behind(e));
        if ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5) poor.add(e.tagName + "." + e.className);
      }
      return [...poor];
    }"""
    with RecordedPage(browser, report, 1280, scheme) as recorded:
        assert recorded.page.evaluate(script) == []


def test_table_sorts_filters_and_shows_more(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        rows = page.locator("#tracks-table tbody tr")
        assert rows.count() == 10
        # The table with all columns fits the page; its headings have two lines.
        table = page.locator("#tracks-table")
        assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")
        assert page.locator("#f-count").text_content() == "144 of 216 rows"  # without the known-answer test
        assert "failed" in (rows.nth(0).text_content() or "")  # worst first
        page.click("#more")
        assert rows.count() == 110
        page.click("#more")
        assert rows.count() == 144
        assert page.locator("#more").is_hidden()

        def column(place: int) -> list[float]:
            texts = page.locator(f"#tracks-table tbody tr > :nth-child({place})").all_text_contents()
            return [float(text.replace("−", "-")) for text in texts if text != "–"]

        place = next(
            i
            for i, text in enumerate(page.locator("#tracks-table thead th").all_text_contents(), 1)
            if text == "SRR (dB)"
        )
        head = page.locator(f"#tracks-table thead th:nth-child({place})")
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert column(place) == sorted(column(place))
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert column(place) == sorted(column(place), reverse=True)
        page.select_option("#f-condition", "binaural")
        page.select_option("#f-stem", "bass")
        assert page.locator("#f-count").text_content() == "18 of 216 rows"
        page.fill("#f-text", "onerror")
        assert rows.count() == 2
        assert "<img src=x onerror=alert(1)>" in (rows.nth(0).text_content() or "")
        page.fill("#f-text", "no such thing")
        assert rows.count() == 0
        page.fill("#f-text", "")
        page.select_option("#f-separator", "identity")  # selecting a known-answer test shows it
        assert rows.count() == 9
        missing = page.locator("#tracks-table .none")
        assert all(one.get_attribute("aria-label") for one in missing.all())


def test_dash_of_a_failed_stem_has_the_reason(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        recorded.page.select_option("#f-status", "failed")
        label = recorded.page.locator("#tracks-table tbody tr .none[title*=silent]").first.get_attribute(
            "aria-label"
        )
        assert label == "no value: the estimate is silent"


PLAYER = "[...document.querySelector('[data-player]').querySelectorAll('[data-take]:not([hidden]) audio')].map(a => %s)"


def test_player_switches_signals_and_conditions_at_the_same_position(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        player = page.locator("[data-player]").first
        player.locator("[data-play]").click()
        recorded.wait_for("document.querySelector('[data-audio]').currentTime > 0.3")
        # Mixture, reference, two separators: the first separator is audible.
        assert page.evaluate(PLAYER % "a.muted") == [True, True, False, True]
        # One script, so that no time passes between reading the two positions.
        before, after = page.evaluate("""() => {
          const player = document.querySelector("[data-player]"), audios = player.querySelectorAll("audio");
          const before = audios[2].currentTime;
          player.querySelector("[data-signal=Mixture]").click();
          return [before, audios[0].currentTime];
        }""")
        assert before > 0.2
        assert abs(after - before) < 0.05  # the position is kept
        assert page.evaluate(PLAYER % "a.muted") == [False, True, True, True]
        before, after = page.evaluate("""() => {
          const player = document.querySelector("[data-player]"), audios = player.querySelectorAll("audio");
          const before = audios[0].currentTime;
          player.querySelectorAll("[data-conditions] button")[1].click();
          return [before, audios[4].currentTime];
        }""")
        assert abs(after - before) < 0.05
        recorded.wait_for("!document.querySelectorAll('[data-player] audio')[4].paused")
        assert page.evaluate(PLAYER % "a.muted") == [False, True, True, True]  # the mixture, as before
        other = page.locator("[data-player]").nth(1)
        other.locator("[data-play]").click()
        recorded.wait_for("document.querySelector('[data-player] [data-play]').textContent === 'Play'")
        assert page.evaluate(PLAYER % "a.paused") == [True] * 4  # one player at a time


def test_player_can_be_used_from_the_keyboard_and_shows_values_at_its_position(
    browser: Any, report: Path
) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        player = page.locator("[data-player]").first
        signals = player.get_by_role("radiogroup", name="Signal")
        signals.get_by_role("radio", name="irm").press("ArrowRight")
        assert signals.get_by_role("radio", name="Mixture").get_attribute("aria-checked") == "true"
        signals.get_by_role("radio", name="Mixture").press("ArrowRight")
        assert signals.get_by_role("radio", name="Reference").get_attribute("aria-checked") == "true"
        assert page.evaluate(PLAYER % "a.muted") == [True, False, True, True]
        player.locator("[data-seek]").evaluate("e => { e.value = 4; e.dispatchEvent(new Event('input')); }")
        assert page.evaluate(PLAYER % "a.currentTime") == [4] * 4
        assert player.locator("[data-time]").text_content() == "4.0 s"
        signals.get_by_role("radio", name="Reference").press("ArrowLeft")
        signals.get_by_role("radio", name="Mixture").press("ArrowLeft")
        assert page.evaluate(PLAYER % "a.currentTime") == [4] * 4
        values = player.locator("[data-values-at]").first.text_content()
        assert re.match(r"At 4\.0 s: in place 7\d %, ITD −?\d+ µs \(reference −?\d+ µs\), ILD ", values or "")
        assert player.locator(".trace.on").first.get_attribute("data-trace") == "irm"


def test_every_excerpt_can_be_decoded(browser: Any, report: Path) -> None:
    script = """() => Promise.all([...document.querySelectorAll('audio')].map((audio) => new Promise((done) => {
      audio.addEventListener('loadedmetadata', () => done(audio.duration));
      audio.addEventListener('error', () => done(-1));
      audio.preload = 'metadata';
      audio.load();
    })))"""
    with RecordedPage(browser, report) as recorded:
        lengths = recorded.page.evaluate(script)
        assert len(lengths) == 2 * 4 * recorded.page.locator("[data-player]").count() > 0
        assert set(lengths) == {SECONDS}


def test_the_answer_is_on_the_first_screen_and_the_page_is_short(
    browser: Any, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of the size of the demo."""
    monkeypatch.setattr(paper_figures, "save_for_paper", lambda *_: [])  # it takes most of the time
    report = build_report(make_run(tracks=4, models=5, audio=True, later=True, trouble=False))
    for width, limit in ((1280, 6_000), (390, 12_000)):
        with RecordedPage(browser, report, width, height=800) as recorded:
            page = recorded.page
            assert page.evaluate("document.documentElement.scrollHeight") < limit
            if width == 1280:
                for part in (".answer", "#first-table", ".first svg.figure", ".first .caption >> nth=-1"):
                    box = page.locator(part).first.bounding_box()
                    assert box["y"] + box["height"] <= 800, part
                table = page.locator("#first-table")
                assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")


def test_figures_show_values_on_hover_and_with_the_keyboard(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        figure, tip = page.locator(".first svg.figure"), page.locator("#tip")
        figure.locator("[data-tip]").first.hover()
        assert re.match(r"model-0, stereo: [\d.]+\s% \[", tip.text_content() or "")
        page.mouse.move(0, 0)
        assert tip.is_hidden()
        page.locator("#first-table").evaluate("e => e.parentElement.focus()")
        page.keyboard.press("Tab")
        first = tip.text_content()
        page.keyboard.press("ArrowRight")
        assert tip.is_visible()
        assert tip.text_content() != first
        page.keyboard.press("Escape")
        assert tip.is_hidden()


def test_navigation_marks_the_section_and_shows_that_it_scrolls(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report, 390) as recorded:
        page = recorded.page
        nav = page.locator("nav")
        assert nav.evaluate("e => e.scrollWidth > e.clientWidth")
        assert "gradient" in nav.evaluate("e => getComputedStyle(e).backgroundImage")
        page.evaluate("document.getElementById('protocol').scrollIntoView({behavior: 'instant'})")
        recorded.wait_for("document.querySelector('nav [aria-current]').textContent === 'Protocol'")
        assert nav.evaluate("e => e.scrollLeft") > 0


@pytest.mark.parametrize(("width", "scheme"), PLACES)
def test_axe_finds_no_violation(browser: Any, report: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with RecordedPage(browser, report, width, scheme) as recorded:
        recorded.page.locator("#open-all").click()
        found = axe.run(recorded.page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_open_all_opens_and_closes_all_sections(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        closed = "document.querySelectorAll('details:not([open])').length"
        assert page.evaluate(closed) > 0
        page.get_by_role("button", name="Open all").click()
        assert page.evaluate(closed) == 0
        page.get_by_role("button", name="Close all").click()
        assert page.evaluate("document.querySelectorAll('details[open]').length") == 0


def test_right_to_left_titles_are_isolated(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        page.fill("#f-text", "שיר")
        rows = page.locator("#tracks-table tbody tr")
        assert (page.locator("#f-count").text_content() or "").startswith("16 of ")
        title = rows.first.locator("th bdi")
        assert title.text_content() == "فرقة - שיר 🎻 “عود”"
        assert title.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


def test_controls_have_names_and_a_skip_link(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        nameless = """() => [...document.querySelectorAll('button, a, input, select, [role=region]')].filter((e) =>
          !(e.textContent.trim() || e.getAttribute('aria-label') || e.closest('label'))).map((e) => e.outerHTML)"""
        assert page.evaluate(nameless) == []


def test_page_can_be_printed(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report, scheme="dark") as recorded:
        recorded.page.emulate_media(media="print")
        style = "getComputedStyle(document.documentElement).backgroundColor"
        assert recorded.page.evaluate(style) == "rgb(255, 255, 255)"
        assert recorded.page.locator("nav").is_hidden()
        assert recorded.page.locator("#open-all").is_hidden()
        kept = "getComputedStyle(document.querySelector('table.results tbody:has(tr.group)')).breakInside"
        assert recorded.page.evaluate(kept) == "avoid"  # a separator stays with its rows
        assert len(recorded.page.pdf()) > 10_000


@pytest.mark.parametrize(
    "options",
    [
        {"tracks": 1, "models": 1, "trouble": False},
        {"tracks": 2, "models": 10, "conditions": ("binaural",), "gain": 1.3},
        {"tracks": 2, "all_fail": True},
        {"tracks": 2, "models": 1, "later": True, "paper": False, "conditions": ("stereo",)},
        {
            "tracks": 3,
            "models": 1,
            "later": True,
            "conditions": ("stereo", "binaural", Condition("up"), Condition("in")),
        },
    ],
    ids=["one of each", "eleven separators", "all failed", "stereo and corrected only", "four conditions"],
)
def test_unusual_runs_have_no_errors_and_fit_the_screen(
    browser: Any, make_run: MakeRun, options: dict[str, Any]
) -> None:
    report = build_report(make_run(**options), audio=False)
    for width in (1280, 390):
        with RecordedPage(browser, report, width) as recorded:
            recorded.page.get_by_role("button", name="Open all").click()
            assert recorded.page.evaluate("document.documentElement.scrollWidth") <= width
            text = recorded.page.locator("main").inner_text()
            assert not re.search(r"\b(NaN|nan|None|undefined value of|inf)\b", text)


@pytest.fixture(scope="module")
def leaderboard(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard of two models with cards and times, one of which knows a track, and a reference separator."""
    summary = read_source(make_run(tracks=3, models=2))
    models = [one for one in summary.separators if one.kind == "model" and one.status == "available"]
    for factor, one in zip((0.5, 20.0), models, strict=True):
        one.card = ModelCard(
            "SCNet", 10_578_768, "some music", summary.run.tracks[:1], "no", "MIT", "somebody"
        )
        summary.speeds.append(SpeedSummary(one.name, "cpu", 4, 100.0, factor))
    folder = tmp_path_factory.mktemp("leaderboard")
    (folder / "summary.json").write_text(json.dumps(asdict(summary)), encoding="utf-8")
    return build_leaderboard([folder / "summary.json"], folder / "site")


def test_leaderboard_fits_the_screen_and_its_links_work(browser: Any, leaderboard: Path) -> None:
    for width, scheme in PLACES:
        with RecordedPage(browser, leaderboard, width, scheme) as recorded:
            assert recorded.page.evaluate("document.documentElement.scrollWidth") <= width
            recorded.page.get_by_role("link", name="model-0").first.click()
            assert recorded.page.locator("h1").text_content() == "model-0"
            assert "10.6 M" in recorded.page.locator("main").inner_text()
            assert recorded.page.evaluate("document.documentElement.scrollWidth") <= width


def test_leaderboard_is_filtered_and_sorted(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        page = recorded.page
        visible = "[...document.querySelectorAll({})].filter(one => one.offsetParent).map(one => one.innerText.trim())"
        rows = visible.format("'section .models th a'")
        heads = visible.format("'section:first-of-type thead th[data-metric] abbr'")
        assert len(page.evaluate(visible.format("'section table'"))) == 2
        assert "SSR" in page.evaluate(heads)
        assert "SDR" not in page.evaluate(heads)
        page.locator("#f-condition").select_option("binaural")
        assert len(page.evaluate(visible.format("'section table'"))) == 1
        assert len(page.evaluate(rows)) == 2
        page.locator("#f-stem").select_option("vocals")
        assert "Vocals, binaural" in page.locator("main").inner_text()
        page.locator("#f-order").select_option("speed")
        assert page.evaluate(rows) == ["model-1", "model-0"]
        page.locator("#f-order").select_option("SSR")
        values = visible.format("'section .models td[data-metric=SSR]'")
        found = [float(text.split()[0].replace("\u2212", "-")) for text in page.evaluate(values)]
        assert found == sorted(found, reverse=True)
        page.locator("#f-metrics").select_option(label="all")
        assert len(page.evaluate(heads)) > 4


def test_leaderboard_has_no_accessibility_violation(browser: Any, leaderboard: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for path, width, scheme in (
        (leaderboard, 1280, "light"),
        (leaderboard, 390, "dark"),
        (leaderboard.with_name("methodology.html"), 1280, "dark"),
        (next(leaderboard.parent.glob("separators/*model-0.html")), 390, "light"),
    ):
        with RecordedPage(browser, path, width, scheme) as recorded:
            found = axe.run(recorded.page).response["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
