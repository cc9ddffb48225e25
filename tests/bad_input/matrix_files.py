"""Matrices of sound files, SOFA files and coded tracks."""

from __future__ import annotations

import os
from pathlib import Path

from cells import (
    RATE,
    STEMS,
    Matrix,
    Sandbox,
    post,
    post_and_check,
    run_dataset,
    signal,
    sphere_responses,
    start_run,
    valid_request,
    write_dataset,
    write_hrir_folder,
    write_stems,
    write_track,
)
from entry_points import Outcome, answered, check_numbers
from inputs import SOUNDS, write_sound
from sofas import SOFAS
from stems import STEM_FILES


def _upload(sandbox: Sandbox, sound: str) -> Outcome:
    with sandbox.at("oracle") as (server, folder):
        write_sound(sound, folder / "x.wav", signal(), RATE)
        if os.stat(folder / "x.wav").st_size > 2 << 20:
            content = b"RIFF" + bytes((2 << 20) + 1)
        else:
            content = (folder / "x.wav").read_bytes()
        answer = server.client.post("/separate", files={"mixture": ("x.wav", content)})
        return answered(answer, server.data, server.temporary)


def _separate(sandbox: Sandbox, sound: str) -> Outcome:
    with sandbox.at("oracle") as (server, folder):
        write_sound(sound, folder / "x.wav", signal(), RATE)
        outcome = post_and_check(
            server, "/separate", {"mixture": f"{sandbox.name}/x.wav", "out": f"{sandbox.name}/out"}
        )
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _render(sandbox: Sandbox, sound: str) -> Outcome:
    with sandbox.at("synth") as (server, folder):
        write_track(folder / "in", sound)
        angles = dict(zip(STEMS, (0, 90, 270, 30), strict=True))
        body = {
            "track": f"{sandbox.name}/in",
            "out": f"{sandbox.name}/out",
            "hrir": "sphere",
            "angles": angles,
        }
        outcome = post_and_check(server, "/render", body | {"resample_hrir": True})
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _describe(sandbox: Sandbox, sound: str) -> Outcome:
    with sandbox.at("synth") as (server, folder):
        write_hrir_folder(folder, sound)
        return post_and_check(server, "/describe_hrir", {"hrir": sandbox.name, "curves": True})


def _evaluate(sandbox: Sandbox, reference: str, estimate: str) -> Outcome:
    with sandbox.at("evaluator") as (server, folder):
        write_track(folder / "true", reference, ("vocals",))
        write_track(folder / "found", estimate, ("vocals",))
        answer = post(
            server, "/evaluate", {"reference": f"{sandbox.name}/true", "estimate": f"{sandbox.name}/found"}
        )
        outcome = answered(answer, server.data, server.temporary)
        if answer.is_success:
            row = answer.json()["rows"][0]
            if row["status"] == "failed":
                return Outcome(f"{outcome.code}, row failed", row["reason"])
        return outcome


def _start(sandbox: Sandbox, sound: str) -> Outcome:
    with sandbox.at("orchestrator") as (server, folder):
        write_track(folder / "test" / "Song", sound, ("mixture", *STEMS))
        return start_run(server, {"dataset": sandbox.name, "resample_hrir": True})


def _command_separate(sandbox: Sandbox, sound: str) -> Outcome:
    write_sound(sound, sandbox.folder / "x.wav", signal(), RATE)
    outcome = sandbox.command(
        sandbox.folder, "separate", "x.wav", "--separator", "oracle-mixture", "-o", "out"
    )
    assert (sandbox.folder / "out").exists() == (outcome.code == "0")
    return outcome


