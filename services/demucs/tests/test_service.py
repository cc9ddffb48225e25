"""The real service over HTTP, compared with the library."""

from __future__ import annotations

from pathlib import Path

import torch
from demucs.api import Separator as Library
from demucs_service.adapter import shifts_from
from mssbench_contract import RunningService, music
from mssbench_contract.model import ModelContract, check_equals_library
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.weights import sha256_of


def test_output_equals_the_library(service: RunningService, weights: Path) -> None:
    track = music(5.3, seed=1)
    library = Library("tiny_ft", repo=weights / "demucs", device="cpu")
    with shifts_from(0):
        _, stems = library.separate_tensor(torch.from_numpy(track))
    expected = {stem: estimate.numpy() for stem, estimate in stems.items()}
    check_equals_library(service, track, expected, tolerance=1e-6)


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


class TestModel(ModelContract):
    runs = "demucs_service.adapter.apply_model"
    failures = (
        torch.OutOfMemoryError("Tried to allocate 20 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied\nsecond line"),
    )
    wrong_settings = (
        ("DEMUCS_MODEL", "unheard_of", NotReady, "neither a bag unheard_of.yaml"),
        ("DEMUCS_SEGMENT", "5", BadInput, "DEMUCS_SEGMENT=5; the model 'tiny_ft' takes 0.1 to 2 s"),
        ("DEMUCS_SEGMENT", "0.001", BadInput, "DEMUCS_SEGMENT=0.001; .* takes 0.1 to 2 s"),
        ("DEMUCS_SEGMENT", "nan", BadInput, "DEMUCS_SEGMENT='nan' is not a number from 0 to 600"),
        ("DEMUCS_OVERLAP", "1", BadInput, "DEMUCS_OVERLAP='1' is not a number from 0 to 0.95"),
        ("DEMUCS_SHIFTS", "many", BadInput, "DEMUCS_SHIFTS"),
        ("DEMUCS_SHIFTS", "1.5", BadInput, "not a whole number"),
        ("DEMUCS_PRECISION", "int8", BadInput, "bfloat16"),
    )
    not_ready = (
        ({"DEMUCS_MODEL": ""}, ["f7e0c4bc-ba3fe64a.th is missing", "mssbench weights fetch demucs"]),
        ({"DEMUCS_MODEL": "htdemucs"}, ["955717e8-8726e21a.th is missing", "weights fetch demucs:htdemucs"]),
    )
