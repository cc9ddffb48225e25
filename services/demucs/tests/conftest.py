"""A small Demucs repository for all tests, and services that use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench_contract import RunningService, running

sys.path.insert(0, str(Path(__file__).parent))
from make_checkpoint import make_checkpoint


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder that holds the small models."""
    folder = tmp_path_factory.mktemp("weights")
    make_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def environment(weights: Path) -> dict[str, str]:
    """What a service with the small bag needs."""
    return {"MSSBENCH_WEIGHTS_DIR": str(weights), "DEMUCS_MODEL": "tiny_ft", "DEVICE": "cpu"}


@pytest.fixture(scope="session")
def service(environment: dict[str, str]) -> Iterator[RunningService]:
    """The real service with the small bag."""
    with running("demucs_service.app:app", environment) as started:
        yield started


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a separator in this process; set more with ``settings.setenv``."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return monkeypatch
