"""The cells of the tables: where each one runs, and helpers that make its input and check its outcome."""

from __future__ import annotations

import csv
import functools
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import inputs
import soundfile as sf
from entry_points import Commands, Outcome, Server, answered, check_numbers
from inputs import music, write_sound

RATE = 8000
SECONDS = 1.2
"""Slightly longer than one frame of the metrics."""

STEMS = ("vocals", "drums", "bass", "other")


@dataclass
class Sandbox:
    """The servers, the command and the folders of one cell of a table. Folder names are unique."""

    servers: Mapping[str, Server]
    command: Commands
    folder: Path
    """Working directory of the commands."""

    @cached_property
    def name(self) -> str:
        return f"cell-{secrets.token_hex(4)}"

    @contextmanager
    def at(self, service: str) -> Iterator[tuple[Server, Path]]:
        """Yield a service and a folder under its data root. Check afterwards that the service is clean."""
        server = self.servers[service]
        folder = server.data / self.name
        folder.mkdir()
        try:
            with server.checked(folder):
                yield server, folder
        finally:
            shutil.rmtree(folder)


EntryPoint = Callable[[Sandbox, str], Outcome]


@dataclass(frozen=True)
class Matrix:
    """All inputs of `rows` with all `entry_points`."""

    title: str
    introduction: str
    row_heading: str
    rows: list[str]
    entry_points: Mapping[str, EntryPoint]


def write_mixture(path: Path) -> None:
    sf.write(path, signal(), RATE, subtype="FLOAT", format="WAV")


def write_stems(path: Path) -> None:
    path.mkdir()
    for stem in STEMS:
        sf.write(path / f"{stem}.wav", signal(), RATE, subtype="FLOAT", format="WAV")


@functools.cache
def sphere_responses() -> tuple[int, dict[int, inputs.Signal]]:
    """Sample rate, and responses of shape (taps, 2) of the built-in head by azimuth in whole degrees."""
    from synth_service.sphere import SAMPLE_RATE, impulse_responses

    return SAMPLE_RATE, {
        round(at): ir.T
        for at, ir in zip(*impulse_responses(), strict=True)
        if at in {*range(0, 91, 10), *range(270, 360, 10)}
    }


def write_sadie_folder(path: Path) -> None:
    """Write a SADIE II folder."""
    path.mkdir()
    rate, responses = sphere_responses()
    for azimuth, response in responses.items():
        sf.write(path / f"azi_{azimuth},0_ele_0,0.wav", response, rate, subtype="FLOAT")


def write_dataset(path: Path) -> None:
    write_track(path / "test" / "Song", "float32 WAV", ("mixture", *STEMS))


def write_angle_table(path: Path) -> None:
    path.write_text(json.dumps({"test": {"Song": dict(zip(STEMS, (0, 90, 270, 30), strict=True))}}))


def signal() -> inputs.Signal:
    return music(round(SECONDS * RATE))


def write_track(folder: Path, sound: str, names: tuple[str, ...] = STEMS) -> Path:
    for name in names:
        write_sound(sound, folder / f"{name}.wav", signal(), RATE)
    return folder


def write_hrir_folder(folder: Path, sound: str) -> Path:
    """Write a SADIE II folder with this kind of file at three azimuths."""
    rate, responses = sphere_responses()
    for azimuth in (0, 90, 270):
        write_sound(sound, folder / f"azi_{azimuth},0_ele_0,0.wav", responses[azimuth], rate)
    return folder


def post(server: Server, path: str, body: Any) -> httpx.Response:
    # Encoded here, because HTTP libraries refuse to send half a surrogate pair, which is valid JSON.
    return server.client.post(
        path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


def post_and_check(server: Server, path: str, body: Any) -> Outcome:
    given = server.data.parent / "outside"
    return answered(post(server, path, body), server.data, server.temporary, given=given)


def start_run(server: Server, body: dict[str, Any]) -> Outcome:
    """Send ``POST /runs``. A run that is started is cancelled and deleted."""
    answer = post(server, "/runs", {"separators": ["oracle-mixture"]} | body)
    if answer.is_success:
        cancel_and_delete(server, answer.json()["id"])
    return answered(answer, server.data, server.temporary, given=server.data.parent / "outside")


def cancel_and_delete(server: Server, run_id: str) -> None:
    assert server.client.post(f"/runs/{run_id}/cancel").is_success
    assert server.client.delete(f"/runs/{run_id}").is_success


def run_dataset(sandbox: Sandbox, dataset: str, *options: str) -> Outcome:
    """Run the dataset. It is refused before anything is written, or every cell ends.

    No report is built, because its figures take ten times as long as the rest. Other tests build reports.
    """
    with patch("mssbench.report.build_report"):
        outcome = sandbox.command(
            sandbox.folder,
            *("run", "--dataset", dataset, "--inline", "--separators", "oracle-mixture"),
            *("--resample-hrir", "--no-bsseval", *options),
        )
    if outcome.code != "0":
        assert not (sandbox.folder / "runs").exists()
        return outcome
    (table,) = sandbox.folder.glob("runs/*/results.csv")
    check_numbers(table)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    failed = [row for row in rows if row["status"] == "failed"]
    assert all(row["reason"] for row in failed)
    assert {row["title"] for row in failed} <= {"Song"}
    if not failed:
        return outcome
    return Outcome(f"0, {len(failed)} of {len(rows)} rows failed", failed[0]["reason"])


def write_inputs(folder: Path) -> None:
    """Write the files that the requests of :func:`valid_request` refer to."""
    write_mixture(folder / "mixture.wav")
    write_stems(folder / "stems")
    write_dataset(folder / "music")


def valid_request(path: str, own: str) -> dict[str, Any]:
    """A valid request for files in the folder `own`."""
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


SERVICE_OF = {
    "/separate": "oracle",
    "/render": "synth",
    "/describe_hrir": "synth",
    "/evaluate": "evaluator",
    "/runs": "orchestrator",
}

Put = Callable[[Path, str], object]
"""Writes the input of this name into a folder."""


def request(path: str, put: Put, **changes: object) -> EntryPoint:
    """POST a valid request with these changes; :data:`inputs.FOLDER` in them is the folder that `put` has filled."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        with sandbox.at(SERVICE_OF[path]) as (server, folder):
            put(folder, name)
            body = valid_request(path, sandbox.name) | {
                member: value.replace(inputs.FOLDER, sandbox.name) if isinstance(value, str) else value
                for member, value in changes.items()
            }
            outcome = start_run(server, body) if path == "/runs" else post_and_check(server, path, body)
            assert "out" not in body or (folder / "out").exists() == outcome.code.startswith("2")
            return outcome

    return entry_point


def command(put: Put, *arguments: str) -> EntryPoint:
    """Run the command in a folder that `put` has filled. It writes ``out``, or leaves nothing there."""

    def entry_point(sandbox: Sandbox, name: str) -> Outcome:
        put(sandbox.folder, name)
        outcome = sandbox.command(sandbox.folder, *arguments)
        assert "-o" not in arguments or (sandbox.folder / "out").exists() == (outcome.code == "0")
        return outcome

    return entry_point
