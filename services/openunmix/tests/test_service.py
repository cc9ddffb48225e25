"""The real service over HTTP, compared with the library."""

from __future__ import annotations

from pathlib import Path

import torch
from mssbench_contract import RunningService, music
from mssbench_contract.model import ModelContract, check_equals_library
from mssbench_service.errors import BadInput, NotReady
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


class TestModel(ModelContract):
    runs = "openunmix_service.windows.separate"
    failures = (
        torch.OutOfMemoryError("Tried to allocate 20 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied\nsecond line"),
    )
    wrong_settings = (
        ("OPENUNMIX_MODEL", "unheard_of", NotReady, "unheard_of.*does not exist"),
        ("OPENUNMIX_NITER", "-1", BadInput, "OPENUNMIX_NITER='-1' is not a number from 0 to 100"),
        ("OPENUNMIX_WINDOW", "0", BadInput, "OPENUNMIX_WINDOW"),
        ("OPENUNMIX_TARGETS", "vocals,piano", NotReady, r"piano\.json is missing; the model 'tiny' needs it"),
        ("OPENUNMIX_TARGETS", "../vocals", BadInput, r"OPENUNMIX_TARGETS has a stem called '\.\./vocals'"),
        ("OPENUNMIX_TARGETS", "vocals,vocals", BadInput, "OPENUNMIX_TARGETS has two stems called 'vocals'"),
        ("OPENUNMIX_RESIDUAL", "maybe", BadInput, "OPENUNMIX_RESIDUAL"),
    )
    not_ready = (
        ({"OPENUNMIX_MODEL": ""}, ["vocals-b62c91ce.pth is missing", "mssbench weights fetch openunmix"]),
        ({"OPENUNMIX_MODEL": "umxl"}, ["vocals-bccbd9aa.pth is missing", "weights fetch openunmix:umxl"]),
    )
