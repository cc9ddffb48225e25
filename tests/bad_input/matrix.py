"""Which input goes through which door: one :class:`Matrix` for each kind of input."""

from __future__ import annotations

import csv
import functools
import json
import os
import secrets
import shutil
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import httpx
import inputs
import soundfile as sf
from doors import Commands, Outcome, Server, answered, check_numbers, wait_until
from inputs import ARCHIVES, BODIES, COMMAND_NAMES, FOLDER, NAMES, OUTSIDE, SOUNDS, TEXTS, music, write_sound
from sofas import SOFAS
from stems import STEM_FILES
from weights import CONTENT, PINNED, TARS, URL, pins

RATE = 8000
SECONDS = 1.2
"""Just more than one frame of the metrics."""

STEMS = ("vocals", "drums", "bass", "other")


@dataclass
class Place:
    """Everything that one cell of a table may use, and a folder with an unused name in each data root."""

    servers: Mapping[str, Server]
    command: Commands
    folder: Path
    """Of the commands."""

    @cached_property
    def name(self) -> str:
        return f"cell-{secrets.token_hex(4)}"

    @contextmanager
    def at(self, service: str) -> Iterator[tuple[Server, Path]]:
        """A service, a folder under its data root, and what the service promises about both."""
        server = self.servers[service]
        folder = server.data / self.name
        folder.mkdir()
        try:
            with server.keeping_its_promises(folder):
                yield server, folder
        finally:
            shutil.rmtree(folder)


Door = Callable[[Place, str], Outcome]


@dataclass(frozen=True)
class Matrix:
    """Every input of `rows` through every one of `doors`."""

    title: str
    introduction: str
    corner: str
    rows: list[str]
    doors: Mapping[str, Door]


# --------------------------------------------------------------------------------------------------- sound files


def _signal() -> inputs.Signal:
    return music(round(SECONDS * RATE))


def _track(folder: Path, sound: str, names: tuple[str, ...] = STEMS) -> Path:
    for name in names:
        write_sound(sound, folder / f"{name}.wav", _signal(), RATE)
    return folder


def _hrirs(folder: Path, sound: str) -> Path:
    """A SADIE II folder with that kind of file at three azimuths."""
    rate, responses = _sphere()
    for azimuth in (0, 90, 270):
        write_sound(sound, folder / f"azi_{azimuth},0_ele_0,0.wav", responses[azimuth], rate)
    return folder


def _upload(place: Place, sound: str) -> Outcome:
    with place.at("oracle") as (server, folder):
        write_sound(sound, folder / "x.wav", _signal(), RATE)
        if os.stat(folder / "x.wav").st_size > 2 << 20:
            content = b"RIFF" + bytes((2 << 20) + 1)
        else:
            content = (folder / "x.wav").read_bytes()
        answer = server.client.post("/separate", files={"mixture": ("x.wav", content)})
        return answered(answer, server.data, server.temporary)


