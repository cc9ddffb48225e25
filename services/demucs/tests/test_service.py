"""The real service over HTTP, against the library called directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.api import Separator as Library
from demucs_service.adapter import shifts_from
from mssbench_contract import RunningService, music, running, wav
from mssbench_service.musdb import STEMS
from mssbench_service.weights import sha256_of


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    return music(5.3, seed=1)


def test_its_output_is_the_librarys(service: RunningService, weights: Path, track: np.ndarray) -> None:
    library = Library("tiny_ft", repo=weights / "demucs", device="cpu")
    with shifts_from(0):
        _, expected = library.separate_tensor(torch.from_numpy(track))
    answer = service.upload(wav(track))
    assert answer.status == 200, answer.body
    stems = answer.stems()
    assert sorted(stems) == sorted(STEMS)
    for stem in STEMS:
        assert np.abs(expected[stem].numpy()).max() > 1e-3  # the comparison is not one of silence
        np.testing.assert_allclose(stems[stem], expected[stem].numpy(), rtol=0, atol=1e-6)


def test_the_same_file_gives_the_same_bytes_again(service: RunningService, track: np.ndarray) -> None:
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
    assert [separator["name"] for separator in info["separators"]] == ["demucs"]
    assert info["device"] == "cpu"
    assert info["model"] == "tiny_ft"
    assert info["model_stems"] == ["drums", "bass", "other", "vocals"]
    files = sorted((weights / "demucs").glob("tinyft*.th"))
    assert info["weights"] == [{"file": path.name, "sha256": sha256_of(path)} for path in files]
    assert info["settings"]["shifts"] == 1
    assert info["settings"]["segment"] == 2.0
    assert info["libraries"]["demucs"] == "4.1.0"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"DEMUCS_MODEL": ""}, ["f7e0c4bc-ba3fe64a.th is missing", "mssbench weights fetch demucs"]),
        ({"DEMUCS_MODEL": "htdemucs"}, ["955717e8-8726e21a.th is missing", "weights fetch demucs:htdemucs"]),
        ({"DEVICE": "cuda:7"}, ["DEVICE=cuda:7", "CUDA device(s)"]),
    ],
)
def test_what_keeps_it_from_starting_is_said_on_every_request(
    environment: dict[str, str], changed: dict[str, str], expected: list[str]
) -> None:
    if torch.cuda.device_count() > 7 and "DEVICE" in changed:
        pytest.skip("this machine has that device")
    with running("demucs_service.app:app", environment | changed) as service:
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
