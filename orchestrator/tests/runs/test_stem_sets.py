"""Datasets with other stems than MUSDB18-HQ's, from the folder to the table of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mssbench
import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from mssbench.bench import BenchmarkRun
from mssbench.cli import cli
from mssbench.datasets.check import check_dataset
from mssbench.report.data import load
from mssbench.runs.fingerprint import state_of_files
from mssbench_service.errors import BadInput
from mssbench_service.files import read_json
from mssbench_service.musdb import STEMS

SIX = (*STEMS, "guitar", "piano")
RATE = 8000

pytestmark = pytest.mark.usefixtures("without_report")


def write_track(folder: Path, stems: tuple[str, ...], seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(seed).standard_normal((len(stems), RATE, 2)) * 0.05
    for stem, audio in zip(stems, noise, strict=True):
        sf.write(folder / f"{stem}.wav", audio, RATE, subtype="FLOAT")
    sf.write(folder / "mixture.wav", noise.sum(axis=0), RATE, subtype="FLOAT")
    return folder


def benchmark(
    separators: list[str], conditions: tuple[str, ...] = ("stereo",), **settings: Any
) -> BenchmarkRun:
    return mssbench.run(
        dataset="six",
        separators=separators,
        conditions=list(conditions),
        metrics="paper",
        bsseval=False,
        resample_hrir=True,
        **settings,
    )


def sources(run: BenchmarkRun, separator: str, title: str) -> list[str]:
    return [row["source"] for row in run.results if (row["separator"], row["title"]) == (separator, title)]


@pytest.fixture
def dataset(workspace: Path) -> Path:
    """A track with six stems, and one that lacks two of them."""
    write_track(workspace / "six/test/All", SIX)
    write_track(workspace / "six/test/Few", ("vocals", "drums", "piano"), seed=1)
    return workspace / "six"


def test_each_track_is_rendered_and_scored_with_its_own_stems(dataset: Path) -> None:
    run = benchmark(["oracle-irm"], ("stereo", "binaural"))
    assert {row["status"] for row in run.results} <= {"ok", "undefined"}
    assert sources(run, "oracle-irm", "All") == [*SIX, *SIX]
    assert sources(run, "oracle-irm", "Few") == ["vocals", "drums", "piano"] * 2
    record = read_json(run.folder / "run.json")
    assert record["stems"] == list(SIX)
    assert [list(track["angles"]) for track in record["tracks"]] == [list(SIX), ["vocals", "drums", "piano"]]
    assert [track["stems"] for track in record["tracks"]] == [[], ["vocals", "drums", "piano"]]
    rendered = dataset.parent / record["tracks"][1]["folders"]["binaural"]
    parts = [sf.read(rendered / f"{stem}.wav")[0] for stem in ("vocals", "drums", "piano")]
    np.testing.assert_allclose(sum(parts), sf.read(rendered / "mixture.wav")[0], atol=1e-6)
    assert run.resume().id == benchmark(["oracle-irm"], ("stereo", "binaural")).id


def test_the_rest_of_a_track_is_the_sum_of_what_it_has(dataset: Path) -> None:
    run = benchmark(["oracle-irm", "oracle-mixture"], targets=["vocals", "accompaniment", "bass"])
    for separator in ("oracle-irm", "oracle-mixture"):
        assert sources(run, separator, "Few") == ["vocals", "accompaniment"]
        assert sources(run, separator, "All") == ["vocals", "accompaniment", "bass"]
    assert not run.failures


def test_two_stems_are_a_dataset_too_and_the_check_names_the_stems(workspace: Path) -> None:
    write_track(workspace / "six/test/A", ("vocals", "accompaniment"))
    run = benchmark(["oracle-irm"])
    assert sources(run, "oracle-irm", "A") == ["vocals", "accompaniment"]
    assert [track.stems for track in check_dataset(workspace / "six").tracks] == [["vocals", "accompaniment"]]


def test_files_that_are_sums_of_stems_are_not_stems(workspace: Path) -> None:
    folder = write_track(workspace / "six/test/A", STEMS)
    before = state_of_files(folder)
    for name in ("accompaniment", "no_vocals", "Preview Mix"):
        (folder / f"{name}.wav").write_bytes((folder / "drums.wav").read_bytes())
    run = benchmark(["oracle-mixture"])
    assert sources(run, "oracle-mixture", "A") == list(STEMS)
    assert read_json(run.folder / "run.json")["tracks"][0]["files"] == before


def test_other_targets_of_a_run_are_scored_and_reported(dataset: Path) -> None:
    run = benchmark(["oracle-irm", "oracle-mixture"], tracks=1)
    before = {row["source"]: row for row in run.results if row["separator"] == "oracle-irm"}
    mssbench_command(
        "rescore", run.id, "--inline", "--metrics", "paper", "--no-bsseval", "--sources", "Music,vocals"
    )
    found = run.results
    assert [(row["separator"], row["source"], row["status"]) for row in found] == [
        (name, source, "ok")
        for name in ("oracle-irm", "oracle-mixture")
        for source in ("accompaniment", "vocals")
    ]
    assert found[1]["paper_SSR"] == pytest.approx(before["vocals"]["paper_SSR"], abs=1e-6)
    assert [one.targets for one in (load(run.folder), load(run.folder, ["karaoke"]))] == [
        ["accompaniment", "vocals"],
        ["accompaniment"],
    ]
    with pytest.raises(BadInput, match=r"has scores of accompaniment, vocals, not of 'drums'"):
        load(run.folder, ["drums"])
    with pytest.raises(BadInput, match="'strings' cannot be built"):
        mssbench_command("rescore", run.id, "--inline", "--targets", "strings")
    assert run.results == found


def mssbench_command(*arguments: str) -> None:
    CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
