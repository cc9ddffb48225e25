"""The report's page and numbers, for synthetic runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from mssbench.report import build_report, excerpts, figures, paper_figures, published
from mssbench.report import page as page_module
from mssbench.report.analysis import analyse
from mssbench.report.data import ALL_STEMS, RunData, load
from mssbench.runs.conditions import Condition
from mssbench.runs.store import RunStore
from mssbench.runs.training import training_warnings
from mssbench_service.wire import ModelCard

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """Visible text, elements, ids and links of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self._hidden = 0
        self.source = source
        self.feed(self.source)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("script", "style")
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.links.append(value or "")
            if name in ("aria-label", "title"):
                self.labels.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data + " "


def render(run: Path) -> Page:
    """The page only; writing the other files takes longer."""
    data = load(run)
    return Page(page_module.render(data, analyse(data), None, []))


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=6)


@pytest.fixture(scope="module")
def data(run: Path) -> RunData:
    return load(run)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(build_report(run, audio=False).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def unfinished(make_run: MakeRun) -> Path:
    """One of two tracks is pending, and the rendering is the paper's."""
    return make_run(tracks=2, pending=True, gain=4 / 3)


@pytest.fixture(scope="module")
def unfinished_page(unfinished: Path) -> Page:
    return render(unfinished)


def test_titles_and_reasons_are_shown_as_text(page: Page, run: Path) -> None:
    title = load(run).titles[0]
    assert "<img" in title
    assert title in page.text
    assert "</script><script>alert(2)</script>" in page.text
    assert "weights are missing: <i>" in page.text
    assert "img" not in page.tags
    assert "i" not in page.tags
    assert page.tags.count("script") == 3  # the rows, report.js and tips.js
    rows = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page.source, re.DOTALL)
    assert rows
    assert any(title in row for row in json.loads(rows[1])["rows"])


def test_page_loads_nothing_from_the_network(page: Page) -> None:
    assert page.links
    assert [link for link in page.links if ":" in link or link.startswith("//")] == []
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)


def test_page_shows_no_nan_and_each_dash_has_a_reason(page: Page, unfinished_page: Page) -> None:
    for one in (page, unfinished_page):
        assert not re.search(r"\b(nan|NaN|inf|None|Undefined)\b", one.text)
    dashes = re.findall(r'<span class="none" title="([^"]*)"', unfinished_page.source)
    assert "1 undefined, 1 pending" in dashes  # the only track with a result has no ITD of its bass
    assert "one track has no interval" in dashes
    assert all(dashes)


def test_ids_are_unique_and_internal_links_have_a_target(page: Page) -> None:
    assert len(set(page.ids)) == len(page.ids)
    inner = [link[1:] for link in page.links if link.startswith("#")]
    assert inner
    assert set(inner) <= set(page.ids)


def test_linked_files_exist(page: Page, run: Path) -> None:
    files = [link for link in page.links if not link.startswith("#")]
    assert {"results.csv", "summary.json", "references.bib"} <= set(files)
    assert [file for file in files if not (run / "report" / file).is_file()] == []


def test_every_figure_has_a_name_and_colours_for_dark_mode(page: Page) -> None:
    drawn = re.findall(r"<svg[^>]*class=\"figure\".*?</svg>", page.source, re.DOTALL)
    assert len(drawn) > 20
    for one in drawn:
        assert re.search(r'role="group" aria-label="[^"]{10,}"', one)
        assert "var(--blue)" in one or "var(--orange)" in one
        assert re.search(r"better|frequency", one)  # which end is better is said in each
        assert not re.search(r"#[0-9a-f]{6}\b", one)
        assert "<style" not in one  # it would reach beyond the figure


def test_page_shows_command_versions_and_hrir(page: Page, data: RunData) -> None:
    assert data.record.hrir is not None
    for text in (
        data.record.command,
        "0.1.0",
        data.record.hrir.sha256,
        "synthetic",
        "resampled from 8000 Hz",
    ):
        assert text in page.text


def test_medians_equal_the_medians_of_the_rows(page: Page, run: Path, data: RunData) -> None:
    store = RunStore(run)
    found = []
    for cell in data.record.cells():
        outcome = store.outcome(cell)
        assert outcome is not None
        if cell.condition == "binaural" and cell.separator == "model-0":
            found += [row["SSR"] for row in outcome["rows"] if row["status"] != "failed"]
    assert len(found) == 23  # of 24: the failed stem has an SSR of −99, which must not count
    score = analyse(data).table.get("binaural", "model-0", ALL_STEMS, data.headline[0])
    assert score.estimate.value == pytest.approx(np.median(found), abs=0)
    assert f"{np.median(found):.2f}" in page.text
    assert (score.counts.expected, score.counts.valid, score.counts.failed) == (24, 23, 1)


