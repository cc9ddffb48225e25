"""The real service over HTTP, against the library called directly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mssbench_contract import RunningService, music, running, wav
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.weights import sha256_of
from spleeter.separator import Separator as Library


@pytest.fixture(scope="module")
def track() -> FloatArray:
    return music(8.3, seed=1)


def test_its_output_is_the_librarys(service: RunningService, library: Library, track: FloatArray) -> None:
    expected = library.separate(track.T)
    answer = service.upload(wav(track))
    assert answer.status == 200, answer.body
    stems = answer.stems()
    assert sorted(stems) == sorted(STEMS) == sorted(expected)
    for stem in STEMS:
        assert np.abs(expected[stem]).max() > 1e-3  # the comparison is not one of silence
        np.testing.assert_allclose(stems[stem], expected[stem].T, rtol=0, atol=1e-5)
    assert np.abs(stems["vocals"] - stems["drums"]).max() > 1e-3  # nor one of four equal stems


def test_the_same_file_gives_the_same_bytes_again(service: RunningService, track: FloatArray) -> None:
    a, b = wav(track), wav(music(3.1, seed=2))
    first = service.upload(a, "/separate?stem=bass").body
    other = service.upload(b, "/separate?stem=bass").body
    again = service.upload(a, "/separate?stem=bass").body
    assert first[:4] == b"RIFF"
    assert first == again != other


def test_it_ends_when_its_client_has_gone(service: RunningService) -> None:
    metrics = service.disconnect_during_job(music(60.0))
    assert b'{outcome="abandoned",stage="separate"} 1.0' in metrics


def test_info_says_what_it_runs(service: RunningService, weights: Path) -> None:
    info = service.get("/info").json()
    assert [separator["name"] for separator in info["separators"]] == ["spleeter"]
    assert info["device"] == "cpu"
    assert info["model"] == "tiny.json"
    files = sorted((weights / "spleeter" / "tiny").glob("model.*"))
    assert len(files) == 3
    assert info["weights"] == [{"file": path.name, "sha256": sha256_of(path)} for path in files]
    assert info["settings"]["mwf"] is False
    assert info["libraries"]["spleeter"] == "2.4.2"


def test_its_log_is_json(service: RunningService) -> None:
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert any(line["logger"] == "tensorflow" for line in lines)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"SPLEETER_MODEL": ""}, ["4stems.tar.gz is missing", "mssbench weights fetch spleeter"]),
        ({"DEVICE": "cuda:7"}, ["DEVICE=cuda:7", "CUDA device(s)"]),
    ],
)
def test_what_keeps_it_from_starting_is_said_on_every_request(
    environment: dict[str, str], changed: dict[str, str], expected: list[str]
) -> None:
    with running("spleeter_service.app:app", environment | changed) as service:
        for answer in (service.get("/health"), service.upload(wav(music(0.1)))):
            assert answer.status == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            problem = answer.json()
            assert problem["type"] == "urn:mssbench:error:not-ready"
            for text in expected:
                assert text in problem["detail"]
            assert b"Traceback" not in answer.body
        assert service.process.poll() is None
        assert service.get("/info").status == 200
