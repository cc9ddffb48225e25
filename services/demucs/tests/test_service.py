"""The real service over HTTP, compared with the library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from demucs.api import Separator as Library
from demucs_service.adapter import shifts_from
from mssbench_contract import RunningService, music
from mssbench_contract.model import check_equals_library, check_not_ready, check_stops_when_client_disconnects
from mssbench_service.weights import sha256_of


def test_output_equals_the_library(service: RunningService, weights: Path) -> None:
    track = music(5.3, seed=1)
    library = Library("tiny_ft", repo=weights / "demucs", device="cpu")
    with shifts_from(0):
        _, stems = library.separate_tensor(torch.from_numpy(track))
    expected = {stem: estimate.numpy() for stem, estimate in stems.items()}
    check_equals_library(service, track, expected, tolerance=1e-6)


def test_a_job_stops_when_its_client_disconnects(service: RunningService) -> None:
    check_stops_when_client_disconnects(service)


def test_info_describes_the_model(service: RunningService, weights: Path) -> None:
    info = service.get("/info").json()
    stems = {separator["name"]: separator["stems"] for separator in info["separators"]}
    released = ["htdemucs_ft", "htdemucs", "htdemucs_6s", "hdemucs_mmi"]
    assert list(stems) == ["demucs", *(f"demucs:{model}" for model in released)]
    assert stems["demucs:htdemucs_6s"] == [*info["model_stems"], "guitar", "piano"]
    assert info["device"] == "cpu"
    assert info["model"] == "tiny_ft"
    assert info["model_stems"] == ["drums", "bass", "other", "vocals"]
    files = sorted((weights / "demucs").glob("tinyft*.th"))
    assert info["weights"] == [{"file": path.name, "sha256": sha256_of(path)} for path in files]
    assert info["settings"]["shifts"] == 1
    assert info["settings"]["segment"] == 2.0
    assert info["libraries"]["demucs"] == "4.1.0"


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"DEMUCS_MODEL": ""}, ["f7e0c4bc-ba3fe64a.th is missing", "mssbench weights fetch demucs"]),
        ({"DEMUCS_MODEL": "htdemucs"}, ["955717e8-8726e21a.th is missing", "weights fetch demucs:htdemucs"]),
        ({"DEVICE": "cuda:99"}, ["DEVICE=cuda:99", "CUDA device(s)"]),
    ],
)
def test_a_service_that_is_not_ready_gives_the_reason(
    environment: dict[str, str], changed: dict[str, str], texts: list[str]
) -> None:
    check_not_ready("demucs_service.app:app", environment | changed, *texts)