def test_failures_are_counted_by_reason(page: Page, data: RunData) -> None:
    totals = data.totals()
    assert (totals.expected, totals.failed, totals.undefined, totals.pending) == (192, 6, 2, 0)
    assert "6 of 192 stems failed" in page.text
    assert "the estimate is silent" in page.text
    itd = next(metric for metric in data.metrics if metric.column == "paper_diff_ITD")
    counts = data.counts(itd, "binaural", "model-0", "bass")
    assert (counts.valid, counts.undefined, counts.failed) == (5, 1, 0)
    assert counts.text == "1 undefined"
    lost = data.counts(None, "binaural", "model-1")
    assert (lost.failed, lost.text) == (4, "4 failed")


def test_answer_contains_the_numbers_of_the_run(page: Page, data: RunData) -> None:
    found = analyse(data)
    sentence, note = found.answer
    itd, ild = data.headline[2:]
    best = min(
        ("model-0", "model-1"),
        key=lambda name: found.table.get("binaural", name, ALL_STEMS, itd).estimate.value,
    )
    for metric in (itd, ild):
        estimate = found.table.get("binaural", best, ALL_STEMS, metric).estimate
        assert f"{metric.format(estimate.value)}\u00a0{metric.unit} in {metric.label}" in sentence
        assert f"{metric.format(estimate.low)} to {metric.format(estimate.high)}\u00a0{metric.unit}" in note
    assert sentence.startswith(f"The best of 2 models, {best},")
    assert "irm, which is given the true stems," in sentence
    assert "[" not in sentence + note
    assert "identity" not in sentence + note  # known-answer tests are not part of the answer
    shift = next(d for d in found.condition_differences if (d.within, d.metric) == (best, itd))
    assert itd.format(shift.paired.difference.value) in note
    for text in found.answer:
        assert " ".join(text.split()) in page.text.replace(" .", ".")


def test_the_answer_says_what_stays_in_place_in_each_condition(make_run: MakeRun) -> None:
    data = load(make_run(tracks=3, models=2, later=True, trouble=False))
    found = analyse(data)
    place = data.headline[0]
    assert place.column == "in_place"

    def kept(name: str, condition: str) -> str:
        return f"{found.table.get(condition, name, ALL_STEMS, place).estimate.value:.0f}\u00a0%"

    best = max(
        ("model-0", "model-1"),
        key=lambda name: found.table.get("binaural", name, ALL_STEMS, place).estimate.value,
    )
    assert found.answer[0].startswith(
        f"The best of 2 models, {best}, keeps {kept(best, 'binaural')} of the sound in place on binaural audio and "
        f"{kept(best, 'stereo')} in stereo"
    )
    assert found.answer[0].endswith(
        f"true stems, keeps {kept('irm', 'binaural')} and {kept('irm', 'stereo')}."
    )
    page = render(data.store.folder)
    assert page.text.index("In place") < page.text.index("SSR")
    assert "By frequency, binaural" in page.text
    assert "In place by azimuth, binaural" in page.text
    assert "Limits." in page.text


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run(tracks=2, models=0, audio=True, conditions=("binaural",))
    first = build_report(run).parent
    before = {path.relative_to(first): path.read_bytes() for path in first.rglob("*") if path.is_file()}
    second = build_report(run).parent
    after = {path.relative_to(second): path.read_bytes() for path in second.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after.get(path)} == set()
    assert before.keys() == after.keys()
    assert any(path.suffix == ".flac" for path in before)
    assert any(path.suffix == ".pdf" for path in before)


def test_page_of_an_unfinished_run_counts_pending_stems(unfinished: Path, unfinished_page: Page) -> None:
    assert load(unfinished).totals().pending == 2 * 4 * 4
    assert "This run is not finished: 32 of 64 stems are pending" in unfinished_page.text


def test_a_run_without_results_has_a_report(make_run: MakeRun) -> None:
    page = Page(build_report(make_run(tracks=1, pending=True)).read_text(encoding="utf-8"))
    assert "cannot answer the question yet" in page.text
    assert not re.search(r"\b(nan|NaN|None)\b", page.text)


