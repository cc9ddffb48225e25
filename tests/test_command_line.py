"""The manners of the command line: help, suggestions, usage errors, JSON, exit codes."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command import Command
from mssbench.cli import progress
from mssbench.cli.commands import COMMANDS, cli
from mssbench.runs.progress import Progress, Share
from mssbench.runs.status import RunStatus
from rich.console import Console


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        yield " ".join((*path, name)), command


def test_without_arguments_the_help_is_shown(mssbench: Command) -> None:
    for arguments in ((), ("data",), ("weights",)):
        done = mssbench(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Commands:" in done.stdout


def test_the_list_of_commands_agrees_with_the_commands() -> None:
    for name, (module, short_help) in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.callback is not None
        assert command.callback.__module__ == f"mssbench.cli.{module}"
        assert command.get_short_help_str(200) == short_help


SHOW = "lambda: print(sorted({'numpy', 'httpx', 'redis', 'pandas', 'matplotlib'} & {*sys.modules}))"


def imported(code: str) -> str:
    """The last line that `code` prints in a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()[-1]


def test_the_help_imports_no_command() -> None:
    start = "import atexit, sys; from mssbench.cli import main; sys.argv = ['mssbench', '--help']"
    assert imported(f"{start}; atexit.register({SHOW}); main()") == "[]"


def test_ctrl_c_while_the_command_line_is_imported_prints_nothing(tmp_path: Path) -> None:
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "click.py").write_text(interrupt)  # imported in place of the package
    for command in ([sys.executable, "-m", "mssbench"], [str(Path(sys.executable).with_name("mssbench"))]):
        done = subprocess.run(
            [*command, "--help"],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            # The processes of pytest-xdist ignore the signal, and a child inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_status_and_list_import_neither_numpy_nor_redis() -> None:
    assert imported(f"import sys, mssbench.cli.status; ({SHOW})()") == "[]"


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_each_help_has_an_example_and_says_what_options_mean(name: str, command: click.Command) -> None:
    assert f"Example: mssbench {name}" in (command.help or "")
    parent = click.Context(cli, info_name="mssbench", **cli.context_settings)
    shown = command.get_help(click.Context(command, info_name=name, parent=parent))
    assert f"  {(command.help or '').strip().splitlines()[-1].strip()}\n" in shown, "the example is one line"
    shown = " ".join(shown.split())
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            if isinstance(option.default, str | float) and option.default and not option.is_flag:
                assert f"[default: {option.default}" in shown, option.name
            assert not option.required or "[required]" in shown, option.name
    assert '""' not in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lst"], "no command 'lst'; did you mean 'list'?"),
        (["data", "ftch"], "no command 'ftch'; did you mean 'fetch'?"),
        (["run", "--seed", "1", "--seed=2"], "--seed is given 2 times; it takes one value"),
        (["worker", "evalute"], "unknown queue 'evalute'; did you mean 'evaluate'?"),
        (["worker", "render"], "no Redis; expected --redis or MSSBENCH_REDIS_URL"),
        (["serve", "--port", "99999"], "99999 is not in the range 1<=x<=65535"),
        (["status", "my-rum"], "there is no run 'my-rum'"),
        (["data", "check", "musci"], "did you mean 'music'?"),
        (["run", "--dataset", "musci", "--inline"], "did you mean 'music'?"),
        (["run", "--dataset", "music", "--metrics", "papr"], "did you mean 'paper'?"),
        (["evaluate", "music/tset", "music/test", "--json"], "did you mean 'music/test'?"),
        (
            ["evaluate", "music/test", "music/test", "--json", "--device", "gpu"],
            "expected cpu, cuda or cuda:<n>",
        ),
        (["evaluate", "music/test", "music/test", "--json", "--device", "cuda:99"], "device 'cuda:99' "),
        (["run", "--dataset", "music", "--hrir", "sphre", "--inline"], "did you mean 'sphere'?"),
        (["hrir", "info", "sphre"], "did you mean 'sphere'?"),
        (["run", "--dataset", "music", "--targets", "vocls", "--inline"], "did you mean 'vocals'?"),
        (["data", "convert", "musci", "out"], "did you mean 'music'?"),
        (["push", "./musci", "memory://x"], "/music'?"),
        (["leaderboard", "./musci"], "did you mean 'music'?"),
        (["run", "musci/run.toml"], "musci/run.toml does not exist"),
        (["weights", "verify", "splter"], "did you mean 'spleeter'?"),
        (["data", "fetch", "musdb18-hq"], "did you mean 'musdb18hq'?"),
        (["services", "start", "spleter"], "did you mean 'spleeter'?"),
        (["demo", "--model", "spleter:2stems"], "did you mean 'spleeter'?"),
    ],
)
def test_usage_errors_are_one_line_with_a_suggestion(
    mssbench: Command, workspace: Path, arguments: list[str], says: str
) -> None:
    done = mssbench(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_serve_refuses_a_port_that_is_in_use(mssbench: Command, workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = mssbench("serve", "--port", str(port))
    assert done.stderr == (
        f"mssbench: cannot listen on port {port} of 127.0.0.1: {os.strerror(errno.EADDRINUSE)}\n"
    )
    assert done.returncode == 2


def test_long_names_of_separators_leave_room_for_the_numbers_of_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, width=80))
    names = [f"a-model-whose-name-has-many-parts-and-a-version-of-2026-{number}" for number in range(2)]
    shares = [Share(name, "stereo", cells=28, separated=28, ended=28, failed=1) for name in names]
    status = RunStatus("run", "running", "", Progress(56, 56, 56, 2, 0, 0), shares, None, None, [], {})
    with progress.run_bars() as show:
        show(status)
    lines = written.getvalue().splitlines()
    assert [line.split()[-4:] for line in lines if "model" in line] == [
        ["28/28", "0:00:00", "1", "failed"]
    ] * 2


