"""The commands `mssbench report` and `mssbench leaderboard`, and their error messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mssbench.cli import main
from mssbench.report import build_report, page
from mssbench.runs.store import RunStore

MakeRun = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=2, models=0, audio=True, conditions=("binaural",), trouble=False)


@pytest.fixture
def mssbench(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in the run's workspace; exit code, stdout, stderr."""
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(run.parent.parent))
    monkeypatch.chdir(run.parent.parent)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mssbench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def refused(done: tuple[int, str, str]) -> str:
    """The one-line message of a command that failed with exit code 2."""
    code, out, err = done
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_report_adds_a_player_for_a_selected_stem(mssbench: Command, run: Path) -> None:
    title = RunStore(run).load().tracks[1].title
    code, out, _ = mssbench("report", run.name, "--listen", f"binaural/irm/{title}/other")
    assert (code, out) == (0, f"report: runs/{run.name}/report/index.html\n")
    html = (run / "report" / "index.html").read_text(encoding="utf-8")
    first = html[html.index("data-player") :]
    assert first.index("selected") < first.index(" stem by SSR")
    assert "<bdi>Artist 1 - Song 1</bdi> – other" in first
    assert (run / "results.csv").read_bytes() == (run / "report" / "results.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "binaural/irm"], "expected condition/separator/title/stem"),
        (["--listen", "binaural/irm/Artist 1 - Song 1/piano"], "no 'piano' of 'Artist 1 - Song 1'"),
        (["--listen", "stereo/irm/Artist 1 - Song 1/bass"], "(stereo)"),
        (["--no-audio", "--listen", "binaural/irm/Artist 1 - Song 1/bass"], "--no-audio exclude each other"),
    ],
)
def test_an_invalid_selection_is_refused_before_the_report_is_written(
    mssbench: Command, run: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(
        page, "render", lambda *_: pytest.fail("the report was rendered before the selection was checked")
    )
    assert message in refused(mssbench("report", run.name, *arguments))


def test_leaderboard_accepts_ids_folders_and_summaries(mssbench: Command, run: Path, tmp_path: Path) -> None:
    summary = json.loads((build_report(run, audio=False).parent / "summary.json").read_text(encoding="utf-8"))
    summary["run"]["id"] = "another"
    (tmp_path / "sent.json").write_text(json.dumps(summary), encoding="utf-8")
    code, out, _ = mssbench(
        "leaderboard", run.name, str(tmp_path / "sent.json"), "-o", str(tmp_path / "site")
    )
    assert (code, out) == (0, f"leaderboard: {tmp_path / 'site' / 'index.html'}\n")
    assert "another" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    code, _, _ = mssbench("leaderboard", str(run), "-o", str(tmp_path / "other"))
    assert code == 0


@pytest.mark.usefixtures("without_report")
def test_leaderboard_lists_the_scores_of_evaluate(
    mssbench: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(workspace))
    scores = ("evaluate", "music/test", "music/test", "--metrics", "corrected", "--no-bsseval")
    assert mssbench(*scores, "--name", "mytool")[0] == 0
    (run,) = (workspace / "runs").glob("music-*")
    assert mssbench("leaderboard", run.name, "-o", "site")[0] == 0
    html = (workspace / "site/index.html").read_text(encoding="utf-8")
    assert ">mytool</a>" in html
    assert "music (test), 2 tracks, stereo" in html
    # A table of scores does not say what it was scored with.
    assert mssbench(*scores, "--csv", "scores.csv")[0] == 0
    assert "evaluate --name makes a run" in refused(mssbench("leaderboard", "scores.csv", "-o", "site"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1', "not a readable JSON file"),
        ('{"version": 3}', "has version 3 of summary.json, written by a newer version of this software"),
        ('{"schema": 1}', "run: Field required; statistics: Field required; and 4 more problems"),
        ("[]", "is not a summary.json: expected an object"),
    ],
)
def test_a_file_that_is_not_a_summary_is_refused(
    mssbench: Command, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "sent.json").write_text(text, encoding="utf-8")
    error = refused(mssbench("leaderboard", str(tmp_path / "sent.json"), "-o", str(tmp_path / "site")))
    assert message in error
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("source", ["nothing", "no/such/summary.json", "../up"])
def test_leaderboard_refuses_a_missing_run(mssbench: Command, tmp_path: Path, source: str) -> None:
    assert source.rsplit("/", 1)[-1] in refused(mssbench("leaderboard", source, "-o", str(tmp_path / "site")))