def test_conditions_are_side_by_side_and_compared_with_the_first(make_run: MakeRun, tmp_path: Path) -> None:
    elevated = Condition("elevated", placement="sphere")
    run = make_run(
        tracks=3, models=1, later=True, audio=True, trouble=False, conditions=("stereo", "binaural", elevated)
    )
    data = load(run)
    found = analyse(data)
    for phrase in ("\u00a0% on binaural audio", "\u00a0% in stereo", "\u00a0% in elevated"):
        assert phrase in found.answer[0].replace(" of the sound in place", "")
    assert "to binaural and" in found.answer[1]
    assert {(d.first, d.second) for d in found.condition_differences} == {
        ("binaural", "stereo"),
        ("elevated", "stereo"),
    }
    place = data.headline[0]
    assert [panel.title for panel in figures.by_angle(data, place, "elevation")] == [
        "In place by elevation, elevated"
    ]
    assert len(figures.by_angle(data, place)) == 2
    choice = excerpts.choose(data, [("elevated", "irm", data.titles[0], "bass")])[:1]
    players = excerpts.write(data, choice, tmp_path)
    assert [take.condition for take in players.players[0].takes] == ["elevated", "stereo", "binaural"]
    page = Page(page_module.render(data, found, players, []))
    assert 'colspan="3"><abbr' in page.source
    assert page.text.count("elevated − stereo") == len(data.compared) * len(data.headline)
    assert "°, 60° up" in page.text
    assert not re.search(r"\b(nan|NaN|None)\b", page.text)


def test_model_cards_and_a_warning_of_training_on_the_tracks_are_shown(make_run: MakeRun) -> None:
    run = make_run(tracks=2, models=2)
    store = RunStore(run)
    record = store.load()
    card = ModelCard("SCNet", 10_578_768, "some music", [record.tracks[1].title], "no", "MIT", "a laboratory")
    record.separators[0].card = card
    store.save(record)
    page = render(run)
    for fact in ("SCNet", "10.6 M", "some music", "MIT", "Seconds of audio per second", "5 (cpu)"):
        assert fact in page.text
    assert "Its service has no model card" not in page.text.split("model-1")[0]
    assert f"{training_warnings(record)[0]}." in " ".join(page.text.split())


def test_a_run_with_one_condition_has_a_page(make_run: MakeRun) -> None:
    page = render(make_run(tracks=2, models=1, conditions=("stereo",)))
    assert "conditions" not in page.ids  # section of the comparison
    assert "by azimuth" not in page.text


def test_corrected_and_standard_metrics_are_shown(make_run: MakeRun) -> None:
    run = make_run(tracks=2, models=1, later=True)
    data = load(run)
    assert [metric.column for metric in data.headline] == [
        "in_place",
        "SSR",
        "SRR",
        "d_itd_us",
        "d_ild_db",
    ]
    page = render(run)
    for label in ("ΔIC", "Azimuth error", "SI-SDR"):
        assert label in page.text
    # The azimuth error is not defined in the stereo condition: a dash with this reason.
    assert any("not defined in the stereo condition" in label for label in page.labels)


# Known-answer tests ----------------------------------------------------------------------------------------


def test_self_check_is_shown(page: Page) -> None:
    sentence = "3 of 3 scores of the known-answer tests confirmed, 0 failed"
    assert page.text.count(sentence) == 2  # on the first screen and beside the scores
    assert "79.99 to 80.01" in page.text
    assert page.text.count("✓ pass") == 3


def test_a_run_without_known_answer_tests_says_so(make_run: MakeRun) -> None:
    run = make_run(tracks=1, models=1, trouble=False)
    store = RunStore(run)
    record = store.load()
    record.separators = [one for one in record.separators if not one.expected]
    store.save(record)
    text = render(run).text
    assert "This run has no known-answer test." in text
    assert "0 of 0" not in text


# The mixture's gain and the published figures ---------------------------------------------------------------


def test_effect_of_the_mixture_gain_is_shown(unfinished: Path, unfinished_page: Page, data: RunData) -> None:
    effects = analyse(load(unfinished)).gain_effects
    assert {effect.condition for effect in effects} == {"binaural"}
    assert effects[0].ceiling.value == pytest.approx(9.5424, abs=1e-4)
    assert effects[0].paper.value <= 9.54
    assert effects[0].share.value <= 1.0
    perfect = next(effect for effect in effects if effect.separator == "identity")
    assert perfect.share.value == pytest.approx(1.0, abs=1e-3)  # 9.54 dB: the gain only
    assert "between 1.333 and 1.333 (binaural)" in unfinished_page.text
    assert analyse(data).gain_effects == []


def test_published_results_are_shown_without_the_model_in_the_run(page: Page) -> None:
    lines = published.published_medians()
    assert page.text.count("published only") == len({(line.condition, line.model) for line in lines})
    for line in lines:
        assert published.published_metrics()[0].format(line.values["paper_SSR"]) in page.text
    assert "arXiv 2507.00155" in page.text


# Figures ----------------------------------------------------------------------------------------------------


def test_paper_figures_have_column_width(run: Path, page: Page) -> None:
    files = sorted((run / "report" / "figures").iterdir())
    assert {file.suffix for file in files} == {".pdf", ".svg"}
    assert len(files) == 4
    width = re.search(r'width="([\d.]+)pt"', files[-1].with_suffix(".svg").read_text())
    assert width
    assert float(width[1]) / 72 == pytest.approx(paper_figures.COLUMN)
