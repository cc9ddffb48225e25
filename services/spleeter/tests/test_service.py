"""The real service over HTTP, compared with the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mssbench_contract import RunningService, music
from mssbench_contract.model import check_equals_library, check_not_ready, check_stops_when_client_disconnects
from mssbench_service.weights import sha256_of
from spleeter.separator import Separator as Library


def test_output_equals_the_library(service: RunningService, library: Library) -> None:
    track = music(8.3, seed=1)
    expected = {stem: estimate.T for stem, estimate in library.separate(track.T).items()}
    check_equals_library(service, track, expected, tolerance=1e-5)


def test_a_job_stops_when_its_client_disconnects(service: RunningService) -> None:
    check_stops_when_client_disconnects(service)


def test_info_describes_the_model(service: RunningService, weights: Path) -> None:
    info = service.get("/info").json()
    stems = {separator["name"]: separator["stems"] for separator in info["separators"]}
    assert stems["spleeter"] == info["stems"] == ["vocals", "drums", "bass", "other"]
    assert list(stems)[1:4] == ["spleeter:2stems", "spleeter:2stems-16kHz", "spleeter:4stems"]
    missing = next(one for one in info["separators"] if one["name"] == "spleeter:5stems")
    assert (
        "5stems.tar.gz is missing; get it with: mssbench weights fetch spleeter:5stems" in missing["reason"]
    )
    assert info["device"] == "cpu"
    assert info["model"] == "tiny.json"
    files = sorted((weights / "spleeter" / "tiny").glob("model.*"))
    assert len(files) == 3
    assert info["weights"] == [{"file": path.name, "sha256": sha256_of(path)} for path in files]
    assert info["settings"]["mwf"] is False
    assert info["libraries"]["spleeter"] == "2.4.2"


def test_log_lines_are_json(service: RunningService) -> None:
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert any(line["logger"] == "tensorflow" for line in lines)


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"SPLEETER_MODEL": ""}, ["4stems.tar.gz is missing", "mssbench weights fetch spleeter"]),
        ({"DEVICE": "cuda:99"}, ["DEVICE=cuda:99", "CUDA device(s)"]),
    ],
)
def test_a_service_that_is_not_ready_gives_the_reason(
    environment: dict[str, str], changed: dict[str, str], texts: list[str]
) -> None:
    check_not_ready("spleeter_service.app:app", environment | changed, *texts)
