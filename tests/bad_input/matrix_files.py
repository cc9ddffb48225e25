"""Matrices of sound files, SOFA files and coded tracks."""

from __future__ import annotations

import os
from pathlib import Path

from cells import (
    RATE,
    STEMS,
    Matrix,
    Put,
    Sandbox,
    command,
    post,
    request,
    run_dataset,
    signal,
    sphere_responses,
    write_dataset,
    write_hrir_folder,
    write_stems,
    write_track,
)
from entry_points import Outcome, answered, check_numbers
from inputs import FOLDER, SOUNDS, write_sound
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


def _write_sound(folder: Path, sound: str) -> None:
    write_sound(sound, folder / "x.wav", signal(), RATE)


def _write_dataset(folder: Path, sound: str) -> None:
    write_track(folder / "test/Song", sound, ("mixture", *STEMS))


def _in(subfolder: str, put: Put) -> Put:
    return lambda folder, name: put(folder / subfolder, name)


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


def _command_run(sandbox: Sandbox, sound: str) -> Outcome:
    """Run two tracks, of which one has this kind of file. The cells of the other one succeed."""
    write_track(sandbox.folder / "in/test/Good", "float32 WAV", ("mixture", *STEMS))
    write_track(sandbox.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return run_dataset(sandbox, "in")


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
        "POST /separate": request("/separate", _write_sound, mixture=f"{FOLDER}/x.wav"),
        "POST /render": request("/render", _in("in", write_track), track=f"{FOLDER}/in"),
        "POST /describe_hrir": request("/describe_hrir", write_hrir_folder, hrir=FOLDER, curves=True),
        "POST /evaluate, estimate": lambda sandbox, sound: _evaluate(sandbox, "float32 WAV", sound),
        "POST /evaluate, reference": lambda sandbox, sound: _evaluate(sandbox, sound, "float32 WAV"),
        "POST /runs": request("/runs", _write_dataset, dataset=FOLDER),
        "separate": command(_write_sound, "separate", "x.wav", "--separator", "oracle-mixture", "-o", "out"),
        "synth": command(_in("in", _write_dataset), "synth", "in", "out", "--resample-hrir"),
        "evaluate": _command_evaluate,
        "run": _command_run,
        "data check": command(_in("in", _write_dataset), "data", "check", "in"),
        "hrir info": command(_in("set", write_hrir_folder), "hrir", "info", "set"),
    },
)


def _write_sofa(folder: Path, name: str) -> None:
    """Write the set beside a valid track and a valid dataset."""
    SOFAS[name](folder / "set.sofa", *sphere_responses())
    write_stems(folder / "stems")
    write_dataset(folder / "music")


def _run_with_sofa(sandbox: Sandbox, name: str) -> Outcome:
    _write_sofa(sandbox.folder, name)
    return run_dataset(sandbox, "music", "--hrir", "set.sofa")


SOFA_FILES = Matrix(
    "SOFA files",
    "HRIR sets in the conventions of several laboratories, and invalid files. The track is valid.",
    "SOFA file",
    list(SOFAS),
    {
        "POST /describe_hrir": request("/describe_hrir", _write_sofa, hrir=f"{FOLDER}/set.sofa", curves=True),
        "POST /render": request("/render", _write_sofa, hrir=f"{FOLDER}/set.sofa"),
        "POST /runs": request("/runs", _write_sofa, hrir=f"{FOLDER}/set.sofa"),
        "hrir info": command(_write_sofa, "hrir", "info", "set.sofa"),
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
