"""Runs from a configuration file: repeat, compare, cancel, resume, retry, and remove unused files."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from command import Command
from mssbench.execution.embedded import embedded_server
from mssbench.execution.queues import connect
from mssbench_contract.server import wait_for

# The reports are not the subject.
pytestmark = pytest.mark.usefixtures("without_report")

SETTINGS = """
dataset = "music"
separators = ["oracle-identity", "oracle-mixture"]
conditions = ["binaural"]
tracks = 1
bsseval = false
"""


@pytest.fixture
def config(workspace: Path) -> Path:
    path = workspace / "run.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


def record(workspace: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace / "runs" / run / "run.json").read_text(encoding="utf-8"))
    return found


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_run_from_a_file_is_repeated_and_compared_and_gc_removes_unused_files(
    mssbench: Command, workspace: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSSBENCH_COMMIT", "abc")
    monkeypatch.setattr(tempfile, "tempdir", str(workspace))  # other tests leave folders of killed launchers
    # Paths in the file are relative to it. Options take precedence over it.
    elsewhere = config.rename(workspace / "music" / "run.toml")
    elsewhere.write_text(SETTINGS.replace('"music"', '"."'), encoding="utf-8")
    done(mssbench("run", "music/run.toml", "--seed", "3", "--inline", "--run-id", "one"))
    first = record(workspace, "one")
    assert (first["config"]["dataset"], first["config"]["seed"]) == ("music", 3)
    assert (first["config"]["tracks"], first["config"]["bsseval"]) == (1, False)
    assert len(first["tracks"][0]["files"]) == 20
    assert first["hrir"]["sha256"]
    assert set(first["versions"]) >= {"mssbench", "python", "oracle"}

    monkeypatch.setenv("MSSBENCH_COMMIT", "def")
    again = mssbench("run", "--like", "one", "--inline")
    done(again)
    lines = [line.strip() for line in again.stderr.splitlines()]
    assert lines[lines.index("repeats one; differences:") + 1] == "commit: abc -> def"
    assert "0 values differ from one" in again.stderr
    assert record(workspace, "one-2")["config"] == first["config"]
    assert done(mssbench("diff", "one", "one-2")) == "0 values differ\n"

    # A changed score, and the tolerance.
    path = next((workspace / "runs/one-2/cells").rglob("result.json"))
    outcome = json.loads(path.read_text(encoding="utf-8"))
    outcome["rows"][0]["SSR"] += 0.01
    path.write_text(json.dumps(outcome), encoding="utf-8")
    changed = mssbench("diff", "one", "one-2", "--values")
    assert changed.returncode == 1
    assert "SSR: +0.01" in changed.stdout.splitlines()[0] or "SSR: " in changed.stdout.splitlines()[0]
    assert changed.stdout.splitlines()[-1] == "1 values differ"
    assert f"{outcome['title']}/vocals SSR: " in changed.stdout
    assert mssbench("diff", "one", "one-2", "--tolerance", "0.1").returncode == 0

    listed = done(mssbench("list")).splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        ["one-2", "complete", "2/2"],
        ["one", "complete", "2/2"],
    ]

    # Files that a run needs are kept; unused files are removed.
    assert done(mssbench("gc")) == "0 B in 0 places removed\n"
    orphan = workspace / "data/rendered/0000/Unused"
    orphan.mkdir(parents=True)
    (orphan / "mixture.wav").write_bytes(b"x" * 2048)
    old, new = (workspace / "runs/one/estimates" / name for name in (".tmp-old", ".tmp-new"))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    said = done(mssbench("gc", "--dry-run"))
    assert "2 KiB  data/rendered/0000/Unused  (a rendering that no run refers to)" in said
    assert said.splitlines()[-1].endswith("in 2 places would be removed")
    assert orphan.exists()
    assert done(mssbench("gc", "--estimates")).splitlines()[-1].endswith("in 4 places removed")
    assert not orphan.parent.exists()
    assert not old.exists()
    assert not (workspace / "runs/one/estimates").exists()
    assert len(list((workspace / "data/rendered").glob("*/*/mixture.wav"))) == 1


def test_a_run_is_cancelled_from_another_process_and_resumed(
    mssbench: Command, workspace: Path, config: Path
) -> None:
    # Its jobs are queued, but there is no worker: it cannot end by itself.
    with embedded_server() as server:
        url = f"unix://:hush@{server.url.removeprefix('unix://')}"  # a password that this Redis does not require
        command = ["run", str(config), "--tracks", "2", "--run-id", "mine", "--redis", url]
        running = subprocess.Popen(
            [sys.executable, "-m", "mssbench", *command], stderr=subprocess.PIPE, text=True
        )
        try:
            with connect(url) as connection:
                wait_for(lambda: connection.llen("rq:queue:render") == 2)
                assert done(mssbench("status", "mine")).startswith("mine: running, 0/4 cells ended")
                assert "hush" not in record(workspace, "mine")["command"]
                assert mssbench("resume", "mine", "--inline").returncode == 2
                done(mssbench("cancel", "mine", "--redis", url))
                _, said = running.communicate(timeout=300)
                assert connection.llen("rq:queue:render") == 0
        finally:
            running.kill()
            running.wait()
    assert running.returncode == 130, said
    assert "continue it with: mssbench resume mine --redis unix:///" in said
    assert done(mssbench("status", "mine")).startswith("mine: cancelled, 0/4 cells ended")
    done(mssbench("resume", "mine", "--inline"))
    assert done(mssbench("status", "mine", "--follow")).startswith(
        "mine: complete, 4/4 cells ended, 0 failed"
    )
    assert mssbench("cancel", "mine").returncode == 2
    # Only the failed cells are retried.
    cells = sorted((workspace / "runs/mine/cells").rglob("result.json"))
    cells[0].with_name("error.json").write_text(
        json.dumps({"step": "evaluate", "code": "step-failed", "detail": "a defect"}), encoding="utf-8"
    )
    cells[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in cells[1:]}
    said = done(mssbench("status", "mine"))
    assert ", 1 failed" in said
    assert said.splitlines()[-1].endswith(": evaluate failed (step-failed): a defect")
    retried = mssbench("retry", "mine", "--failed", "--inline")
    done(retried)
    assert "1 cells to retry" in retried.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert mssbench("retry", "mine", "--failed").returncode == 2


@pytest.mark.parametrize("how", [["--inline"], []], ids=["inline", "workers"])
def test_ctrl_c_prints_one_line_with_the_command_that_resumes(
    mssbench: Command, workspace: Path, how: list[str]
) -> None:
    separators = "oracle-irm,oracle-mono,oracle-gain,oracle-swap"
    command = [
        "run",
        "--dataset",
        "music",
        "--separators",
        separators,
        "--no-bsseval",
        "--name",
        "mine",
        *how,
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "mssbench", *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its process group, to which a terminal sends the signal
        # The processes of pytest-xdist ignore the signal, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        first = (workspace / "runs/mine/cells").rglob
        wait_for(lambda: any(first("result.json")) or running.poll() is not None)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=120)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    bars = ("render", "separate", "evaluate", "  oracle-")
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(bars)]
    assert lines[0].startswith("run mine: ")
    resume = shlex.join(["mssbench", "resume", "mine", *how])
    assert lines[1:] == [f"interrupted; continue with: {resume}"]
    assert done(mssbench("status", "mine")).startswith("mine: incomplete, ")
    done(mssbench("resume", "mine", "--inline"))
    assert done(mssbench("status", "mine")).startswith("mine: complete, 16/16 ")


def test_outcomes_truncated_by_a_power_failure_are_repeated(
    mssbench: Command, workspace: Path, config: Path
) -> None:
    done(mssbench("run", str(config), "--inline", "--run-id", "mine"))
    before = (workspace / "runs/mine/results.csv").read_bytes()
    torn, empty = sorted((workspace / "runs/mine/cells").rglob("result.json"))
    torn.write_text(torn.read_text(encoding="utf-8")[:50], encoding="utf-8")
    empty.write_bytes(b"")
    refused = mssbench("report", "mine")
    assert refused.returncode == 2
    assert "mssbench resume mine repeats the cell" in refused.stderr
    done(mssbench("resume", "mine", "--inline"))
    assert (workspace / "runs/mine/results.csv").read_bytes() == before


def test_a_damaged_run_does_not_hide_the_others(mssbench: Command, workspace: Path, config: Path) -> None:
    done(mssbench("run", str(config), "--inline", "--run-id", "good"))
    for name, text in (("half", '{"id": '), ("other", '{"version": 1, "id": "other"}')):
        (workspace / "runs" / name).mkdir()
        (workspace / "runs" / name / "run.json").write_text(text, encoding="utf-8")
    for command in ("list", "status"):
        said = mssbench(command)
        assert said.returncode == 2
        assert "good" in said.stdout
        (line,) = said.stderr.splitlines()
        assert "runs/half/run.json is not a readable JSON file" in line
        assert "runs/other/run.json is not the record of a run: " in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset = 'music'\nseperators = []", "unknown setting 'seperators'; did you mean 'separators'?"),
        ("dataset = ", "cannot be read as TOML"),
        ("dataset = 'music'\ntracks = 'all'", "tracks: "),
        ("dataset = 'music'\nprofile = 'best'", "unknown profile 'best'"),
        ("dataset = 'music'\nexcerpt = '1:9'", "the excerpt ends at 10 s"),
        ("dataset = 'music'\nexcerpt = 'nan'", "expected START:LENGTH"),
        ("dataset = 'music'\nexcerpt = 5", "excerpt: "),
        ("dataset = 'music'\ntitles = ['Ada*', 'Bob']", "no track has the title 'Bob'"),
        ("seed = 1", "no dataset"),
        ("dataset = 'nowhere'", "nowhere"),
        (None, "run.toml"),
    ],
)
def test_a_file_that_cannot_be_used_gives_a_one_line_error(
    mssbench: Command, workspace: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (workspace / "run.toml").write_text(text, encoding="utf-8")
    result = mssbench("run", "run.toml", "--inline")
    assert result.returncode == 2
    assert says in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_the_example_file_has_every_setting_with_its_default() -> None:
    from dataclasses import asdict

    from mssbench.runs.config import RunConfig, read_config

    example = Path(__file__).parent.parent / "docs/run.toml"
    shown = read_config(example)
    expected = asdict(RunConfig(dataset=shown["dataset"]))
    assert shown == {name: value for name, value in expected.items() if name != "tracks"}
    assert "tracks = " in example.read_text(encoding="utf-8")


def test_retry_accepts_a_repaired_track_unless_it_has_scores(
    mssbench: Command, workspace: Path, config: Path
) -> None:
    track = sorted((workspace / "music/test").iterdir())[0]
    sound = {name: (track / name).read_bytes() for name in ("mixture.wav", "drums.wav")}
    for name in sound:
        samples, rate = sf.read(track / name)
        samples[-1] = np.nan
        sf.write(track / name, samples, rate, subtype="FLOAT")
    run = mssbench("run", str(config), "--inline", "--name", "mine", "--conditions", "stereo,binaural")
    assert run.returncode == 1, "every cell has failed"
    assert ", 4 failed" in done(mssbench("status", "mine"))
    table = (workspace / "runs/mine/results.csv").read_text()
    assert f"music/test/{track.name}/" in table
    assert str(workspace) not in table
    before = record(workspace, "mine")["tracks"][0]
    for name, content in sound.items():
        (track / name).write_bytes(content)
    done(mssbench("retry", "mine", "--inline"))
    assert ", 0 failed" in done(mssbench("status", "mine"))
    after = record(workspace, "mine")["tracks"][0]
    assert after["files"] != before["files"]
    assert after["folders"]["binaural"] != before["folders"]["binaural"], (
        "other runs would reuse the old rendering"
    )
    assert {**after, "files": "", "folders": {}} == {**before, "files": "", "folders": {}}

    # The track has a score now: changed files are refused.
    result = sorted((workspace / "runs/mine/cells/stereo").rglob("result.json"))[0]
    result.unlink()
    os.utime(track / "mixture.wav", (2, 2))
    for command in ("resume", "retry"):
        done(mssbench(command, "mine", "--inline"))
        assert "have changed since the run was planned" in done(mssbench("status", "mine"))
    assert record(workspace, "mine")["tracks"][0] == after
