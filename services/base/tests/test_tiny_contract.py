"""The contract of a separator, kept by the smallest one: ten minutes of audio once, for the shared code."""

from __future__ import annotations

from pathlib import Path

import pytest
from mssbench_contract import SeparatorContract


class _Tiny(SeparatorContract):
    app = "tiny_separators.app:app"
    environment = {"PYTHONPATH": str(Path(__file__).parent)}  # noqa: RUF012
    adds_up = 1e-6

    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parent))


class TestQuarters(_Tiny):
    silence_seconds = 600.0
    memory_mib = 900  # the mixture and one array of the same size have 404 MiB


class TestPair(_Tiny):
    """Any stem set keeps the contract."""

    separator = "pair"
    seconds = 0.3
    silence_seconds = 5.0
