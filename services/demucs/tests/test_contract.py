"""The contract that every separator keeps."""

from __future__ import annotations

import pytest
from mssbench_contract import SeparatorContract


class TestDemucs(SeparatorContract):
    app = "demucs_service.app:app"


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestDemucs.environment = environment | {"DEMUCS_MODEL": "tinyft0"}  # one of the bag
