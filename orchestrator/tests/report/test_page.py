"""The report's page and numbers, for synthetic runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from mssbench.report import build_report, figures, published, svg
from mssbench.report import page as page_module
from mssbench.report.analysis import analyse
from mssbench.report.data import ALL_STEMS, RunData, load
from mssbench.report.metrics import all_metrics, by_column, headline
from mssbench.runs.records import Cell
from mssbench.runs.store import RunStore
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import read_json, write_json
from mssbench_service.musdb import STEMS

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
    assert page.tags.count("script") == 2  # the rows, and report.js
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
        assert re.search(r'role="img" aria-label="[^"]{10,}"', one)
        assert "var(--blue)" in one or "var(--orange)" in one
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
    assert len(found.answer) == 2
    best = min(
        found.table.get("binaural", name, ALL_STEMS, data.headline[2]).estimate.value
        for name in ("model-0", "model-1")
    )
    first, second = found.answer
    assert f"{best:.1f}" in first
    assert "model-" in first
    assert "identity" not in first + second  # known-answer tests are not part of the answer
    shift = next(
        d for d in found.condition_differences if (d.within, d.metric.role) == ("model-0", "spatial")
    )
    assert f"{shift.paired.difference.value:.2f}".replace("-", "−") in second
    assert f"{shift.paired.difference.low:.2f}".replace("-", "−") in second
    for sentence in found.answer:
        assert " ".join(sentence.split()) in page.text.replace(" .", ".")


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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models": 0}, "there is no model in this run"),
        ({"models": 1}, "the only model, model-0"),
        ({"conditions": ("stereo",)}, "The run has only the stereo condition"),
        ({"conditions": ("binaural",)}, "The run has only the binaural condition"),
    ],
)
def test_small_runs_have_an_answer(make_run: MakeRun, changes: dict[str, object], expected: str) -> None:
    data = load(make_run(tracks=3, **changes))
    assert expected in " ".join(analyse(data).answer)


def test_a_run_with_one_condition_has_a_page(make_run: MakeRun) -> None:
    page = render(make_run(tracks=2, models=1, conditions=("stereo",)))
    assert "stereo" not in page.ids  # section of the comparison
    assert "azimuth" not in page.ids


def test_corrected_and_standard_metrics_are_shown(make_run: MakeRun) -> None:
    run = make_run(tracks=2, models=1, later=True)
    data = load(run)
    assert [metric.column for metric in data.headline] == ["SSR", "SRR", "d_itd_us", "d_ild_db"]
    page = render(run)
    for label in ("ΔIC", "Azimuth error", "SI-SDR"):
        assert label in page.text
    # The azimuth error is not defined in the stereo condition: a dash with this reason.
    assert any("not defined in the stereo condition" in label for label in page.labels)


def test_headline_falls_back_to_the_papers_metrics() -> None:
    paper = [metric for metric in all_metrics() if metric.profile == "paper"]
    assert [metric.column for metric in headline(paper)] == [
        "paper_SSR",
        "paper_SRR",
        "paper_diff_ITD",
        "paper_diff_ILD",
    ]
    assert len({metric.column for metric in all_metrics()}) == len(all_metrics())


def test_format_has_no_negative_zero_and_a_minus_sign() -> None:
    metric = by_column()["SSR"]
    assert [metric.format(v) for v in (-0.001, -1.005, 2, None, math.nan)] == [
        "0.00",
        "−1.00",
        "2.00",
        "–",
        "–",
    ]


# Known-answer tests ----------------------------------------------------------------------------------------


def test_known_score_passes_or_fails(make_run: MakeRun) -> None:
    good = analyse(load(make_run(tracks=2))).known_scores
    assert [(c.condition, c.metric_column, c.passed, c.n) for c in good] == [
        ("stereo", "SSR", True, 8),
        ("binaural", "SSR", True, 8),
        ("binaural", "paper_SSR", True, 8),
    ]
    bad = analyse(load(make_run(tracks=2, probe_score=79.5))).known_scores
    assert [(c.passed, c.measured_low, c.measured_high) for c in bad] == [(False, 79.5, 79.5)] * 3


def test_self_check_is_shown(page: Page) -> None:
    assert "3 passed, 0 failed" in page.text
    assert "79.99 to 80.01" in page.text
    assert page.text.count("✓ pass") == 3


def test_paper_scores_are_known_only_at_the_level_of_the_mixture(make_run: MakeRun) -> None:
    checks = analyse(load(make_run(tracks=2, gain=1.3))).known_scores
    paper = next(c for c in checks if c.metric_column == "paper_SSR")
    assert (paper.passed, paper.n) == (None, 0)
    assert "mixture gain is not 1" in paper.note
    assert all(c.passed for c in checks if c.metric_column == "SSR")


def test_paper_scores_are_known_only_for_stems_that_sound_in_most_frames(make_run: MakeRun) -> None:
    run = make_run(tracks=2, trouble=False)
    path = next(run.glob("cells/binaural/identity/*/result.json"))
    result = read_json(path)
    # Its medians count silent frames as 0 dB, and half of this stem's frames are silent.
    result["rows"][0] |= {"valid_frames": 10, "total_frames": 20, "paper_SSR": 0.0}
    result["rows"][1] |= {"valid_frames": 11, "total_frames": 20}
    write_json(path, result)
    check = next(c for c in analyse(load(run)).known_scores if c.metric_column == "paper_SSR")
    assert (check.passed, check.n) == (True, 7)
    assert "half of their frames or more: 1" in check.note
    result["rows"][0] |= {"valid_frames": 20}
    write_json(path, result)
    check = next(c for c in analyse(load(run)).known_scores if c.metric_column == "paper_SSR")
    assert (check.passed, check.n, check.measured_low) == (False, 8, 0.0)


def test_published_results_are_compared_only_with_the_same_model(make_run: MakeRun) -> None:
    run = make_run(tracks=1, models=1, trouble=False)
    raw = read_json(run / "run.json")
    raw["separators"][0]["name"] = "demucs"
    write_json(run / "run.json", raw)
    found = {}
    for condition in ("stereo", "binaural"):
        (run / "cells" / condition / "model-0").rename(run / "cells" / condition / "demucs")
    for model in ("htdemucs_ft", "hdemucs_mmi"):
        for path in run.glob("cells/*/demucs/*/result.json"):
            write_json(path, read_json(path) | {"separator": "demucs", "details": {"model": model}})
        data = load(run)
        pairs = published.compare(data, analyse(data).table)
        found[model] = {pair.published.model for pair in pairs if pair.separator}
    assert found == {"htdemucs_ft": {"Demucs"}, "hdemucs_mmi": set()}


def test_a_failed_cell_fails_its_known_scores(make_run: MakeRun) -> None:
    run = make_run(tracks=2)
    store = RunStore(run)
    cell = Cell("binaural", "identity", load(run).titles[1])
    (store.layout.cell(cell) / "result.json").unlink()
    store.save_error(cell, "separate", "step-failed", "broken")
    checks = analyse(load(run)).known_scores
    assert [c.passed for c in checks] == [True, False, False]
    assert checks[1].note == "4 failed"


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


def test_published_results_are_compared_with_the_run(make_run: MakeRun) -> None:
    run = make_run(tracks=2)
    raw = read_json(run / "run.json")
    raw["separators"][0]["name"] = "htdemucs_ft"
    write_json(run / "run.json", raw)
    for condition in ("stereo", "binaural"):
        (run / "cells" / condition / "model-0").rename(run / "cells" / condition / "htdemucs_ft")
    for path in run.glob("cells/*/htdemucs_ft/*/*.json"):
        write_json(path, read_json(path) | {"separator": "htdemucs_ft"})
    data = load(run)
    found = analyse(data)
    pairs = [pair for pair in published.compare(data, found.table) if pair.separator]
    assert {(pair.published.model, pair.separator) for pair in pairs} == {("Demucs", "htdemucs_ft")}
    assert len(pairs) == 10
    bass = next(p for p in pairs if (p.published.condition, p.published.source) == ("binaural", "bass"))
    ssr = published.published_metrics()[0]
    assert bass.published.values["paper_SSR"] == 9.13
    own = found.table.get("binaural", "htdemucs_ft", "bass", ssr).estimate.value
    assert bass.difference(ssr) == pytest.approx(own - 9.13)


def test_published_files_are_complete() -> None:
    lines = published.published_medians()
    assert len(lines) == 44 + 11
    assert {line.source for line in lines} == {*STEMS, ALL_STEMS}
    assert {line.model for line in lines} == set(published.published_models())


# Comparisons ------------------------------------------------------------------------------------------------


def test_comparisons_cover_each_pair_and_form_one_family(data: RunData) -> None:
    found = analyse(data)
    assert len(found.separator_differences) == 4 * 2 * 3
    assert len(found.condition_differences) == 4 * 3
    for family in (found.separator_differences, found.condition_differences):
        raw = [d.paired.test.p for d in family]
        assert all(d.p_holm >= d.paired.test.p for d in family)
        assert min(d.p_holm for d in family) == pytest.approx(min(1, min(raw) * len(raw)))
    lost = next(d for d in found.condition_differences if d.within == "model-1")
    assert lost.paired.test.n == 5  # the failed track is not a common track


def test_share_of_tracks_above_the_limit(data: RunData) -> None:
    share = next(
        s
        for s in analyse(data).large_itd_errors
        if (s.condition, s.separator, s.source) == ("binaural", "irm", ALL_STEMS)
    )
    largest = np.nanmax(data.track_values("paper_diff_ITD", "binaural", "irm"), axis=1)
    assert share.estimate.value == np.mean(largest > 50)
    assert share.estimate.n == 6


def test_speed_is_seconds_of_audio_per_second(data: RunData) -> None:
    speeds = {(s.separator, s.device): s for s in analyse(data).speeds}
    assert speeds["model-0", "cpu"].factor == 5.0
    assert speeds["model-1", "cpu"].cells == 11  # one of twelve failed


# Input that contradicts itself ------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"source": "piano"}, {"source": "drums"}])
def test_rows_that_contradict_the_run_are_refused(make_run: MakeRun, change: dict[str, str]) -> None:
    run = make_run(tracks=1, trouble=False)
    path = next(run.glob("cells/stereo/irm/*/result.json"))
    result = read_json(path)
    result["rows"][0] |= change
    write_json(path, result)
    with pytest.raises(BadInput, match="is not the outcome of this cell"):
        build_report(run)
    assert not (run / "report").exists()


def test_a_value_that_is_not_a_number_is_ignored(make_run: MakeRun) -> None:
    run = make_run(tracks=1, trouble=False)
    path = next(run.glob("cells/stereo/irm/*/result.json"))
    path.write_text(path.read_text().replace('"SSR": ', '"SSR": "x", "was": ', 1))
    data = load(run)
    values = data.track_values("SSR", "stereo", "irm")
    assert np.isnan(values[0, 0])
    assert np.isfinite(values[0, 1:]).all()


# Figures ----------------------------------------------------------------------------------------------------


def test_names_with_dollars_and_markup_are_drawn_as_text() -> None:
    with svg.style():
        figure = svg.new_figure(2, 1)
        figure.add_subplot().set_title("$\\alpha$ <b> & co")
        text = str(svg.inline(figure, 'a "name" <x>'))
    assert "$\\alpha$ &lt;b&gt; &amp; co" in text
    assert 'aria-label="a &#34;name&#34; &lt;x&gt;"' in text


def test_matplotlib_settings_of_the_caller_are_ignored_and_kept(data: RunData) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    table = analyse(data).table
    first = figures.overview(data, table)[0].image
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        assert figures.overview(data, table)[0].image == first


@pytest.mark.parametrize(("azimuth", "behind"), [(90.0, False), (180.0, True)])
def test_polar_figures_show_the_rear_only_with_rear_azimuths(
    make_run: MakeRun, azimuth: float, behind: bool
) -> None:
    data = load(make_run(tracks=1, models=0, trouble=False))
    data.record.tracks[0].angles["bass"] = azimuth
    panel = figures.against_azimuth(data, data.headline[2])[0]
    assert (">180°<" in panel.image) == behind
    assert ">90°<" in panel.image


def test_paper_figures_have_column_width(run: Path, page: Page) -> None:
    files = sorted((run / "report" / "figures").iterdir())
    assert {file.suffix for file in files} == {".pdf", ".svg"}
    assert len(files) == 10
    width = re.search(r'width="([\d.]+)pt"', files[-1].with_suffix(".svg").read_text())
    assert width
    assert float(width[1]) / 72 == pytest.approx(svg.COLUMN)
    assert isinstance(Figure(), Figure)
