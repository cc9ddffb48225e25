"""The steps, in-process and over HTTP: the same results, the same errors, no paths of this machine."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile as sf
import uvicorn
from mssbench_service.app import Settings
from mssbench_service.errors import BadInput, BenchError, NotFound, TooLarge, from_problem
from mssbench_service.files import DataRoot
from mssbench_service.musdb import check_track
from mssbench_service.wire import HrirInfo, HrirRequest, RenderRequest, RenderResult, parse
from synth_service import steps
from synth_service.app import create
from synth_service.hrir import SPHERE, HrirSet, load_hrir

from .conftest import ANGLES, Write, head, leftovers


def request(**changes: Any) -> dict[str, Any]:
    return {
        "track": "musdb/Artist - Title",
        "out": "rendered/x",
        "hrir": SPHERE,
        "angles": ANGLES,
    } | changes


# In-process


def test_render_resolves_references_under_the_data_root(
    write_track: Write, write_sofa: Write, tmp_path: Path
) -> None:
    write_track()
    write_sofa("sets.sofa")
    result = steps.render(DataRoot(tmp_path), RenderRequest(**request(hrir="sets.sofa")))
    assert result.hrir == "sets.sofa"
    assert check_track(tmp_path / "rendered" / "x").samples == result.samples == 3000 + 64 - 1


def test_render_replaces_an_existing_rendering(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    steps.render(DataRoot(tmp_path), RenderRequest(**request()))
    before = (tmp_path / "rendered" / "x" / "bass.wav").read_bytes()
    sf.write(str(track / "bass.wav"), np.zeros((3000, 2)), 44100)
    steps.render(DataRoot(tmp_path), RenderRequest(**request()))
    assert (tmp_path / "rendered" / "x" / "bass.wav").read_bytes() != before


def test_describe_hrir_describes_the_given_set(write_sadie: Write, tmp_path: Path) -> None:
    write_sadie("sets/D1")
    info = steps.describe_hrir(DataRoot(tmp_path), HrirRequest("sets/D1"))
    assert (info.name, info.taps) == ("D1", 64)
    assert steps.describe_hrir(DataRoot(tmp_path), HrirRequest("sphere")).name == "sphere"


def test_a_set_is_loaded_once_and_again_when_it_changes(
    write_sadie: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_sadie("sets/D1")
    loads = []

    def counted(path: Path, rate: int, **options: bool) -> HrirSet:
        loads.append(path)
        return load_hrir(path, rate, **options)

    monkeypatch.setattr(steps, "load_hrir", counted)
    root = DataRoot(tmp_path)
    first = steps.describe_hrir(root, HrirRequest("sets/D1"))
    assert steps.describe_hrir(root, HrirRequest("sets/D1")) == first
    assert len(loads) == 1
    changed = folder / "azi_0,0_ele_0,0.wav"
    sf.write(str(changed), 0.5 * head([0])[0].T, 44100, subtype="FLOAT")
    os.utime(changed, ns=(1, 1))
    assert steps.describe_hrir(root, HrirRequest("sets/D1")).sha256 != first.sha256
    assert len(loads) == 2


def test_the_set_at_the_rate_of_the_track_is_chosen_from_a_subjects_folder(
    write_track: Write, write_sadie: Write, tmp_path: Path
) -> None:
    write_track(rate=48000)
    for rate in (44100, 48000):
        write_sadie(f"sets/D1/D1_HRIR_WAV/{rate}", rate=rate)
    result = steps.render(DataRoot(tmp_path), RenderRequest(**request(hrir="sets/D1")))
    assert (result.hrir, result.sample_rate, result.hrir_resampled_from) == (
        "D1/D1_HRIR_WAV/48000",
        48000,
        None,
    )


# Over HTTP


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A running service whose data root is `tmp_path`."""
    app = create(Settings(data_root=DataRoot(tmp_path), max_seconds=60.0))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="warning", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_until_ready(address)
            yield address
        finally:
            server.should_exit = True
            thread.join(timeout=20)


def _wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.02)
    raise AssertionError("the service did not become ready")


def post(url: str, path: str, body: object) -> requests.Response:
    return requests.post(url + path, json=body, timeout=30)


