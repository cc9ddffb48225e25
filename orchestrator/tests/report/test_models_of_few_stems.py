"""A vocals-only model, one of vocals and accompaniment, and one of four stems in the tables of one run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import mssbench
import numpy as np
import pytest
import soundfile as sf
from mssbench.bench import BenchmarkRun
from mssbench.report import build_leaderboard, page
from mssbench.report import summary as summaries
from mssbench.report.analysis import analyse
from mssbench.report.build import write_files
from mssbench.report.comparable import audio_hashes
from mssbench.report.data import ALL_STEMS, load
from mssbench.report.ranking import settings_of
from mssbench.report.tables import result_tables
from mssbench_service.stems import STEMS

RATE = 8000
PACKAGE = '''
"""Separators by the middle of the stereo image: the middle is the voice, and the rest the sides."""
from mssbench_service.separation import Separator
from mssbench_service.wire import ModelCard


class Middle(Separator):
    def __init__(self, *stems):
        self.stems = stems

    def separate(self, mixture, sample_rate):
        vocals = 0 * mixture + mixture.mean(0)
        rest = mixture - vocals
        others = [stem for stem in self.stems if stem != "vocals"]
        return {"vocals": vocals, **{stem: rest / len(others) for stem in others}}

    def card(self):
        return ModelCard("the middle", 0, "none", training_tracks=["One"], licence="MIT")


SEPARATORS = {
    "fakes:four": lambda: Middle("drums", "bass", "other", "vocals"),
    "fakes:pair": lambda: Middle("vocals", "accompaniment"),
    "fakes:voice": lambda: Middle("vocals"),
}
'''
SERVICES = """
[tools]
synth = { module = "synth_service", url = "http://synth:8000" }
evaluator = { module = "evaluator_service", url = "http://evaluator:8000" }
[separators]
fakes = { module = "fakes_of_few_stems", url = "http://fakes:8000" }
"""


def write_dataset(folder: Path) -> None:
    for number, title in enumerate(("One", "Two")):
        track = folder / "test" / title
        track.mkdir(parents=True)
        stems = np.random.default_rng(number).standard_normal((4, 2 * RATE, 2)) * 0.05
        stems[0, :, 1] = stems[0, :, 0]  # the voice is in the middle
        for stem, audio in zip(STEMS, stems, strict=True):
            sf.write(track / f"{stem}.wav", audio, RATE, subtype="FLOAT")
        sf.write(track / "mixture.wav", stems.sum(axis=0), RATE, subtype="FLOAT")


@pytest.fixture
def run(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BenchmarkRun:
    (tmp_path / "fakes_of_few_stems.py").write_text(PACKAGE)
    (tmp_path / "services.toml").write_text(SERVICES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MSSBENCH_SERVICES", str(tmp_path / "services.toml"))
    write_dataset(workspace / "noise")
    return benchmark("noise")


def benchmark(dataset: str) -> BenchmarkRun:
    return mssbench.run(
        dataset=dataset, separators=["fakes"], conditions=["stereo"], metrics="corrected", bsseval=False
    )


@pytest.mark.usefixtures("without_report")
def test_models_meet_on_the_stems_that_they_share(run: BenchmarkRun, tmp_path: Path, workspace: Path) -> None:
    offered = {
        "fakes:four": {*STEMS, "accompaniment"},
        "fakes:pair": {"vocals", "accompaniment"},
        "fakes:voice": {"vocals"},
    }
    for name, stems in offered.items():
        rows = [row for row in run.results if row["separator"] == name]
        assert {row["source"] for row in rows} == stems
        assert "failed" not in {row["status"] for row in rows}

    data = load(run.folder)
    assert {name: len(missing) for name, missing in data.not_offered.items()} == {
        "fakes:pair": 3,
        "fakes:voice": 4,
    }
    # All estimate the same voice, and the sum of the rest is the accompaniment of the pair.
    analysis = analyse(data)
    table = analysis.table
    metric = next(one for one in data.metrics if one.column == "SRR")
    values = {
        source: [table.get("stereo", name, source, metric).estimate.value for name in offered]
        for source in ("vocals", "accompaniment")
    }
    assert values["vocals"] == pytest.approx([values["vocals"][0]] * 3, abs=1e-5)
    assert values["accompaniment"][:2] == pytest.approx([values["accompaniment"][0]] * 2, abs=1e-4)

    # What compares separators on the page is about the voice, which all models offer.
    assert (analysis.shared.targets, analysis.shared.scope) == (["vocals"], "vocals only")
    assert data.scope == "the stems that each separator offers"
    assert data.only(data.targets) is data
    assert load(run.folder, ["vocals"]).scope == "vocals only"
    shared = {name: analysis.shared_table.get("stereo", name, ALL_STEMS, metric).estimate for name in offered}
    assert len({(round(one.value, 4), one.n) for one in shared.values()}) == 1
    assert "of the vocals in place" in analysis.answer[0]
    assert "over 2 tracks, vocals only." in analysis.answer[1]
    text = page.render(data, analysis, None, [])
    assert "medians over tracks, <b>vocals only</b>" in text
    assert "drums, bass, other, accompaniment by <b>fakes:voice</b>" in text
    by_stem = next(one for one in result_tables(data, table) if one["heading"] == "Results by stem")
    listed = {one["separator"].name: [row["source"] for row in one["rows"]] for one in by_stem["groups"]}
    assert listed["fakes:four"][-1] == "All stems"
    assert listed["fakes:pair"] == ["Vocals", "Accompaniment"]
    assert listed["fakes:voice"] == ["Vocals"]

    # So are the table and the figures for a paper.
    (tmp_path / "report").mkdir()
    write_files(data, analysis, tmp_path / "report")
    latex = (tmp_path / "report/tables/results-stereo.tex").read_text(encoding="utf-8")
    assert set(re.findall(r"^([^&\n]*) & ([^&\n]*) & \$", latex, re.MULTILINE)) == {
        (name, "Vocals") for name in offered
    }
    overview, by_stem_figure = (
        (tmp_path / f"report/figures/{name}.svg").read_text(encoding="utf-8")
        for name in ("overview", "by-stem")
    )
    assert "Medians, vocals only" in overview
    assert [stem for stem in STEMS if stem.capitalize() in by_stem_figure] == ["vocals"]

    summary = summaries.build(data, analysis)
    (setting,) = settings_of([summary], dict.fromkeys(offered, "page"))
    tables = {one.source: {row.entry.separator.name for row in one.models} for one in setting.tables}
    assert tables["vocals"] == set(offered)
    assert tables["accompaniment"] == {"fakes:four", "fakes:pair"}
    assert tables["drums"] == tables["all"] == {"fakes:four"}
    assert {one.name: one.stems for one in summary.separators} == {
        "fakes:four": ["drums", "bass", "other", "vocals"],
        "fakes:pair": ["vocals", "accompaniment"],
        "fakes:voice": ["vocals"],
    }
    summaries.write(summary, tmp_path)
    html = build_leaderboard([tmp_path / "summary.json"], tmp_path / "site").read_text(encoding="utf-8")
    assert "trained on 1 of these 2 tracks" in html

    # A copy of the dataset on another machine has other times of its files; other audio has another hash.
    shutil.copytree(workspace / "noise", workspace / "copy", copy_function=shutil.copyfile)
    copy = load(benchmark("copy").folder)
    assert [one.files for one in copy.record.tracks] != [one.files for one in data.record.tracks]
    assert audio_hashes(copy) == audio_hashes(data) == summary.run.audio != {}
