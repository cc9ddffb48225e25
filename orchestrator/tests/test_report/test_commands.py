"""`mssbench report` and `mssbench leaderboard`: what a person types, and what they read when it cannot be."""

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
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def refused(done: tuple[int, str, str]) -> str:
    code, out, err = done
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_report_listens_where_it_is_told_to(mssbench: Command, run: Path) -> None:
    title = RunStore(run).load().tracks[1].title
    code, out, _ = mssbench("report", run.name, "--listen", f"binaural/irm/{title}/other")
    assert (code, out) == (0, f"report: runs/{run.name}/report/index.html\n")
    html = (run / "report" / "index.html").read_text(encoding="utf-8")
    first = html[html.index("data-player") :]
    assert first.index("asked for") < first.index(" SSR of irm")
    assert "<bdi>Artist 1 - Song 1</bdi> – other" in first
    assert (run / "results.csv").read_bytes() == (run / "report" / "results.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--listen", "binaural/irm"], "expected condition/separator/title/stem"),
        (["--listen", "binaural/irm/Artist 1 - Song 1/piano"], "no 'piano' of 'Artist 1 - Song 1'"),
        (["--listen", "stereo/irm/Artist 1 - Song 1/bass"], "(stereo)"),
        (["--no-audio", "--listen", "binaural/irm/Artist 1 - Song 1/bass"], "--no-audio leaves it out"),
    ],
)
def test_what_cannot_be_listened_to(
    mssbench: Command, run: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr(page, "render", lambda *_: pytest.fail("the report was made before this was found"))
    assert says in refused(mssbench("report", run.name, *arguments))


def test_leaderboard_takes_ids_folders_and_summaries(mssbench: Command, run: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"schema": 1', "not a readable JSON file"),
        ('{"version": 3}', "has version 3 of summary.json, written by a newer version of this software"),
        ('{"schema": 1}', "run: Field required; statistics: Field required; and 4 more problems"),
        ("[]", "is not a summary.json: expected an object"),
    ],
)
def test_what_is_no_summary(mssbench: Command, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "sent.json").write_text(text, encoding="utf-8")
    said = refused(mssbench("leaderboard", str(tmp_path / "sent.json"), "-o", str(tmp_path / "site")))
    assert says in said
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("source", ["nothing", "no/such/summary.json", "../up"])
def test_leaderboard_of_nothing(mssbench: Command, tmp_path: Path, source: str) -> None:
    assert source.rsplit("/", 1)[-1] in refused(mssbench("leaderboard", source, "-o", str(tmp_path / "site")))