def test_runs_have_names_and_are_listed_with_their_settings(mssbench: Command, workspace: Path) -> None:
    common = ("--dataset", "music", "--conditions", "stereo", "--tracks", "2", "--no-bsseval", "--inline")
    for name, seed in (("first", "0"), ("second", "7")):
        done = mssbench("run", *common, "--separators", "oracle-irm", "--name", name, "--seed", seed)
        assert done.returncode == 0, done.stderr
        assert "left" not in done.stderr.splitlines()[-2], (
            "the bar of finished work does not say what is left"
        )
    listed = json.loads(mssbench("list", "--json").stdout)
    assert [(one["run"], one["seed"], one["conditions"], one["separators"]) for one in listed] == [
        ("second", 7, ["stereo"], ["oracle-irm"]),
        ("first", 0, ["stereo"], ["oracle-irm"]),
    ]
    table = [line.split() for line in mssbench("list").stdout.splitlines()]
    assert [(row[0], *row[-3:]) for row in table] == [
        ("RUN", "SEED", "CONDITIONS", "SEPARATORS"),
        ("second", "7", "stereo", "oracle-irm"),
        ("first", "0", "stereo", "oracle-irm"),
    ]
    assert all(len(line) <= 100 for line in mssbench("list").stdout.splitlines())
    assert json.loads(mssbench("status", "first", "--json").stdout)["progress"]["ended"] == 2
    for command in (["status"], ["report"], ["resume"], ["run", "--like"], ["diff", "second"]):
        assert "did you mean 'first'?" in mssbench(*command, "frst").stderr
    assert "did you mean 'first'?" in mssbench("push", "frst", "memory://x").stderr

    for path in (workspace / "runs/second/cells").rglob("result.json"):
        outcome = json.loads(path.read_text(encoding="utf-8"))
        for row in outcome["rows"]:
            row["SSR"] += 0.5
        path.write_text(json.dumps(outcome), encoding="utf-8")
    changed = mssbench("diff", "first", "second")
    assert (changed.returncode, changed.stdout.splitlines()) == (
        1,
        ["stereo/oracle-irm SSR: +0.5 [0.5, 0.5], 8 values differ", "8 values differ"],
    )
    (paired,) = json.loads(mssbench("diff", "first", "second", "--json").stdout)["paired"]
    assert (paired["column"], paired["difference"], paired["tracks"]) == ("SSR", pytest.approx(0.5), 2)


