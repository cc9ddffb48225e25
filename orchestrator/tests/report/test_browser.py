"""The report in headless Chromium, opened from disk: no errors, no network, two widths, light and dark theme."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import PLACES, RecordedPage
from mssbench.report import build_report, paper_figures
from mssbench.report.excerpts import SECONDS
from mssbench.runs.conditions import Condition
from mssbench.runs.store import RunStore

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=9, models=1, audio=True, later=True)


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    titles = [track.title for track in RunStore(run).load().tracks[:2]]  # only these have audio
    return build_report(run, cells=[("binaural", "model-0", title, "vocals") for title in titles])


@pytest.mark.parametrize(("width", "scheme"), PLACES)
def test_page_has_no_errors_and_fits_the_screen(browser: Any, report: Path, width: int, scheme: str) -> None:
    with RecordedPage(browser, report, width, scheme) as recorded:
        page = recorded.page
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert recorded.overflow() <= 0
        assert page.locator("svg.figure").count() > 20
        assert page.locator("img").count() == 0  # one of the titles contains an img element as text
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        # A rule for another element would take cells out of their columns.
        displays = (
            "[...new Set([...document.querySelectorAll('th, td')].map(e => getComputedStyle(e).display))]"
        )
        assert page.evaluate(displays) == ["table-cell"]


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
                for part in (".answer", "#first-table", ".opening svg.figure", ".opening .caption >> nth=-1"):
                    box = page.locator(part).first.bounding_box()
                    assert box["y"] + box["height"] <= 800, part
                table = page.locator("#first-table")
                assert table.evaluate("e => e.scrollWidth <= e.parentElement.clientWidth")


def test_a_run_of_many_conditions_is_short(
    browser: Any, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_figures, "save_for_paper", lambda *_: [])
    conditions = ("stereo", "binaural", *(Condition(f"scene-{number}") for number in range(5)))
    report = build_report(make_run(tracks=4, models=2, later=True, trouble=False, conditions=conditions))
    for width, limit in ((1280, 6_000), (390, 12_000)):
        with RecordedPage(browser, report, width, height=800) as recorded:
            page = recorded.page
            assert page.evaluate("document.documentElement.scrollHeight") < limit
            panels = page.locator("section[aria-labelledby=place] figcaption")
            assert [text for text in panels.all_inner_texts() if "scene" in text] == []
            page.get_by_text("The other conditions").click()
            assert len([text for text in panels.all_inner_texts() if "scene" in text]) >= 10


def test_figures_show_values_on_hover_and_with_the_keyboard(browser: Any, report: Path) -> None:
    with RecordedPage(browser, report) as recorded:
        page = recorded.page
        figure, tip = page.locator(".opening svg.figure"), page.locator("#tip")
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
    with RecordedPage(browser, report, width, scheme) as recorded:
        recorded.page.locator("#open-all").click()
        assert recorded.violations() == []


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
        recorded.page.set_viewport_size({"width": 700, "height": 1000})  # about a page of paper
        assert recorded.page.locator(".opening svg.figure").bounding_box()["width"] > 300


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
        {"tracks": 2, "models": 10, "later": True, "name": "a-model-whose-name-has-many-parts-and-a-version"},
    ],
    ids=[
        "one of each",
        "eleven separators",
        "all failed",
        "stereo and corrected only",
        "four conditions",
        "long names",
    ],
)
def test_unusual_runs_have_no_errors_and_fit_the_screen(
    browser: Any, make_run: MakeRun, options: dict[str, Any]
) -> None:
    report = build_report(make_run(**options), audio=False)
    for width in (1280, 390):
        with RecordedPage(browser, report, width) as recorded:
            recorded.page.get_by_role("button", name="Open all").click()
            assert recorded.overflow() <= 0
            text = recorded.page.locator("main").inner_text()
            assert not re.search(r"\b(NaN|nan|None|undefined value of|inf)\b", text)
