"""A small Spleeter checkpoint for all tests, and services that use it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The library reads where models are when it is imported.
WEIGHTS = tempfile.TemporaryDirectory(prefix="spleeter-tests-")
os.environ["MODEL_PATH"] = str(Path(WEIGHTS.name) / "spleeter")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
from mssbench_service.testing import RunningService, running

sys.path.insert(0, str(Path(__file__).parent))
from make_checkpoint import make_checkpoint


@pytest.fixture(scope="session")
def weights() -> Path:
    """A weights folder that holds the small models."""
    folder = Path(WEIGHTS.name)
    make_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def environment(weights: Path) -> dict[str, str]:
    """What a service with the small model needs."""
    return {"MSSBENCH_WEIGHTS_DIR": str(weights), "SPLEETER_MODEL": "tiny.json", "DEVICE": "cpu"}


@pytest.fixture(scope="session")
def service(environment: dict[str, str]) -> Iterator[RunningService]:
    """The real service with the small model."""
    with running("spleeter_service.app:app", environment) as started:
        yield started


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a separator in this process; set more with ``settings.setenv``."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return monkeypatch