def test_evaluate_ends_with_its_table(mssbench: Command, workspace: Path) -> None:
    folder = str(workspace / "music/test")
    done = mssbench("evaluate", folder, folder, "--csv", "scores.csv", "--no-bsseval")
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["median", "in_place", "SSR"]
    assert lines[1].split()[:2] == ["vocals", "100.00"]
    shown = mssbench("evaluate", folder, folder, "--csv", "-", "--no-bsseval").stdout
    assert shown.splitlines() == Path("scores.csv").read_text(encoding="utf-8").splitlines()


def test_outputs_are_checked_before_the_work(
    mssbench: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "file").write_text("not a folder")
    folder = str(workspace / "music/test")
    monkeypatch.setattr("mssbench.cli.folders.score", lambda *_, **__: pytest.fail("scored first"))
    for option in ("--csv", "--frames", "--museval-json"):
        others = [] if option == "--csv" else ["--csv", "x.csv"]
        done = mssbench("evaluate", folder, folder, *others, option, "file/x")
        assert done.returncode == 2
        assert "file/x cannot be written" in done.stderr
    assert "cannot be written" in mssbench("leaderboard", "x", "-o", "file/site").stderr
    monkeypatch.setattr("mssbench.cli.folders.synthesise", lambda *_, **__: pytest.fail("rendered first"))
    assert "cannot be written" in mssbench("synth", "music", "file/out").stderr
    monkeypatch.setattr(
        "mssbench.cli.separate.separate_registered", lambda *_, **__: pytest.fail("separated first")
    )
    track = next(Path("music/test").glob("*/mixture.wav"))
    separate = ("separate", str(track), "--separator", "oracle-mixture")
    assert "cannot be written" in mssbench(*separate, "-o", "file/out").stderr
    late = mssbench(*separate, str(track.with_name("mixtur.wav")))
    assert late.stderr.rstrip().endswith("mixture.wav'?")


def test_commands_and_options_are_completed_as_the_documentation_says(
    mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs/operations.md").read_text(encoding="utf-8")
    assert 'eval "$(_MSSBENCH_COMPLETE=bash_source mssbench)"' in page
    monkeypatch.setenv("_MSSBENCH_COMPLETE", "bash_source")
    assert "complete -o nosort -F _mssbench_completion mssbench" in mssbench().stdout
    monkeypatch.setenv("_MSSBENCH_COMPLETE", "bash_complete")
    for words, completed in (("mssbench resc", "rescore"), ("mssbench run --metr", "--metrics")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert mssbench().stdout == f"plain,{completed}\n"


def test_evaluate_writes_json(mssbench: Command, workspace: Path) -> None:
    folder = str(workspace / "music/test")
    rows = json.loads(mssbench("evaluate", folder, folder, "--json", "--no-bsseval").stdout)
    assert {row["source"] for row in rows} == {"vocals", "drums", "bass", "other"}
    assert all(row["in_place"] == 100.0 for row in rows if row["status"] == "ok")


def test_the_mixtures_of_a_dataset_are_separated_as_evaluate_reads_them(
    mssbench: Command, workspace: Path
) -> None:
    tracks = sorted((workspace / "music/test").glob("*/mixture.wav"))
    done = mssbench("separate", *map(str, tracks), "--separator", "oracle-mixture")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in Path("separated/oracle-mixture").iterdir()} == {
        path.parent.name for path in tracks
    }
    scored = mssbench("evaluate", "music/test", "separated/oracle-mixture", "--json", "--no-bsseval")
    assert len(json.loads(scored.stdout)) == 4 * len(tracks)
    assert scored.returncode == 0


def test_several_tracks_are_separated(mssbench: Command, workspace: Path) -> None:
    tracks = [str(path) for path in sorted((workspace / "music/test").glob("*/vocals.wav"))]
    same = mssbench("separate", *tracks, "--separator", "oracle-mixture")
    assert "two tracks have the same name" in same.stderr
    named = [
        str(Path(path).rename(Path(path).with_name(f"song{number}.wav")))
        for number, path in enumerate(tracks)
    ]
    done = mssbench("separate", *named, "--separator", "oracle-mixture")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4 * len(tracks)
    assert Path("separated/oracle-mixture/song1/drums.wav").is_file()
    refused = mssbench("separate", *named, "--separator", "oracle-mixture", "-o", "out")
    assert "--out and --references are for one track" in refused.stderr