def _post(server: Server, path: str, body: Any) -> httpx.Response:
    # As bytes of our own: half a surrogate pair is valid JSON, and no library would send it.
    return server.client.post(
        path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


def _ask(server: Server, path: str, body: Any) -> Outcome:
    given = server.data.parent / "outside"
    return answered(_post(server, path, body), server.data, server.temporary, given=given)


def _separate(place: Place, sound: str) -> Outcome:
    with place.at("oracle") as (server, folder):
        write_sound(sound, folder / "x.wav", _signal(), RATE)
        outcome = _ask(server, "/separate", {"mixture": f"{place.name}/x.wav", "out": f"{place.name}/out"})
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _render(place: Place, sound: str) -> Outcome:
    with place.at("synth") as (server, folder):
        _track(folder / "in", sound)
        angles = dict(zip(STEMS, (0, 90, 270, 30), strict=True))
        body = {"track": f"{place.name}/in", "out": f"{place.name}/out", "hrir": "sphere", "angles": angles}
        outcome = _ask(server, "/render", body | {"resample_hrir": True})
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _describe(place: Place, sound: str) -> Outcome:
    with place.at("synth") as (server, folder):
        _hrirs(folder, sound)
        return _ask(server, "/describe_hrir", {"hrir": place.name, "curves": True})


def _evaluate(place: Place, reference: str, estimate: str) -> Outcome:
    with place.at("evaluator") as (server, folder):
        _track(folder / "true", reference, ("vocals",))
        _track(folder / "found", estimate, ("vocals",))
        answer = _post(
            server, "/evaluate", {"reference": f"{place.name}/true", "estimate": f"{place.name}/found"}
        )
        outcome = answered(answer, server.data, server.temporary)
        if answer.is_success:
            row = answer.json()["rows"][0]
            if row["status"] == "failed":
                return Outcome(f"{outcome.code}, row failed", row["reason"])
        return outcome


def _start(place: Place, sound: str) -> Outcome:
    with place.at("orchestrator") as (server, folder):
        _track(folder / "test" / "Song", sound, ("mixture", *STEMS))
        return _started(server, {"dataset": place.name, "resample_hrir": True})


def _started(server: Server, body: dict[str, Any]) -> Outcome:
    """As ``POST /runs`` answers; a run that it starts is cancelled and deleted."""
    answer = _post(server, "/runs", {"separators": ["oracle-mixture"]} | body)
    if answer.is_success:
        _forget(server, answer.json()["id"])
    return answered(answer, server.data, server.temporary, given=server.data.parent / "outside")


def _forget(server: Server, run_id: str) -> None:
    assert server.client.post(f"/runs/{run_id}/cancel").is_success
    assert server.client.delete(f"/runs/{run_id}").is_success


def _command_separate(place: Place, sound: str) -> Outcome:
    write_sound(sound, place.folder / "x.wav", _signal(), RATE)
    outcome = place.command(place.folder, "separate", "x.wav", "--separator", "oracle-mixture", "-o", "out")
    assert (place.folder / "out").exists() == (outcome.code == "0")
    return outcome


def _command_synth(place: Place, sound: str) -> Outcome:
    _track(place.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return place.command(place.folder, "synth", "in", "out", "--resample-hrir")


def _command_evaluate(place: Place, sound: str) -> Outcome:
    _track(place.folder / "true/Song", "float32 WAV", ("vocals",))
    _track(place.folder / "found/Song", sound, ("vocals",))
    outcome = place.command(
        place.folder, "evaluate", "true", "found", "--csv", "out.csv", "--frames", "frames"
    )
    if outcome.code == "0":
        check_numbers(place.folder / "out.csv")
        head, row = (line.split(",") for line in (place.folder / "out.csv").read_text().splitlines())
        if "failed" in row:
            return Outcome("0, row failed", row[head.index("reason")])
    return outcome


def _command_check(place: Place, sound: str) -> Outcome:
    _track(place.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return place.command(place.folder, "data", "check", "in")


def _command_run(place: Place, sound: str) -> Outcome:
    """Of two tracks, one is of this kind. The other one's cells are done, whatever becomes of that."""
    _track(place.folder / "in/test/Good", "float32 WAV", ("mixture", *STEMS))
    _track(place.folder / "in/test/Song", sound, ("mixture", *STEMS))
    return _ran(place, "in")


def _ran(place: Place, dataset: str, *options: str) -> Outcome:
    """What a run over the dataset comes to; it is refused before anything is written, or every cell ends.

    Its figures, which take ten times as long as all the rest, are drawn in tests of their own.
    """
    with patch("mssbench.report.build_report"):
        outcome = place.command(
            place.folder,
            *("run", "--dataset", dataset, "--inline", "--separators", "oracle-mixture"),
            *("--resample-hrir", "--no-bsseval", *options),
        )
    if outcome.code != "0":
        assert not (place.folder / "runs").exists()
        return outcome
    (table,) = place.folder.glob("runs/*/results.csv")
    check_numbers(table)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    failed = [row for row in rows if row["status"] == "failed"]
    assert all(row["reason"] for row in failed)
    assert {row["title"] for row in failed} <= {"Song"}
    if not failed:
        return outcome
    return Outcome(f"0, {len(failed)} of {len(rows)} rows failed", failed[0]["reason"])


def _command_hrir(place: Place, sound: str) -> Outcome:
    _hrirs(place.folder / "set", sound)
    return place.command(place.folder, "hrir", "info", "set")


SOUND_FILES = Matrix(
    "Sound files",
    "Every file that a door reads is of this kind: all stems of the track, the mixture too, or every response of "
    "the HRIR set; for `evaluate`, the one stem of the estimates or of the references; for `run`, one track of two. "
    "`200, row failed` and `0, row failed` are tables with a row that says why it has no scores; where a run has "
    "failed rows, the other track's are whole.",
    "Sound file",
    list(SOUNDS),
    {
        "POST /separate, upload": _upload,
        "POST /separate": _separate,
        "POST /render": _render,
        "POST /describe_hrir": _describe,
        "POST /evaluate, estimate": lambda place, sound: _evaluate(place, "float32 WAV", sound),
        "POST /evaluate, reference": lambda place, sound: _evaluate(place, sound, "float32 WAV"),
        "POST /runs": _start,
        "separate": _command_separate,
        "synth": _command_synth,
        "evaluate": _command_evaluate,
        "run": _command_run,
        "data check": _command_check,
        "hrir info": _command_hrir,
    },
)

# ---------------------------------------------------------------------------------------------------- SOFA files


def _sofa(folder: Path, name: str) -> Path:
    path = folder / "set.sofa"
    SOFAS[name](path, *_sphere())
    return path


def _describe_sofa(place: Place, name: str) -> Outcome:
    with place.at("synth") as (server, folder):
        _sofa(folder, name)
        return _ask(server, "/describe_hrir", {"hrir": f"{place.name}/set.sofa", "curves": True})


def _render_with_sofa(place: Place, name: str) -> Outcome:
    with place.at("synth") as (server, folder):
        _sofa(folder, name)
        _stems_in(folder / "stems")
        outcome = _ask(server, "/render", _good("/render", place.name) | {"hrir": f"{place.name}/set.sofa"})
        assert (folder / "out").exists() == outcome.code.startswith("2")
        return outcome


def _start_with_sofa(place: Place, name: str) -> Outcome:
    with place.at("orchestrator") as (server, folder):
        _sofa(folder, name)
        _dataset(folder / "music")
        return _started(server, _good("/runs", place.name) | {"hrir": f"{place.name}/set.sofa"})


def _command_sofa(place: Place, name: str) -> Outcome:
    _sofa(place.folder, name)
    return place.command(place.folder, "hrir", "info", "set.sofa")


def _run_with_sofa(place: Place, name: str) -> Outcome:
    _sofa(place.folder, name)
    _dataset(place.folder / "music")
    return _ran(place, "music", "--hrir", "set.sofa")


SOFA_FILES = Matrix(
    "SOFA files",
    "Sets of HRIRs as several laboratories write them, and what is no set. The track is good.",
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

# ---------------------------------------------------------------------------------------------------- stem files


def _convert(place: Place, name: str) -> Outcome:
    """Where it is converted, the track is one that a run takes."""
    source = place.folder / "in/test"
    source.mkdir(parents=True)
    (source / "Song.stem.mp4").write_bytes(STEM_FILES[name]())
    (source / "secret.mp4").write_bytes(STEM_FILES["five AAC streams"]())
    outcome = place.command(place.folder, "data", "convert", "in", "out")
    if outcome.code == "0":
        assert place.command(place.folder, "data", "check", "out").code == "0"
    else:
        assert not list(place.folder.glob("out/*/*"))
    return outcome


CODED_TRACKS = Matrix(
    "Coded tracks",
    "MUSDB18's `.stem.mp4` files. The folder that comes of a good one passes `data check`.",
    "Stem file",
    list(STEM_FILES),
    {"data convert": _convert},
)

# --------------------------------------------------------------------------------------------------------- names


def _furnish(folder: Path, outside: Path, name: str, put: Callable[[Path], object]) -> None:
    """Put the thing that is named at the name, if it can be there, and links and a named pipe beside it.

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


def _mixture(path: Path) -> None:
    sf.write(path, _signal(), RATE, subtype="FLOAT", format="WAV")


def _stems_in(path: Path) -> None:
    path.mkdir()
    for stem in STEMS:
        sf.write(path / f"{stem}.wav", _signal(), RATE, subtype="FLOAT", format="WAV")


@functools.cache
def _sphere() -> tuple[int, dict[int, inputs.Signal]]:
    """Sample rate, and the responses of the built-in head by whole azimuths, as files have them."""
    from synth_service.sphere import SAMPLE_RATE, impulse_responses

    return SAMPLE_RATE, {
        round(at): ir.T
        for at, ir in zip(*impulse_responses(), strict=True)
        if at in {*range(0, 91, 10), *range(270, 360, 10)}
    }


def _whole_set(path: Path) -> None:
    """A SADIE II folder."""
    path.mkdir()
    rate, responses = _sphere()
    for azimuth, response in responses.items():
        sf.write(path / f"azi_{azimuth},0_ele_0,0.wav", response, rate, subtype="FLOAT")


def _dataset(path: Path) -> None:
    _track(path / "test" / "Song", "float32 WAV", ("mixture", *STEMS))


def _angle_table(path: Path) -> None:
    path.write_text(json.dumps({"test": {"Song": dict(zip(STEMS, (0, 90, 270, 30), strict=True))}}))


def _provide(folder: Path) -> None:
    """What :func:`_good` requests are about."""
    _mixture(folder / "mixture.wav")
    _stems_in(folder / "stems")
    _dataset(folder / "music")


def _good(path: str, own: str) -> dict[str, Any]:
    """A request that is right, over the cell's folder."""
    angles = dict(zip(STEMS, (0, 90, 270, 30), strict=True))
    requests: dict[str, dict[str, Any]] = {
        "/separate": {"mixture": f"{own}/mixture.wav", "out": f"{own}/out"},
        "/render": {
            **{"track": f"{own}/stems", "out": f"{own}/out", "hrir": "sphere", "resample_hrir": True},
            "angles": angles,
        },
        "/describe_hrir": {"hrir": "sphere"},
        "/evaluate": {"reference": f"{own}/stems", "estimate": f"{own}/stems", "bsseval": False},
        "/runs": {"dataset": f"{own}/music", "separators": ["oracle-mixture"], "resample_hrir": True},
    }
    return requests[path]


def _named(service: str, path: str, member: str, put: Callable[[Path], object]) -> Door:
    """POST a request that is right but for one member, which is the name."""

    def door(place: Place, name: str) -> Outcome:
        with place.at(service) as (server, folder):
            outside = server.data.parent / "outside"
            _provide(folder)
            _furnish(folder, outside, name, put)
            before = _contents(outside)
            body = _good(path, place.name) | {member: _value(name, place.name, outside)}
            try:
                outcome = _started(server, body) if path == "/runs" else _ask(server, path, body)
                assert _contents(outside) == before
            finally:
                shutil.rmtree(outside)
            return Outcome(outcome.code, outcome.said.replace(str(outside), "/…"))

    return door


def _nothing(path: Path) -> None:
    """What is to be written is not there yet."""


REFERENCES = Matrix(
    "Names in requests",
    "Where there can be something good at the name, there is, and outside of the data root there is, too. What a "
    "service is asked to write (`out`, `frames`) is new.",
    "Reference",
    list(NAMES),
    {
        "/separate, mixture": _named("oracle", "/separate", "mixture", _mixture),
        "/separate, out": _named("oracle", "/separate", "out", _nothing),
        "/separate, references": _named("oracle", "/separate", "references", _stems_in),
        "/render, track": _named("synth", "/render", "track", _stems_in),
        "/render, out": _named("synth", "/render", "out", _nothing),
        "/describe_hrir, hrir": _named("synth", "/describe_hrir", "hrir", _whole_set),
        "/evaluate, reference": _named("evaluator", "/evaluate", "reference", _stems_in),
        "/evaluate, frames": _named("evaluator", "/evaluate", "frames", _nothing),
        "/runs, dataset": _named("orchestrator", "/runs", "dataset", _dataset),
        "/runs, angles": _named("orchestrator", "/runs", "angles", _angle_table),
    },
)


def _naming(put: Callable[[Path], object], *arguments: str) -> Door:
    """The command with the name for ``NAME``."""

    def door(place: Place, name: str) -> Outcome:
        _mixture(place.folder / "mixture.wav")
        _stems_in(place.folder / "stems")
        _dataset(place.folder / "music")
        _track(place.folder / "found/Song", "float32 WAV")
        outside = place.folder.parent / "outside"
        shutil.rmtree(outside, ignore_errors=True)
        _furnish(place.folder / "here", outside, name, put)
        value = str(_value(name, "here", outside)).replace(
            "\ud83d", "\udcff"
        )  # as Python has bytes that are not UTF-8
        outcome = place.command(place.folder, *(value if each == "NAME" else each for each in arguments))
        return Outcome(outcome.code, outcome.said.replace(str(outside), "/…"))

    return door


def _coded(path: Path) -> None:
    (path / "test").mkdir(parents=True)
    (path / "test/Song.stem.mp4").write_bytes(_stem_file())


@functools.cache
def _stem_file() -> bytes:
    return STEM_FILES["five AAC streams"]()


def _run_named(place: Place, name: str) -> Outcome:
    with patch("mssbench.report.build_report"):
        return _naming(
            _dataset,
            *("run", "--dataset", "NAME", "--inline", "--separators", "oracle-mixture"),
            *("--conditions", "stereo", "--no-bsseval"),
        )(place, name)


def _estimates(path: Path) -> None:
    _track(path / "Song", "float32 WAV", ("vocals",))


COMMAND_PATHS = Matrix(
    "Names on the command line",
    "Whoever types a command may name any file of theirs, wherever it lies. "
    "0 and 2 are exit codes; with 2 there is one line on stderr.",
    "Name",
    COMMAND_NAMES,
    {
        "separate": _naming(_mixture, "separate", "NAME", "--separator", "oracle-mixture", "-o", "out"),
        "separate -o": _naming(
            _nothing, "separate", "mixture.wav", "--separator", "oracle-mixture", "-o", "NAME"
        ),
        "synth": _naming(_dataset, "synth", "NAME", "out", "--resample-hrir"),
        "synth, OUT": _naming(_nothing, "synth", "music", "NAME", "--resample-hrir"),
        "evaluate": _naming(_estimates, "evaluate", "NAME", "found", "--csv", "x.csv", "--no-bsseval"),
        "evaluate --csv": _naming(
            _nothing, "evaluate", "music/test", "found", "--csv", "NAME", "--no-bsseval"
        ),
        "run --dataset": _run_named,
        "data check": _naming(_dataset, "data", "check", "NAME"),
        "data convert": _naming(_coded, "data", "convert", "NAME", "out"),
        "hrir info": _naming(_whole_set, "hrir", "info", "NAME"),
        "synth --angles": _naming(
            _angle_table, "synth", "music", "out", "--angles", "NAME", "--resample-hrir"
        ),
        "status": _naming(_nothing, "status", "NAME"),
        "leaderboard": _naming(lambda path: path.write_text("{}"), "leaderboard", "NAME", "-o", "site"),
    },
)

# -------------------------------------------------------------------------------------------------------- bodies


def _sending(service: str, path: str) -> Door:
    def door(place: Place, name: str) -> Outcome:
        kind, body = BODIES[name]
        with place.at(service) as (server, _):
            headers = {"Content-Type": kind} if kind else {}
            answer = server.client.post(path, content=body, headers=headers)
            assert not answer.is_success
            return answered(answer, server.data, server.temporary)

    return door


REQUEST_BODIES = Matrix(
    "Bodies of requests",
    "The services take 2 MiB here.",
    "Body",
    list(BODIES),
    {
        "POST /separate": _sending("oracle", "/separate"),
        "POST /render": _sending("synth", "/render"),
        "POST /describe_hrir": _sending("synth", "/describe_hrir"),
        "POST /evaluate": _sending("evaluator", "/evaluate"),
        "POST /runs": _sending("orchestrator", "/runs"),
    },
)

# --------------------------------------------------------------------------------------------------------- forms


def _part(name: str, content: bytes, more: str = '; filename="x.wav"', head: str = "") -> bytes:
    return (
        f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n'.encode()
        + content
        + b"\r\n"
    )


_WAV = SOUNDS["float32 WAV"](music(2000), RATE)
_MIXTURE, _END, _FORM = _part("mixture", _WAV), b"--B--\r\n", "multipart/form-data; boundary=B"

FORMS: dict[str, tuple[str, bytes]] = {
    "one file": (_FORM, _MIXTURE + _END),
    "one file under another name": (_FORM, _part("track", _WAV) + _END),
    "nothing": (_FORM, b""),
    "an empty form": (_FORM, _END),
    "a field that is no file": (_FORM, _part("mixture", _WAV, "") + _END),
    "a file and a field": (_FORM, _MIXTURE + _part("separator", b"oracle-mixture", "") + _END),
    "the same file twice": (_FORM, _MIXTURE + _MIXTURE + _END),
    "an unknown file": (_FORM, _MIXTURE + _part("strings", _WAV) + _END),
    "one true stem of four": (_FORM, _MIXTURE + _part("bass", _WAV) + _END),
    "1,000 files": (_FORM, b"".join(_part(f"f{n}", b"x") for n in range(1000)) + _END),
    "a file called ../../x": (_FORM, _part("mixture", _WAV, '; filename="../../x"') + _END),
    "a file with a name of 4 KB": (_FORM, _part("mixture", _WAV, f'; filename="{"x" * 4096}"') + _END),
    "a right-to-left name and emoji": (_FORM, _part("mixture", _WAV, '; filename="שלום🎧‮.wav"') + _END),
    "a name with a null byte": (_FORM, _part("mixture", _WAV, '; filename="a\0b"') + _END),
    "a part that claims another encoding": (
        _FORM,
        _part("mixture", _WAV, head="Content-Transfer-Encoding: base64\r\n") + _END,
    ),
    "no boundary": ("multipart/form-data", _MIXTURE + _END),
    "another boundary": ("multipart/form-data; boundary=C", _MIXTURE + _END),
    "no end": (_FORM, _MIXTURE),
    "cut off in a file": (_FORM, _MIXTURE[:-1000]),
    "cut off in a head": (_FORM, _MIXTURE[:30]),
    "a head of 100 KB": (_FORM, _part("mixture", _WAV, head=f"X: {'x' * 100_000}\r\n") + _END),
    "the bytes without a form": ("audio/wav", _WAV),
}


def _form(place: Place, name: str) -> Outcome:
    kind, body = FORMS[name]
    with place.at("oracle") as (server, _):
        answer = server.client.post("/separate", content=body, headers={"Content-Type": kind})
        return answered(answer, server.data, server.temporary)


UPLOAD_FORMS = Matrix(
    "Forms",
    "Uploads to a separator. The file's own name is never used.",
    "Form",
    list(FORMS),
    {"POST /separate": _form},
)

# --------------------------------------------------------------------------------------------------- connections

_PLACES = 3
"""Of each service: one at work, two waiting."""

CONNECTIONS = {
    "hung up within the head": (0.05, False),
    "hung up within the body": (0.9, False),
    "hung up once it is sent": (1.0, False),
    "sent slowly, never to its end": (0.9, True),
    "idle": (0.0, True),
}
"""How much of the request is sent, and whether the connection then stays open."""


def _patiently(server: Server, path: str, body: bytes, kind: str) -> httpx.Response:
    """The answer once there is a place: what was sent by clients that have gone may be worked on meanwhile."""
    while True:
        answer = server.client.post(path, content=body, headers={"Content-Type": kind})
        if answer.status_code != 503:
            return answer
        time.sleep(0.1)


def _connection(service: str, path: str, upload: bool = False) -> Door:
    """More such clients at once than there are places; meanwhile and afterwards, others are served."""

    def door(place: Place, name: str) -> Outcome:
        share, stays = CONNECTIONS[name]
        with place.at(service) as (server, folder), ExitStack() as open_ones:
            _provide(folder)
            body = _MIXTURE + _END if upload else json.dumps(_good(path, place.name)).encode()
            head = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {_FORM if upload else inputs.JSON}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            sent = int((len(head) + len(body)) * share)
            for _ in range(_PLACES + 1):
                address = (server.client.base_url.host, server.client.base_url.port)
                client = open_ones.enter_context(socket.create_connection(address, timeout=60))
                client.sendall((head + body)[:sent])
                if not stays:
                    client.close()
            if stays:
                assert server.client.get("/health").json()["in_flight"] == 0, (
                    "what is not sent yet takes no place"
                )
            else:
                wait_until(lambda: server.client.get("/health").json()["in_flight"] == 0)
            answer = _patiently(server, path, body, _FORM if upload else inputs.JSON)
            assert answer.is_success, answer.text
            open_ones.close()
            # What the server took up before its client had gone may be there now.
            wait_until(lambda: server.client.get("/health").json()["in_flight"] == 0)
            if path == "/runs":
                for run in server.client.get("/runs").json():
                    _forget(server, run["id"])
            return Outcome("others are served")

    return door


CONNECTIONS_MATRIX = Matrix(
    "Connections",
    "Four clients at once that behave like this, with one that behaves well; a service here works on one request and "
    "lets two wait.",
    "Clients",
    list(CONNECTIONS),
    {
        "POST /separate, upload": _connection("oracle", "/separate", upload=True),
        "POST /separate": _connection("oracle", "/separate"),
        "POST /render": _connection("synth", "/render"),
        "POST /describe_hrir": _connection("synth", "/describe_hrir"),
        "POST /evaluate": _connection("evaluator", "/evaluate"),
        "POST /runs": _connection("orchestrator", "/runs"),
    },
)

# -------------------------------------------------------------------------------------------------- paths of URLs

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


def _path(method: str, path: str) -> Door:
    def door(place: Place, name: str) -> Outcome:
        with place.at("orchestrator") as (server, _):
            answer = server.client.request(method, path.replace("NAME", PATHS[name]))
            assert "<script>alert" not in answer.text or "json" in answer.headers["content-type"]
            assert not answer.is_success
            return answered(answer, server.data, server.temporary)

    return door


URL_PATHS = Matrix(
    "Names in URLs",
    "Of the orchestrator. What is no run is not found, whatever it is.",
    "Name",
    list(PATHS),
    {
        "GET /runs/NAME": _path("GET", "/runs/NAME"),
        "GET …/results": _path("GET", "/runs/NAME/results"),
        "GET …/results.csv": _path("GET", "/runs/NAME/results.csv"),
        "GET …/failures": _path("GET", "/runs/NAME/failures"),
        "GET …/events": _path("GET", "/runs/NAME/events"),
        "GET …/report/index.html": _path("GET", "/runs/NAME/report/index.html"),
        "GET /runs/x/report/NAME": _path("GET", "/runs/x/report/NAME"),
        "POST …/cancel": _path("POST", "/runs/NAME/cancel"),
        "POST …/resume": _path("POST", "/runs/NAME/resume"),
        "POST …/retry": _path("POST", "/runs/NAME/retry"),
        "DELETE /runs/NAME": _path("DELETE", "/runs/NAME"),
        "GET /ui/runs/NAME": _path("GET", "/ui/runs/NAME"),
        "GET /ui/assets/NAME": _path("GET", "/ui/assets/NAME"),
    },
)

# ------------------------------------------------------------------------------------------------------ archives


@contextmanager
def _offering(content: bytes, but: Callable[[str], Mapping[str, bytes]] = lambda url: {}) -> Iterator[str]:
    """The URL of a server that answers everything with `content`, `but` for some paths."""
    others: Mapping[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = others.get(self.path, content)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # so that closing waits for the threads, and no socket is left open
        others = but(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _fetch(place: Place, name: str) -> Outcome:
    with _offering(ARCHIVES[name]()) as url:
        outcome = place.command(
            place.folder, "data", "fetch", "sadie-d1-wav", "out", "--accept-licence", "--url", f"{url}/x.zip"
        )
    assert sorted(path.name for path in place.folder.iterdir()) == [".lock"]
    return Outcome(outcome.code, outcome.said.replace(url, "URL"))


def _answer_of_a_service(place: Place, name: str) -> Outcome:
    _mixture(place.folder / "mixture.wav")
    with _offering(ARCHIVES[name]()) as url:
        outcome = place.command(
            place.folder, "separate", "mixture.wav", "--separator", "x", "--url", url, "-o", "out"
        )
    assert sorted(path.name for path in place.folder.iterdir()) == ["mixture.wav"]
    return Outcome(outcome.code, outcome.said.replace(url, "URL"))


def _serving_weights(name: str) -> AbstractContextManager[str]:
    pinned, content = PINNED[name], CONTENT
    return _offering(content, lambda url: {"/weights": pinned.replace(URL.encode(), url.encode())})


def _weights(action: str) -> Door:
    """The command for a service that is not here, which therefore says itself what its weights are."""

    def door(place: Place, name: str) -> Outcome:
        with _serving_weights(name) as url:
            outcome = _of_service(place, url, "weights", action, "x", "--dest", "weights")
        there = {path.relative_to(place.folder).as_posix() for path in place.folder.rglob("*")}
        assert there <= {"services.toml", "weights", "weights/x", "weights/x/.lock", "weights/x/model.bin"}
        assert ("weights/x/model.bin" in there) == (action == "fetch" and outcome.code == "0")
        return outcome

    return door


def _of_service(place: Place, url: str, *arguments: str) -> Outcome:
    (place.folder / "services.toml").write_text(
        '[tools]\nsynth = { module = "synth_service", url = "http://synth:8000" }\n'
        'evaluator = { module = "evaluator_service", url = "http://evaluator:8000" }\n'
        f'[separators]\nx = {{ module = "no_such_package", url = "{url}" }}\n'
    )
    outcome = place.command(place.folder, *arguments, MSSBENCH_SERVICES=str(place.folder / "services.toml"))
    return Outcome(outcome.code, outcome.said.replace(url, "URL"))


PINS_OF_WEIGHTS = Matrix(
    "Pins of weights",
    "What a separator's service answers to `GET /weights`, for a model whose one file the server has.",
    "Pins",
    list(PINNED),
    {"weights fetch": _weights("fetch"), "weights verify": _weights("verify")},
)


def _fetch_archive_of_weights(place: Place, name: str) -> Outcome:
    def weights(url: str) -> dict[str, bytes]:
        return {"/weights": pins(name="model.tar.gz", url=f'"{url}/m"', more='unpack = "model"\n')}

    with _offering(TARS[name](), weights) as url:
        outcome = _of_service(place, url, "weights", "fetch", "x", "--dest", "weights")
        if outcome.code == "0":
            assert _of_service(place, url, "weights", "verify", "x", "--dest", "weights").code == "0"
    there = {path.relative_to(place.folder).as_posix() for path in place.folder.glob("*/*/*")}
    assert there <= {"weights/x/.lock", "weights/x/model"}
    assert {path.name for path in place.folder.iterdir()} == {"services.toml", "weights"}
    return outcome


ARCHIVES_OF_WEIGHTS = Matrix(
    "Archives of weights",
    "For a model that comes in an archive of which no checksum is pinned.",
    "Archive",
    list(TARS),
    {"weights fetch": _fetch_archive_of_weights},
)

ARCHIVE_FILES = Matrix(
    "Archives",
    "A data set as its server sends it, and the answer of a service that a track was uploaded to.",
    "Archive",
    list(ARCHIVES),
    {"data fetch": _fetch, "separate --url": _answer_of_a_service},
)

# ---------------------------------------------------------------------------------------------------- text files


def _reading(name_of_file: str, *arguments: str) -> Door:
    def door(place: Place, name: str) -> Outcome:
        if "music" in arguments:
            _dataset(place.folder / "music")
        file = place.folder / name_of_file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(TEXTS[name])
        return place.command(place.folder, *arguments)

    return door


def _recorded(name_of_file: str, *arguments: str) -> Door:
    return _reading(f"runs/x/{name_of_file}", *arguments)


TEXT_FILES = Matrix(
    "Text files",
    "Configurations, tables of angles, SOFA files, the records of runs: in each place, a file with this content.",
    "Content",
    list(TEXTS),
    {
        "run CONFIG.toml": _reading("x.toml", "run", "x.toml"),
        "run --angles": _reading(
            "x.json", "run", "--dataset", "music", "--angles", "x.json", "--resample-hrir"
        ),
        "hrir info": _reading("x.sofa", "hrir", "info", "x.sofa"),
        "leaderboard": _reading("x.json", "leaderboard", "x.json", "-o", "site"),
        "status, run.json": _recorded("run.json", "status", "x"),
        "list, run.json": _recorded("run.json", "list"),
        "report, run.json": _recorded("run.json", "report", "x"),
        "resume, run.json": _recorded("run.json", "resume", "x", "--inline"),
        "diff, run.json": _recorded("run.json", "diff", "x", "x"),
    },
)

MATRICES = [
    SOUND_FILES,
    SOFA_FILES,
    CODED_TRACKS,
    REFERENCES,
    COMMAND_PATHS,
    URL_PATHS,
    REQUEST_BODIES,
    UPLOAD_FORMS,
    CONNECTIONS_MATRIX,
    ARCHIVE_FILES,
    PINS_OF_WEIGHTS,
    ARCHIVES_OF_WEIGHTS,
    TEXT_FILES,
]
