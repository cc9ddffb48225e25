"""What the benchmark asks of every separator, asked of this one."""

from __future__ import annotations

import pytest
from mssbench_service.contract import SeparatorContract


class TestSpleeter(SeparatorContract):
    app = "spleeter_service.app:app"


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestSpleeter.environment = environment
