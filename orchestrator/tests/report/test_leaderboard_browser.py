"""The leaderboard in headless Chromium, opened from disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from browsing import PLACES, RecordedPage
from mssbench.report import build_leaderboard
from mssbench.report.leaderboard import read_source
from mssbench.report.summary import SpeedSummary
from mssbench_service.wire import ModelCard

MakeRun = Callable[..., Path]

VISIBLE = "[...document.querySelectorAll('{}')].filter(one => one.checkVisibility()).map(one => one.innerText.trim())"


@pytest.fixture(scope="module")
def leaderboard(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with cards and times, one of which knows a track, a reference separator, and a failed known score."""
    summary = read_source(make_run(tracks=3, models=2, later=True))
    models = [one for one in summary.separators if one.kind == "model" and one.status == "available"]
    summary.speeds = [one for one in summary.speeds if one.separator not in [model.name for model in models]]
    for factor, one in zip((0.5, 20.0), models, strict=True):
        one.card = ModelCard(
            "SCNet", 10_578_768, "some music", summary.run.tracks[:1], "no", "MIT", "a laboratory"
        )
        summary.speeds.append(SpeedSummary(one.name, "cpu", 4, 100.0, factor))
    summary.checks[0] = replace(summary.checks[0], passed=False)
    folder = tmp_path_factory.mktemp("leaderboard")
    (folder / "summary.json").write_text(json.dumps(asdict(summary)), encoding="utf-8")
    return build_leaderboard([folder / "summary.json"], folder / "site")


@pytest.mark.parametrize(("width", "scheme"), PLACES)
def test_pages_fit_the_screen_and_have_no_accessibility_violation(
    browser: Any, leaderboard: Path, width: int, scheme: str
) -> None:
    for path in (
        leaderboard,
        leaderboard.with_name("methodology.html"),
        next(leaderboard.parent.glob("separators/*model-0.html")),
    ):
        with RecordedPage(browser, path, width, scheme) as recorded:
            recorded.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert recorded.overflow() <= 0
            assert recorded.violations() == []


def test_each_separator_has_a_page_with_its_card(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        page = recorded.page
        assert "SCNet; 10.6 M parameters; some music" in page.locator("section .models").first.inner_text()
        page.get_by_role("link", name="model-0").first.click()
        assert page.locator("h1").text_content() == "model-0"
        for fact in ("10.6 M", "some music", "MIT", "0.5 s of audio separated per second"):
            assert fact in page.locator("main").inner_text()


def test_tables_are_filtered_and_sorted(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        page = recorded.page

        def shown(selector: str) -> list[str]:
            texts: list[str] = page.evaluate(VISIBLE.format(selector))
            return texts

        main = ["In place", "SSR", "SRR", "ΔITD", "ΔILD"]
        heads = "section:first-of-type thead th[data-metric] abbr"
        assert len(shown("section table")) == 2
        assert shown(heads) == main
        page.locator("#f-condition").select_option("binaural")
        assert len(shown("section table")) == 1
        assert shown("section .models th a") == ["model-0", "model-1"]
        assert shown("section .references th a") == ["irm"]
        page.locator("#f-stem").select_option("vocals")
        assert shown("caption") == ["Vocals, binaural"]
        page.locator("#f-order").select_option("speed")
        assert shown("section .models th a") == ["model-1", "model-0"]
        page.locator("#f-order").select_option("SSR")
        found = [
            float(text.split()[0].replace("−", "-")) for text in shown("section .models td[data-metric=SSR]")
        ]
        assert found == sorted(found, reverse=True)
        page.locator("#f-metrics").select_option(label="all")
        assert len(shown(heads)) > len(main)
        page.locator("#f-order").select_option("rank")
        page.locator("#f-metrics").select_option("SRR")
        assert shown(heads) == ["SRR"]


def test_the_main_metrics_of_a_table_are_those_of_its_runs(
    browser: Any, make_run: MakeRun, tmp_path: Path
) -> None:
    both = read_source(make_run(tracks=3, models=2, later=True))
    paper = read_source(make_run(tracks=3, models=2))
    paper.run = replace(paper.run, id="paper", metrics="paper")
    files = [tmp_path / "both.json", tmp_path / "paper.json"]
    for path, summary in zip(files, (both, paper), strict=True):
        path.write_text(json.dumps(asdict(summary)), encoding="utf-8")
    with RecordedPage(browser, build_leaderboard(files, tmp_path / "site")) as recorded:
        page = recorded.page
        page.locator("#f-condition").select_option("binaural")
        shown = [
            set(table.locator("thead th[data-metric]:visible abbr").all_inner_texts())
            for table in page.locator("table:visible").all()
        ]
        assert {"In place", "SSR", "SRR", "ΔITD", "ΔILD"} in shown
        assert {"SSR", "SRR", "ΔITD (paper)", "ΔILD (paper)"} in shown


def test_the_best_values_are_bold_with_their_intervals(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        page = recorded.page
        page.locator("#f-condition").select_option("binaural")
        cells = page.locator("section:visible .by-stem:visible .models td[data-metric=SSR]")
        values = cells.evaluate_all("all => all.map(one => Number(one.dataset.value))")
        bold = cells.evaluate_all("all => all.map(one => one.querySelector('strong') !== null)")
        assert bold == [value == max(values) for value in values]
        assert all("[" in text for text in cells.all_inner_texts())
        assert page.locator(".references td[data-metric] strong").count() == 0


def test_quality_is_drawn_against_speed_for_the_chosen_order(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        page = recorded.page
        page.locator("#f-condition").select_option("binaural")
        plot, tip = page.locator(".cost:visible svg.figure:visible"), page.locator("#tip")
        assert plot.count() == 1
        plot.locator("[data-tip]").first.hover()
        assert tip.text_content() == "model-0: mean rank 1.4, 0.5 seconds of audio per second on cpu"
        page.mouse.move(0, 0)
        assert tip.is_hidden()
        page.locator("#f-order").select_option("SRR")
        page.locator("#f-stem").select_option("bass")
        assert plot.get_attribute("aria-label") == "SRR (dB) against speed, bass, binaural"
        page.locator("section:visible .by-stem:visible .scroll").focus()
        page.keyboard.press("Tab")
        while not plot.evaluate("e => e === document.activeElement"):
            page.keyboard.press("Tab")
        first = tip.text_content()
        assert "dB [" in (first or "")
        page.keyboard.press("ArrowRight")
        assert tip.text_content() != first


def test_failed_known_scores_are_counted(browser: Any, leaderboard: Path) -> None:
    with RecordedPage(browser, leaderboard) as recorded:
        assert "✗ 1 of 3 known scores failed" in recorded.page.locator(".run:visible").first.inner_text()
        recorded.page.locator("summary").first.click()
        verdict = "2 of 3 scores of the known-answer tests confirmed, 1 failed"
        assert verdict in recorded.page.locator("details").first.inner_text()
