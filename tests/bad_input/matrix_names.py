"""Matrices of names: references in requests, paths on the command line, parts of URLs."""

from __future__ import annotations

import functools
import os
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from cells import (
    SERVICE_OF,
    EntryPoint,
    Matrix,
    Sandbox,
    post_and_check,
    start_run,
    valid_request,
    write_angle_table,
    write_dataset,
    write_inputs,
    write_mixture,
    write_sadie_folder,
    write_stems,
    write_track,
)
from entry_points import Outcome, answered
from inputs import COMMAND_NAMES, FOLDER, NAMES, OUTSIDE
from stems import STEM_FILES


def _create_names(folder: Path, outside: Path, name: str, put: Callable[[Path], object]) -> None:
    """Create the input at the name, where that is possible, with links and a named pipe beside it.

    The same thing lies in the folder `outside`, where some names lead.
    """
    folder.mkdir(exist_ok=True)
    good = name in ("a right-to-left name", "emoji", "quotes, spaces, percent", "a line feed")
    put(folder / str(NAMES[name]).removeprefix(FOLDER + "/") if good else folder / "good")
    (folder / "link-inside").symlink_to("good")
    outside.mkdir()
    put(outside / "good")
    (folder / "link-out").symlink_to(outside / "good")
    (folder / "link-loop").symlink_to("link-loop")
    (folder / "link-dangling").symlink_to("nothing-there")
    os.mkfifo(folder / "pipe")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def _value(name: str, folder: str, outside: Path) -> object:
    value = NAMES[name]
    return value.replace(FOLDER, folder).replace(OUTSIDE, str(outside)) if isinstance(value, str) else value


def _request_with_name(path: str, member: str, put: Callable[[Path], object]) -> EntryPoint:
    """POST a request that is valid except for one member, which is the name."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        with sandbox.at(SERVICE_OF[path]) as (server, folder):
            outside = server.data.parent / "outside"
            write_inputs(folder)
            _create_names(folder, outside, name, put)
            before = _contents(outside)
            body = valid_request(path, sandbox.name) | {member: _value(name, sandbox.name, outside)}
            try:
                outcome = start_run(server, body) if path == "/runs" else post_and_check(server, path, body)
                assert _contents(outside) == before
            finally:
                shutil.rmtree(outside)
            return Outcome(outcome.code, outcome.message.replace(str(outside), "/…"))

    return entry_point


def _create_nothing(path: Path) -> None:
    """Create nothing: the entry point writes to this name."""


REFERENCES = Matrix(
    "Names in requests",
    "A valid file exists at the name where that is possible, and outside of the data root too. The paths that a "
    "service writes (`out`, `frames`) do not exist before.",
    "Reference",
    list(NAMES),
    {
        "/separate, mixture": _request_with_name("/separate", "mixture", write_mixture),
        "/separate, out": _request_with_name("/separate", "out", _create_nothing),
        "/separate, references": _request_with_name("/separate", "references", write_stems),
        "/render, track": _request_with_name("/render", "track", write_stems),
        "/render, out": _request_with_name("/render", "out", _create_nothing),
        "/describe_hrir, hrir": _request_with_name("/describe_hrir", "hrir", write_sadie_folder),
        "/evaluate, reference": _request_with_name("/evaluate", "reference", write_stems),
        "/evaluate, frames": _request_with_name("/evaluate", "frames", _create_nothing),
        "/runs, dataset": _request_with_name("/runs", "dataset", write_dataset),
        "/runs, angles": _request_with_name("/runs", "angles", write_angle_table),
    },
)


def _command_with_name(put: Callable[[Path], object], *arguments: str) -> EntryPoint:
    """Run the command with the name in place of ``NAME``."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        write_mixture(sandbox.folder / "mixture.wav")
        write_stems(sandbox.folder / "stems")
        write_dataset(sandbox.folder / "music")
        write_track(sandbox.folder / "found/Song", "float32 WAV")
        outside = sandbox.folder.parent / "outside"
        shutil.rmtree(outside, ignore_errors=True)
        _create_names(sandbox.folder / "here", outside, name, put)
        value = str(_value(name, "here", outside)).replace(
            "\ud83d", "\udcff"
        )  # how Python represents bytes that are not UTF-8
        outcome = sandbox.command(sandbox.folder, *(value if each == "NAME" else each for each in arguments))
        return Outcome(outcome.code, outcome.message.replace(str(outside), "/…"))

    return entry_point


