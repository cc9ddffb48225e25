"""Commands for folders; and bad input, which gives one line and exit code 2 for all commands."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from command import Command, refused, tracks

IRM = ["--separators", "oracle-irm", "--inline"]


def table(workspace: Path) -> list[dict[str, str]]:
    with (workspace / "out.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_evaluate_scores_folders_of_estimates(mssbench: Command, workspace: Path) -> None:
    references = workspace / "music/test"
    for track in tracks(workspace):
        for stem in ("vocals", "drums", "bass", "other"):
            signal, rate = sf.read(track / f"{stem}.wav")
            out = workspace / "estimates" / track.name
            out.mkdir(parents=True, exist_ok=True)
            sf.write(out / f"{stem}.wav", signal * 0.5, rate, subtype="FLOAT")
    done = mssbench("evaluate", str(references), "estimates", "--csv", "out.csv")
    assert done.returncode == 0, done.stderr
    rows = table(workspace)
    assert len(rows) == 8
    for row in rows:
        assert float(row["SSR"]) == pytest.approx(6.0206, abs=1e-3)
        assert float(row["paper_diff_ILD"]) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("profile", ["paper", "corrected"])
def test_evaluate_leaves_the_columns_of_other_profiles_empty(
    mssbench: Command, workspace: Path, profile: str
) -> None:
    done = mssbench("evaluate", "music/test", "music/test", "--csv", "out.csv", "--profile", profile)
    assert done.returncode == 0, done.stderr
    for row in table(workspace):
        assert bool(row["SSR"]) == (profile == "corrected")
        assert bool(row["paper_SSR"]) == (profile == "paper")


def test_the_gain_of_a_paper_rendering_is_taken_from_its_metadata(mssbench: Command, workspace: Path) -> None:
    """An estimate at the level of the mixture is perfect for the corrected metrics, but not for those of the paper."""
    assert mssbench("synth", "music", "out", "--profile", "paper").returncode == 0
    for folder in (workspace / "out/test").iterdir():
        gain = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))["mixture_gain"]
        target = workspace / "estimates" / folder.name
        target.mkdir(parents=True)
        for stem in ("vocals", "drums", "bass", "other"):
            signal, rate = sf.read(folder / f"{stem}.wav", dtype="float32")
            sf.write(target / f"{stem}.wav", signal * np.float32(gain), rate, subtype="FLOAT")
    assert mssbench("evaluate", "out/test", "estimates", "--csv", "out.csv").returncode == 0
    for row in table(workspace):
        gain = json.loads((workspace / "out/test" / row["title"] / "metadata.json").read_text())[
            "mixture_gain"
        ]
        assert float(row["SSR"]) == pytest.approx(80.0, abs=0.01)
        assert float(row["paper_SSR"]) == pytest.approx(-20 * np.log10(abs(gain - 1)), abs=0.01)


def test_missing_and_broken_estimates_are_failed_rows(mssbench: Command, workspace: Path) -> None:
    shutil.copytree(workspace / "music/test", workspace / "estimates")
    first, second = (workspace / "estimates" / track.name for track in tracks(workspace))
    (first / "bass.wav").unlink()
    (first / "drums.wav").write_text("not audio")
    shutil.rmtree(second)
    done = mssbench("evaluate", "music/test", "estimates", "--csv", "out.csv")
    assert done.returncode == 0, done.stderr
    assert "8 rows, 6 failed" in done.stdout
    rows = {(r["title"], r["source"]): r for r in table(workspace)}
    assert rows[first.name, "vocals"]["status"] == "ok"
    assert "bass.wav is missing" in rows[first.name, "bass"]["reason"]
    assert "drums.wav cannot be read as audio" in rows[first.name, "drums"]["reason"]
    assert rows[second.name, "vocals"]["status"] == "failed"
    assert str(workspace) not in (workspace / "out.csv").read_text(), "paths are relative to the data root"


@pytest.mark.parametrize(
    "command", [["synth", "music", "out"], ["run", "--dataset", "music", *IRM]], ids=["synth", "run"]
)
def test_a_damaged_track_is_named_and_nothing_is_written(
    mssbench: Command, workspace: Path, command: list[str]
) -> None:
    damaged = tracks(workspace)[1]
    (damaged / "bass.wav").unlink()
    assert f"{damaged.name}/bass.wav is missing" in refused(mssbench(*command))
    assert {path.name for path in workspace.iterdir()} == {"music"}, "an incomplete file is left"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["synth", "music/test", "out"], "no readable folder 'test'"),
        (["synth", "music", "out", "--split", "valid"], "valid"),
        (["synth", "music", "file/out"], "file"),
        (
            ["run", "--dataset", "music", "--separators", "oracle-imr", "--inline"],
            "did you mean 'oracle-irm'?",
        ),
        (["run", "--dataset", "music", "--conditions", "mono", *IRM], "unknown condition 'mono'"),
        (["run", "--dataset", "music", "--run-id", "../x", *IRM], "'../x' is not a run id"),
        (
            ["run", "--dataset", "music", "--redis", "redis://127.0.0.1:1/0", "--separators", "oracle-irm"],
            "Redis",
        ),
        (["run"], "--dataset"),
        (["evaluate", "music", "music", "--csv", "x.csv"], "did you mean music/test?"),
        (["evaluate", "music/test", "empty", "--csv", "x.csv"], "empty has no estimates of"),
        (["evaluate", "music/test", "music/test", "--csv", "file/x.csv"], "file"),
        (["report", "nothing"], "no run 'nothing'"),
        (["status", "nothing"], "no run 'nothing'"),
        (["worker", "render", "--redis", "redis://127.0.0.1:1/0"], "Redis at redis://127.0.0.1:1/0"),
        (["nonsense"], "nonsense"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_bad_requests_give_one_line(
    mssbench: Command, workspace: Path, arguments: list[str], says: str
) -> None:
    (workspace / "file").write_text("not a folder")
    (workspace / "empty").mkdir()
    assert says in refused(mssbench(*arguments))
    assert not list(workspace.rglob(".tmp-*"))


@pytest.mark.usefixtures("without_report")
def test_a_run_id_of_another_run_is_refused(mssbench: Command, workspace: Path) -> None:
    run = ["run", "--dataset", "music", "--tracks", "1", "--no-bsseval", *IRM, "--run-id", "mine"]
    assert mssbench(*run).returncode == 0
    line = refused(mssbench(*run, "--seed", "7"))
    assert "run mine exists with another configuration" in line


@pytest.mark.parametrize("layout", ["{title}", "htdemucs/{title}", "{title}_umxhq"])
def test_estimates_in_the_layouts_of_demucs_open_unmix_and_spleeter_are_found(
    mssbench: Command, workspace: Path, layout: str
) -> None:
    for track in tracks(workspace):
        target = workspace / "estimates" / layout.format(title=track.name)
        target.mkdir(parents=True)
        for stem in ("vocals", "drums", "bass", "other"):
            signal, rate = sf.read(track / f"{stem}.wav")
            sf.write(target / f"{stem}.flac", signal, rate)
    done = mssbench(
        "evaluate", "music/test", "estimates", "--csv", "out.csv", "--no-bsseval", "--frames", "frames"
    )
    assert done.returncode == 0, done.stderr
    assert all(float(row["SSR"]) == pytest.approx(80.0, abs=1e-6) for row in table(workspace))
    assert sorted(p.stem for p in (workspace / "frames").iterdir()) == [t.name for t in tracks(workspace)]


def test_estimates_of_two_models_cost_the_title_and_not_the_table(mssbench: Command, workspace: Path) -> None:
    first, second = tracks(workspace)
    for model in ("htdemucs", "mdx"):
        shutil.copytree(first, workspace / "estimates" / model / first.name)
    evaluate = ("evaluate", "music/test", "estimates", "--csv", "out.csv", "--no-bsseval")
    done = mssbench(*evaluate)
    assert done.returncode == 1
    assert "every row failed" in done.stderr
    shutil.copytree(second, workspace / "estimates/mdx" / second.name)
    assert mssbench(*evaluate).returncode == 0
    rows = {row["title"]: row for row in table(workspace)}
    assert f"has estimates in estimates/htdemucs/{first.name} and in" in rows[first.name]["reason"]
    assert rows[second.name]["status"] == "undefined"  # of this stem, the ears are not coherent
