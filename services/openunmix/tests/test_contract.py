"""What the benchmark asks of every separator, asked of this one."""

from __future__ import annotations

import pytest
from mssbench_service.contract import SeparatorContract


class TestOpenUnmix(SeparatorContract):
    app = "openunmix_service.app:app"
    seconds = 1.0
    silence_seconds = 60.0  # ten minutes: test_service.py, without the Wiener filter's iterations
    memory_mib = 2048


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestOpenUnmix.environment = environment