def _write_coded_track(path: Path) -> None:
    (path / "test").mkdir(parents=True)
    (path / "test/Song.stem.mp4").write_bytes(_coded_track())


@functools.cache
def _coded_track() -> bytes:
    return STEM_FILES["five AAC streams"]()


def _run_named(sandbox: Sandbox, name: str) -> Outcome:
    with patch("mssbench.report.build_report"):
        return _command_with_name(
            write_dataset,
            *("run", "--dataset", "NAME", "--inline", "--separators", "oracle-mixture"),
            *("--conditions", "stereo", "--no-bsseval"),
        )(sandbox, name)


def _estimates(path: Path) -> None:
    write_track(path / "Song", "float32 WAV", ("vocals",))


COMMAND_PATHS = Matrix(
    "Names on the command line",
    "A command may name any file of the user, also outside of the data root. "
    "0 and 2 are exit codes; with 2 there is one line on stderr.",
    "Name",
    COMMAND_NAMES,
    {
        "separate": _command_with_name(
            write_mixture, "separate", "NAME", "--separator", "oracle-mixture", "-o", "out"
        ),
        "separate -o": _command_with_name(
            _create_nothing, "separate", "mixture.wav", "--separator", "oracle-mixture", "-o", "NAME"
        ),
        "synth": _command_with_name(write_dataset, "synth", "NAME", "out", "--resample-hrir"),
        "synth, OUT": _command_with_name(_create_nothing, "synth", "music", "NAME", "--resample-hrir"),
        "evaluate": _command_with_name(
            _estimates, "evaluate", "NAME", "found", "--csv", "x.csv", "--no-bsseval"
        ),
        "evaluate --csv": _command_with_name(
            _create_nothing, "evaluate", "music/test", "found", "--csv", "NAME", "--no-bsseval"
        ),
        "run --dataset": _run_named,
        "data check": _command_with_name(write_dataset, "data", "check", "NAME"),
        "data convert": _command_with_name(_write_coded_track, "data", "convert", "NAME", "out"),
        "hrir info": _command_with_name(write_sadie_folder, "hrir", "info", "NAME"),
        "synth --angles": _command_with_name(
            write_angle_table, "synth", "music", "out", "--angles", "NAME", "--resample-hrir"
        ),
        "status": _command_with_name(_create_nothing, "status", "NAME"),
        "leaderboard": _command_with_name(
            lambda path: path.write_text("{}"), "leaderboard", "NAME", "-o", "site"
        ),
    },
)


PATHS = {
    "unknown": "no-such-run",
    ".. encoded": "..%2f..%2foutside",
    ".. twice encoded": "..%252f..%252foutside",
    "an absolute path": "%2fno-such-folder%2fx",
    "a backslash": "..%5c..%5cx",
    "a null byte": "a%00b",
    "a line feed": "a%0ab",
    "not UTF-8": "%ff%fe",
    "a name of 4 KB": "x" * 4096,
    "right-to-left and emoji": urllib.parse.quote("שלום🎧"),
    "a script": urllib.parse.quote("<script>alert(1)</script>"),
    "a template": urllib.parse.quote("{{7*7}}"),
    "a dot": "%2e",
    "temporary": ".tmp-x",
}


def _request_path(method: str, path: str) -> EntryPoint:
    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        with sandbox.at("orchestrator") as (server, _):
            answer = server.client.request(method, path.replace("NAME", PATHS[name]))
            assert "<script>alert" not in answer.text or "json" in answer.headers["content-type"]
            assert not answer.is_success
            return answered(answer, server.data, server.temporary)

    return entry_point


_URLS = [
    "GET /runs/NAME",
    "GET …/results",
    "GET …/results.csv",
    "GET …/failures",
    "GET …/events",
    "GET …/report/index.html",
    "GET /runs/x/report/NAME",
    "POST …/cancel",
    "POST …/resume",
    "POST …/retry",
    "DELETE /runs/NAME",
    "GET /ui/runs/NAME",
    "GET /ui/assets/NAME",
]

URL_PATHS = Matrix(
    "Names in URLs",
    "URLs of the orchestrator. A name that is not a run is not found.",
    "Name",
    list(PATHS),
    {label: _request_path(*label.replace("…", "/runs/NAME").split()) for label in _URLS},
)
