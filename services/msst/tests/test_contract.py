"""The contract that every separator keeps."""

from __future__ import annotations

import pytest
from mssbench_contract import SeparatorContract


class TestMsst(SeparatorContract):
    app = "msst_service.app:app"
    seconds = 0.6
    silence_seconds = 600.0
    memory_mib = 3072


@pytest.fixture(scope="module", autouse=True)
def _small_model(environment: dict[str, str]) -> None:
    TestMsst.environment = environment | {"MSST_OVERLAP": "1"}
