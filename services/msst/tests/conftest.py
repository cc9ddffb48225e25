"""The small MSST model of all tests, and services that use it."""

from __future__ import annotations

import pytest
from make_checkpoint import make_checkpoint
from mssbench_contract.model import SmallModel, environment, own_weights, service, settings, weights

__all__ = ["environment", "own_weights", "service", "settings", "weights"]


@pytest.fixture(scope="session")
def small_model() -> SmallModel:
    return SmallModel("msst", {"MSST_MODEL": "tiny"}, make_checkpoint)
