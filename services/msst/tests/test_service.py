"""The real service over HTTP, compared with MSST."""

from __future__ import annotations

from pathlib import Path

import reference
import torch
from mssbench_contract import RunningService, music
from mssbench_contract.model import ModelContract, check_equals_library
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.weights import sha256_of


def test_output_equals_msst(service: RunningService, weights: Path) -> None:
    track = music(2.3, seed=1)
    expected = reference.separate("scnet", weights / "msst" / "tiny", track)
    check_equals_library(service, track, expected, tolerance=1e-6)


def test_info_describes_the_model(service: RunningService, weights: Path) -> None:
    info = service.get("/info").json()
    assert info["separators"][0]["name"] == "msst"
    assert info["model"] == "tiny"
    folder = weights / "msst" / "tiny"
    assert info["weights"] == [
        {"file": name, "sha256": sha256_of(folder / name)} for name in ("model.ckpt", "config.yaml")
    ]
    assert info["stems"] == info["model_stems"] == ["drums", "bass", "other", "vocals"]
    assert info["settings"] | {"size": 22016, "step": 5504, "group": 3, "batch_size": 1} == info["settings"]
    assert info["settings"]["precision"] == "fp32"
    card = info["separators"][0]["card"]
    assert card["architecture"] == "scnet"
    assert card["parameters"] > 1000
    assert info["libraries"]["pymss-core"] == "0.1.14"


class TestModel(ModelContract):
    runs = "msst_service.adapter.separate"
    failures = (
        torch.OutOfMemoryError("Tried to allocate 20 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied\nsecond line"),
    )
    wrong_settings = (
        ("MSST_MODEL", "unheard_of", NotReady, r"no preset \(bs_roformer_musdb, .*unheard_of does not exist"),
        ("MSST_OVERLAP", "-1", BadInput, "MSST_OVERLAP='-1' is not a number from 0 to 50"),
        ("MSST_BATCH_SIZE", "1.5", BadInput, "MSST_BATCH_SIZE"),
        ("MSST_PRECISION", "int8", BadInput, "MSST_PRECISION='int8'; expected one of fp32, bf16, fp16"),
        ("MSST_ZERO_DC", "maybe", BadInput, "MSST_ZERO_DC"),
        ("MSST_EXTRACT_INSTRUMENTAL", "1", BadInput, "MSST_EXTRACT_INSTRUMENTAL"),
    )
    not_ready = (
        ({"MSST_MODEL": ""}, ["scnet_checkpoint_musdb18.ckpt is missing", "mssbench weights fetch msst"]),
        ({"MSST_MODEL": "melband_vocals_kim"}, ["weights fetch msst:melband_vocals_kim"]),
    )