def _command_synth(sandbox: Sandbox, sound: str) -> Outcome:
    write_track(sandbox.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return sandbox.command(sandbox.folder, "synth", "in", "out", "--resample-hrir")


def _command_evaluate(sandbox: Sandbox, sound: str) -> Outcome:
    write_track(sandbox.folder / "true/Song", "float32 WAV", ("vocals",))
    write_track(sandbox.folder / "found/Song", sound, ("vocals",))
    outcome = sandbox.command(
        sandbox.folder, "evaluate", "true", "found", "--csv", "out.csv", "--frames", "frames"
    )
    if outcome.code == "0":
        check_numbers(sandbox.folder / "out.csv")
        head, row = (line.split(",") for line in (sandbox.folder / "out.csv").read_text().splitlines())
        if "failed" in row:
            return Outcome("0, row failed", row[head.index("reason")])
    return outcome


def _command_check(sandbox: Sandbox, sound: str) -> Outcome:
    write_track(sandbox.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return sandbox.command(sandbox.folder, "data", "check", "in")


def _command_run(sandbox: Sandbox, sound: str) -> Outcome:
    """Run two tracks, of which one has this kind of file. The cells of the other one succeed."""
    write_track(sandbox.folder / "in/test/Good", "float32 WAV", ("mixture", *STEMS))
    write_track(sandbox.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return run_dataset(sandbox, "in")


def _command_hrir(sandbox: Sandbox, sound: str) -> Outcome:
    write_hrir_folder(sandbox.folder / "set", sound)
    return sandbox.command(sandbox.folder, "hrir", "info", "set")


SOUND_FILES = Matrix(
    "Sound files",
    "Every file that an entry point reads is of this kind: all stems and the mixture of the track, or every response "
    "of the HRIR set. For `evaluate` it is one stem of the estimates or of the references, for `run` one track of two. "
    "`200, row failed` and `0, row failed` are tables with a row that says why it has no scores; where a run has "
    "failed rows, the other track's are whole.",
    "Sound file",
    list(SOUNDS),
    {
        "POST /separate, upload": _upload,
        "POST /separate": _separate,
        "POST /render": _render,
        "POST /describe_hrir": _describe,
        "POST /evaluate, estimate": lambda sandbox, sound: _evaluate(sandbox, "float32 WAV", sound),
        "POST /evaluate, reference": lambda sandbox, sound: _evaluate(sandbox, sound, "float32 WAV"),
        "POST /runs": _start,
        "separate": _command_separate,
        "synth": _command_synth,
        "evaluate": _command_evaluate,
        "run": _command_run,
        "data check": _command_check,
        "hrir info": _command_hrir,
    },
)


def _sofa(folder: Path, name: str) -> Path:
    path = folder / "set.sofa"
    SOFAS[name](path, *sphere_responses())
    return path


def _describe_sofa(sandbox: Sandbox, name: str) -> Outcome:
    with sandbox.at("synth") as (server, folder):
        _sofa(folder, name)
        return post_and_check(server, "/describe_hrir", {"hrir": f"{sandbox.name}/set.sofa", "curves": True})


def _render_with_sofa(sandbox: Sandbox, name: str) -> Outcome:
    with sandbox.at("synth") as (server, folder):
        _sofa(folder, name)
        write_stems(folder / "stems")
        outcome = post_and_check(
            server, "/render", valid_request("/render", sandbox.name) | {"hrir": f"{sandbox.name}/set.sofa"}
        )
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _start_with_sofa(sandbox: Sandbox, name: str) -> Outcome:
    with sandbox.at("orchestrator") as (server, folder):
        _sofa(folder, name)
        write_dataset(folder / "music")
        return start_run(server, valid_request("/runs", sandbox.name) | {"hrir": f"{sandbox.name}/set.sofa"})


def _command_sofa(sandbox: Sandbox, name: str) -> Outcome:
    _sofa(sandbox.folder, name)
    return sandbox.command(sandbox.folder, "hrir", "info", "set.sofa")


def _run_with_sofa(sandbox: Sandbox, name: str) -> Outcome:
    _sofa(sandbox.folder, name)
    write_dataset(sandbox.folder / "music")
    return run_dataset(sandbox, "music", "--hrir", "set.sofa")


SOFA_FILES = Matrix(
    "SOFA files",
    "HRIR sets in the conventions of several laboratories, and invalid files. The track is valid.",
    "SOFA file",
    list(SOFAS),
    {
        "POST /describe_hrir": _describe_sofa,
        "POST /render": _render_with_sofa,
        "POST /runs": _start_with_sofa,
        "hrir info": _command_sofa,
        "run --hrir": _run_with_sofa,
    },
)


def _convert(sandbox: Sandbox, name: str) -> Outcome:
    """Convert the track. A converted track passes ``data check``."""
    source = sandbox.folder / "in/test"
    source.mkdir(parents=True)
    (source / "Song.stem.mp4").write_bytes(STEM_FILES[name]())
    (source / "secret.mp4").write_bytes(STEM_FILES["five AAC streams"]())
    outcome = sandbox.command(sandbox.folder, "data", "convert", "in", "out")
    if outcome.code == "0":
        assert sandbox.command(sandbox.folder, "data", "check", "out").code == "0"
    else:
        assert not list(sandbox.folder.glob("out/*/*"))
    return outcome


CODED_TRACKS = Matrix(
    "Coded tracks",
    "MUSDB18's `.stem.mp4` files. The converted folder of a valid file passes `data check`.",
    "Stem file",
    list(STEM_FILES),
    {"data convert": _convert},
)
