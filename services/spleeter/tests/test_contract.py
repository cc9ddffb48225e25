"""The contract that every separator keeps."""

from __future__ import annotations

import pytest
from mssbench_contract import SeparatorContract


class TestSpleeter(SeparatorContract):
    app = "spleeter_service.app:app"


class TestTwoStems(SeparatorContract):
    app = "spleeter_service.app:app"


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestSpleeter.environment = environment
    TestTwoStems.environment = environment | {"SPLEETER_MODEL": "tiny_two.json"}
