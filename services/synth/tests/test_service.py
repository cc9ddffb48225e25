"""The steps, in-process and over HTTP: the same results, and errors without paths of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from mssbench_contract import Client
from mssbench_contract.server import served, wait_for
from mssbench_service.app import Settings
from mssbench_service.errors import BadInput
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
def service(tmp_path: Path) -> Iterator[Client]:
    """A running service whose data root is `tmp_path`."""
    with served(create(Settings(data_root=DataRoot(tmp_path), max_seconds=60.0))) as service:
        wait_for(lambda: service.get("/health").status == 200)
        yield service


def test_render_over_http_is_render_in_process(service: Client, write_track: Write, tmp_path: Path) -> None:
    write_track()
    for profile in ("matched", "paper"):
        answer = service.post_json("/render", request(profile=profile))
        assert answer.status == 200
        body = request(profile=profile, out="in-process")
        assert parse(RenderResult, answer.json()) == steps.render(DataRoot(tmp_path), RenderRequest(**body))
        for path in (tmp_path / "in-process").iterdir():
            assert path.read_bytes() == (tmp_path / "rendered" / "x" / path.name).read_bytes()


def test_hrir_over_http_is_describe_hrir_in_process(
    service: Client, write_sofa: Write, tmp_path: Path
) -> None:
    write_sofa("own.sofa")
    for reference in ("sphere", "own.sofa"):
        answer = service.post_json("/describe_hrir", {"hrir": reference})
        in_process = steps.describe_hrir(DataRoot(tmp_path), HrirRequest(reference))
        assert parse(HrirInfo, answer.json()) == in_process


def test_info_names_the_builtin_set(service: Client) -> None:
    info = service.get("/info").json()
    assert info["service"] == "synth"
    assert info["builtin_hrir"] == asdict(steps.describe_hrir(DataRoot(Path()), HrirRequest(SPHERE)))
    assert info["profiles"] == ["matched", "paper"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/render", {"track": "x"}, "out"),
        ("/describe_hrir", {}, "hrir"),
        ("/describe_hrir", [1], ""),
        ("/render", request(profile="loud"), "unknown profile 'loud'"),
        ("/render", request(angles={"vocals": 0}), "expected exactly vocals, drums, bass, other"),
        ("/render", request(angles=ANGLES | {"bass": "left"}), "angles.bass"),
        ("/render", request(angles=ANGLES | {"bass": float("nan")}), "the angle of bass is nan"),
    ],
)
def test_wrong_requests_are_answered_with_one_line(
    service: Client, write_track: Write, tmp_path: Path, path: str, body: Any, message: str
) -> None:
    """Paths, sound files and SOFA files are in ``tests/bad_input``."""
    write_track()
    answer = service.post_json(path, body)
    assert answer.status == BadInput.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["detail"]
    assert str(tmp_path) not in answer.body.decode()
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "rendered").exists()


def test_the_module_has_the_application_for_the_server() -> None:
    from synth_service.app import app

    assert {"/render", "/describe_hrir", "/health", "/info"} <= set(app.openapi()["paths"])
