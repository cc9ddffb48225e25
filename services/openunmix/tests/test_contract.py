"""The contract that every separator keeps."""

from __future__ import annotations

import pytest
from mssbench_contract import SeparatorContract


class TestOpenUnmix(SeparatorContract):
    app = "openunmix_service.app:app"
    seconds = 1.0


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestOpenUnmix.environment = environment
