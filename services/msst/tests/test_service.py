"""The real service over HTTP, compared with MSST."""

from __future__ import annotations

from pathlib import Path

import pytest
import reference
from mssbench_contract import RunningService, music
from mssbench_contract.model import check_equals_library, check_not_ready, check_stops_when_client_disconnects
from mssbench_service.weights import sha256_of


def test_output_equals_msst(service: RunningService, weights: Path) -> None:
    track = music(2.3, seed=1)
    expected = reference.separate("scnet", weights / "msst" / "tiny", track)
    check_equals_library(service, track, expected, tolerance=1e-6)


def test_a_job_stops_when_its_client_disconnects(service: RunningService) -> None:
    check_stops_when_client_disconnects(service)


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


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"MSST_MODEL": ""}, ["scnet_checkpoint_musdb18.ckpt is missing", "mssbench weights fetch msst"]),
        ({"MSST_MODEL": "melband_vocals_kim"}, ["weights fetch msst:melband_vocals_kim"]),
    ],
)
def test_a_service_that_is_not_ready_gives_the_reason(
    environment: dict[str, str], changed: dict[str, str], texts: list[str]
) -> None:
    check_not_ready("msst_service.app:app", environment | changed, *texts)
