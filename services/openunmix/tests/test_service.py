"""The real service over HTTP, against the library called directly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from mssbench_contract import RunningService, music, running, wav
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.weights import sha256_of
from openunmix.predict import separate


@pytest.fixture(scope="module")
def track() -> FloatArray:
    return music(5.3, seed=1)


def test_its_output_is_the_librarys(service: RunningService, weights: Path, track: FloatArray) -> None:
    expected = separate(
        torch.from_numpy(track),
        rate=44100,
        model_str_or_path=str(weights / "openunmix" / "tiny"),
        targets=list(STEMS),
        device="cpu",
    )
    answer = service.upload(wav(track))
    assert answer.status == 200, answer.body
    stems = answer.stems()
    assert sorted(stems) == sorted(STEMS) == sorted(expected)
    for stem in STEMS:
        assert expected[stem].abs().max() > 1e-3  # the comparison is not one of silence
        np.testing.assert_allclose(stems[stem], expected[stem][0].numpy(), rtol=0, atol=1e-6)
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
    assert [separator["name"] for separator in info["separators"]] == ["openunmix"]
    assert info["device"] == "cpu"
    assert info["model"] == "tiny"
    folder = weights / "openunmix" / "tiny"
    assert info["weights"] == [
        {"file": f"{stem}.pth", "sha256": sha256_of(folder / f"{stem}.pth")} for stem in info["model_stems"]
    ]
    assert sorted(info["model_stems"]) == sorted(STEMS)
    assert info["settings"] == {"model": "tiny", "niter": 1, "window": 300, "residual": False}
    assert info["libraries"]["openunmix"] == "1.3.0"


def test_ten_minutes_take_bounded_memory(environment: dict[str, str], tmp_path: Path) -> None:
    minutes = np.zeros((10 * 60 * 44100, 2), np.int16)
    sf.write(tmp_path / "silence.flac", minutes, 44100)
    del minutes
    changed = {"OPENUNMIX_NITER": "0", "MSSBENCH_DATA_ROOT": str(tmp_path)}
    with running("openunmix_service.app:app", environment | changed) as service:
        answer = service.post_json("/separate", {"mixture": "silence.flac", "out": "out"})
        assert answer.status == 200, answer.body
        assert service.peak_memory() < 6 * 2**30


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"OPENUNMIX_MODEL": ""}, ["vocals-b62c91ce.pth is missing", "mssbench weights fetch openunmix"]),
        ({"OPENUNMIX_MODEL": "umxl"}, ["vocals-bccbd9aa.pth is missing", "weights fetch openunmix:umxl"]),
        ({"DEVICE": "cuda:7"}, ["DEVICE=cuda:7", "CUDA device(s)"]),
    ],
)
def test_what_keeps_it_from_starting_is_said_on_every_request(
    environment: dict[str, str], changed: dict[str, str], expected: list[str]
) -> None:
    if torch.cuda.device_count() > 7 and "DEVICE" in changed:
        pytest.skip("this machine has that device")
    with running("openunmix_service.app:app", environment | changed) as service:
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