def problem(answer: requests.Response, tmp_path: Path) -> BenchError:
    """The error that an answer stands for; nothing in it may show where the data root is."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(tmp_path) not in answer.text
    assert leftovers(tmp_path) == []
    return from_problem(answer.json())


def test_render_over_http_is_render_in_process(url: str, write_track: Write, tmp_path: Path) -> None:
    write_track()
    for profile in ("matched", "paper"):
        answer = post(url, "/render", request(profile=profile))
        assert answer.status_code == 200
        body = request(profile=profile, out="in-process")
        assert parse(RenderResult, answer.json()) == steps.render(DataRoot(tmp_path), RenderRequest(**body))
        for path in (tmp_path / "in-process").iterdir():
            assert path.read_bytes() == (tmp_path / "rendered" / "x" / path.name).read_bytes()


def test_hrir_over_http_is_describe_hrir_in_process(url: str, write_sofa: Write, tmp_path: Path) -> None:
    write_sofa("own.sofa")
    for reference in ("sphere", "own.sofa"):
        answer = post(url, "/describe_hrir", {"hrir": reference})
        in_process = steps.describe_hrir(DataRoot(tmp_path), HrirRequest(reference))
        assert parse(HrirInfo, answer.json()) == in_process


def test_info_names_the_builtin_set(url: str) -> None:
    info = requests.get(f"{url}/info", timeout=10).json()
    assert info["service"] == "synth"
    assert info["builtin_hrir"] == asdict(steps.describe_hrir(DataRoot(Path()), HrirRequest(SPHERE)))
    assert info["profiles"] == ["matched", "paper"]


@pytest.mark.parametrize("title", ["Don't & [Stop]", "Où va l'été - 東京"])
def test_titles_with_any_letters_are_supported(url: str, write_track: Write, title: str) -> None:
    write_track(title)
    answer = post(url, "/render", request(track=f"musdb/{title}", out=f"rendered/{title}"))
    assert answer.json()["title"] == title


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"track": "musdb/Nobody"}, NotFound, "'musdb/Nobody' does not exist"),
        ({"hrir": "nowhere.sofa"}, NotFound, "'nowhere.sofa' does not exist"),
        ({"hrir": "musdb"}, BadInput, "musdb holds no HRIRs at elevation 0°"),
        ({"hrir": "text.sofa"}, BadInput, "text.sofa cannot be read as a SOFA file"),
        ({"track": "/etc"}, BadInput, "'/etc' leads outside the data root"),
        ({"out": "../elsewhere"}, BadInput, "leads outside the data root"),
        ({"out": "."}, BadInput, "holds the track musdb/Artist - Title itself"),
        ({"out": "precious"}, BadInput, "precious holds something that is not a rendering"),
        ({"out": "text.sofa/out"}, BadInput, "cannot create the folder text.sofa"),
        ({"profile": "loud"}, BadInput, "unknown profile 'loud'"),
        ({"angles": {"vocals": 0}}, BadInput, "expected exactly vocals, drums, bass, other"),
        ({"angles": ANGLES | {"bass": "left"}}, BadInput, "angles.bass"),
        ({"angles": ANGLES | {"bass": float("nan")}}, BadInput, "the angle of bass is nan"),
        ({"angles": ANGLES | {"bass": 7}}, BadInput, "no HRIR at azimuth 7°; the nearest is at 5°"),
        ({"track": "musdb/Broken"}, BadInput, "musdb/Broken/bass.wav cannot be read as audio"),
        ({"track": "musdb/Long"}, TooLarge, "musdb/Long lasts 61 s; at most 60 s are accepted"),
    ],
)
def test_bad_requests_are_answered_with_one_line(
    url: str,
    write_track: Write,
    tmp_path: Path,
    changes: dict[str, Any],
    kind: type[BenchError],
    message: str,
) -> None:
    write_track()
    (write_track("Broken") / "bass.wav").write_text("this is a text")
    write_track("Long", samples=61_000, rate=1000)
    (tmp_path / "text.sofa").write_text("this is a text")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    # Not `json=`: that of requests refuses NaN, which a careless client may well send.
    answer = requests.post(
        f"{url}/render",
        data=json.dumps(request(**changes)),
        headers={"content-type": "application/json"},
        timeout=30,
    )
    error = problem(answer, tmp_path)
    assert type(error) is kind
    assert answer.status_code == kind.status
    assert message in error.detail
    assert not (tmp_path / "rendered").exists()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [("/render", {"track": "x"}, "out"), ("/describe_hrir", {}, "hrir"), ("/describe_hrir", [1], "")],
)
def test_incomplete_requests_name_the_field(
    url: str, tmp_path: Path, path: str, body: Any, message: str
) -> None:
    error = problem(post(url, path, body), tmp_path)
    assert type(error) is BadInput
    assert message in error.detail


def test_an_absent_hrir_is_404(url: str, tmp_path: Path) -> None:
    answer = post(url, "/describe_hrir", {"hrir": "nowhere"})
    assert answer.status_code == 404
    assert type(problem(answer, tmp_path)) is NotFound


def test_the_module_has_the_application_for_the_server() -> None:
    from synth_service.app import app

    assert {"/render", "/describe_hrir", "/health", "/info"} <= set(app.openapi()["paths"])
