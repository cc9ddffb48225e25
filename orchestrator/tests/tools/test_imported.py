"""Estimates and scores of other tools: `mssbench evaluate` and the runs that it makes."""

from __future__ import annotations

import csv
import importlib
import json
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mssbench
import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner
from mssbench.cli import cli
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS

pytestmark = pytest.mark.usefixtures("without_report")

RATE = 8000
REST = STEMS[1:]


def evaluate(*arguments: str) -> str:
    found = CliRunner().invoke(cli, ["evaluate", *arguments], catch_exceptions=False, standalone_mode=False)
    return found.output


def write(folder: str, stems: dict[str, np.ndarray], name: str = "{}.wav", subtype: str = "FLOAT") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for stem, signal in stems.items():
        sf.write(Path(folder) / name.format(stem), signal, RATE, subtype=subtype)


def rows(path: str = "out.csv") -> dict[tuple[str, str], dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return {(row["title"], row["source"]): row for row in csv.DictReader(file)}


@pytest.fixture
def true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """References of one title, in ``music/test``; the working directory is the data root."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(3)
    stems = {stem: 0.05 * random.standard_normal((RATE, 2)) for stem in STEMS}
    write("music/test/Song", stems | {"mixture": np.sum(list(stems.values()), axis=0)})
    return stems


def noisy(signal: np.ndarray, seed: int = 10) -> np.ndarray:
    return signal + 0.005 * np.random.default_rng(seed).standard_normal(signal.shape)


def test_estimates_of_two_stems_become_a_run_that_can_be_scored_again(true: dict[str, np.ndarray]) -> None:
    pair = {
        "Vocals": noisy(true["vocals"]),
        "Instrumental": noisy(np.sum([true[stem] for stem in REST], axis=0)),
    }
    write("est", pair, "1_Song_({})_model.flac", "PCM_24")
    output = evaluate("music/test", "est", "--name", "uvr", "--csv", "out.csv")
    assert "not offered: drums, bass, other" in output
    (run,) = (mssbench.load(name) for name in mssbench.list_runs())
    assert [(row["separator"], row["condition"], row["source"]) for row in run.results] == [
        ("uvr", "stereo", "vocals"),
        ("uvr", "stereo", "accompaniment"),
    ]
    scored = rows()
    for row in run.results:
        assert float(scored["Song", row["source"]]["SDR"]) == row["SDR"] > 10
    assert run.summary()["run"]["dataset"] == "music"
    before = run.results
    again = CliRunner().invoke(cli, ["rescore", run.id, "--inline"], catch_exceptions=False)
    assert again.exit_code == 0, again.output
    assert run.results == before
    evaluate("music/test", "est", "--name", "uvr")
    assert mssbench.list_runs() == [run.id], "the same files and settings are the same run"


def test_a_finer_model_is_folded_and_a_missing_file_is_a_failure(true: dict[str, np.ndarray]) -> None:
    write("music/test/Two", true | {"mixture": true["vocals"]})
    six = true | {"other": 0.5 * true["other"], "guitar": 0.3 * true["other"], "piano": 0.2 * true["other"]}
    for title in ("Song", "Two"):
        write(f"est/{title}", six)
    Path("est/Two/bass.wav").unlink()
    output = evaluate("music/test", "est", "--csv", "out.csv", "--no-bsseval")
    assert "other is other + guitar + piano" in output
    assert len(rows()) == 8
    assert float(rows()["Song", "other"]["SSR"]) > 60
    assert rows()["Two", "bass"]["status"] == "failed"
    assert "bass.wav is missing" in rows()["Two", "bass"]["reason"]
    evaluate(
        "music/test", "est", "--csv", "out.csv", "--no-bsseval", "--targets", "Instrumental", "--name", "six"
    )
    assert list(rows()) == [("Song", "accompaniment"), ("Two", "accompaniment")]
    assert rows()["Two", "accompaniment"]["status"] == "failed"
    assert float(rows()["Song", "accompaniment"]["SSR"]) > 60


@pytest.fixture
def museval() -> Iterator[Any]:
    """The package museval, which imports musdb, which needs an ffmpeg program."""
    before = set(sys.modules)
    sys.modules["musdb"] = types.ModuleType("musdb")
    yield importlib.import_module("museval")
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("musdb", "museval"):
            del sys.modules[name]


@pytest.mark.parametrize("targets", [("vocals", "drums", "bass"), ("vocals", "accompaniment")])
def test_scores_agree_with_museval_and_each_reads_the_files_of_the_other(
    true: dict[str, np.ndarray], museval: Any, targets: tuple[str, ...]
) -> None:
    Path("music/test/Song/other.wav").unlink()  # three sources are scored in less time than four
    rest = true["drums"] + true["bass"]
    found = {
        name: noisy((true | {"accompaniment": rest})[name], seed) for seed, name in enumerate(targets, 10)
    }
    write("est/Song", found)
    evaluate("music/test", "est", "--csv", "ours.csv", "--museval-json", "ours")
    reference = {name: types.SimpleNamespace(audio=x) for name, x in (true | {"accompaniment": rest}).items()}
    track = types.SimpleNamespace(targets=reference, rate=RATE, name="Song", subset="test")
    stored = museval.eval_mus_track(track, found, output_dir="theirs")
    theirs = museval.EvalStore()
    theirs.add_eval_dir("ours")
    expected = {
        (t["name"], m): [f["metrics"][m] for f in t["frames"]]
        for t in stored.scores["targets"]
        for m in t["frames"][0]["metrics"]
    }
    written = {key: list(group) for key, group in theirs.df.groupby(["target", "metric"])["score"]}
    assert written.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(written[key], np.array(values, float), atol=1e-4)
    evaluate("music/test", "theirs", "--from-museval", "--csv", "theirs.csv", "--name", "published")
    for key, row in rows("ours.csv").items():
        for metric in ("SDR", "SIR", "ISR", "SAR"):
            assert float(rows("theirs.csv")[key][metric]) == pytest.approx(float(row[metric]), abs=1e-4)
    (run,) = (mssbench.load(name) for name in mssbench.list_runs())
    assert [row["source"] for row in run.results] == list(targets)
    assert run.summary()


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        "[]",
        '{"targets": 3}',
        '{"targets": [{"name": "vocals", "frames": [{"metrics": {"SDR": "x"}}]}]}',
        '{"targets": [{"name": "music", "frames": []}, {"name": "Instrumental", "frames": []}]}',
    ],
)
def test_files_that_are_not_of_museval_are_refused(true: dict[str, np.ndarray], content: str) -> None:
    Path("scores/test").mkdir(parents=True)
    Path("scores/test/Song.json").write_text(content)
    with pytest.raises(BadInput, match=r"Song\.json"):
        evaluate("music/test", "scores", "--from-museval", "--csv", "out.csv", "--name", "x")
    assert not Path("runs").exists()
    assert not Path("out.csv").exists()


def test_windows_without_a_value_are_nan_as_in_museval(true: dict[str, np.ndarray]) -> None:
    random = np.random.default_rng(0)
    pair = {stem: 0.05 * random.standard_normal((2 * RATE, 2)) for stem in ("vocals", "drums")}
    pair["drums"][:RATE] = 0
    write("pairs/test/Song", pair)
    write("est/Song", {stem: noisy(x) for stem, x in pair.items()})
    evaluate("pairs/test", "est", "--museval-json", "ours")
    targets = json.loads(Path("ours/test/Song.json").read_text(encoding="utf-8"))["targets"]
    values = [frame["metrics"]["SDR"] for frame in targets[0]["frames"]]
    assert math.isnan(values[0])
    assert values[1] > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "a/b"], "a/b"),
        (["--name", "x", "--run-id", "a b"], "is not a run id"),
    ],
)
def test_options_that_cannot_be_used_write_nothing(
    true: dict[str, np.ndarray], options: list[str], message: str
) -> None:
    write("est/Song", true)
    with pytest.raises(BadInput, match=message):
        evaluate("music/test", "est", "--csv", "out.csv", *options)
    assert sorted(path.name for path in Path().iterdir()) == ["est", "music"]
