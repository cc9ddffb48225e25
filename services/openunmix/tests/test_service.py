"""The real service over HTTP, compared with the library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mssbench_contract import RunningService, music
from mssbench_contract.model import check_equals_library, check_not_ready, check_stops_when_client_disconnects
from mssbench_service.musdb import STEMS
from mssbench_service.weights import sha256_of
from openunmix.predict import separate


def test_output_equals_the_library(service: RunningService, weights: Path) -> None:
    track = music(5.3, seed=1)
    stems = separate(
        torch.from_numpy(track),
        rate=44100,
        model_str_or_path=str(weights / "openunmix" / "tiny"),
        targets=list(STEMS),
        device="cpu",
    )
    expected = {stem: estimate[0].numpy() for stem, estimate in stems.items()}
    check_equals_library(service, track, expected, tolerance=1e-6)


def test_a_job_stops_when_its_client_disconnects(service: RunningService) -> None:
    check_stops_when_client_disconnects(service)


def test_info_describes_the_model(service: RunningService, weights: Path) -> None:
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


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"OPENUNMIX_MODEL": ""}, ["vocals-b62c91ce.pth is missing", "mssbench weights fetch openunmix"]),
        ({"OPENUNMIX_MODEL": "umxl"}, ["vocals-bccbd9aa.pth is missing", "weights fetch openunmix:umxl"]),
        ({"DEVICE": "cuda:99"}, ["DEVICE=cuda:99", "CUDA device(s)"]),
    ],
)
def test_a_service_that_is_not_ready_gives_the_reason(
    environment: dict[str, str], changed: dict[str, str], texts: list[str]
) -> None:
    check_not_ready("openunmix_service.app:app", environment | changed, *texts)
