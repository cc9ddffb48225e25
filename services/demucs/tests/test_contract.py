"""What the benchmark asks of every separator, asked of this one."""

from __future__ import annotations

import pytest
from mssbench_service.contract import SeparatorContract


class TestDemucs(SeparatorContract):
    app = "demucs_service.app:app"


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestDemucs.environment = environment | {"DEMUCS_MODEL": "tinyft0"}  # one of the bag
