"""The small Spleeter model of all tests, and services that use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from make_checkpoint import make_checkpoint
from mssbench_contract.model import SmallModel, environment, own_weights, service, settings, weights
from spleeter.separator import Separator as Library

__all__ = ["environment", "own_weights", "service", "settings", "weights"]


@pytest.fixture(scope="session")
def small_model() -> SmallModel:
    return SmallModel("spleeter", {"SPLEETER_MODEL": "tiny.json"}, make_checkpoint)


@pytest.fixture(scope="session")
def library(weights: Path) -> Library:
    """The library itself, with the small model."""
    separator = Library(str(weights / "spleeter" / "tiny.json"), multiprocess=False)
    separator._params["model_dir"] = str(
        weights / "spleeter" / "tiny"
    )  # otherwise below the working directory
    return separator
