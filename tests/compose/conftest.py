"""One composed system for all tests here, because building and starting it takes long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from composed import System
from mssbench_contract.server import free_port


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """A running system with the demo data and without weights."""
    system = System(free_port())
    system.compose("down", "--volumes", "--remove-orphans")
    try:
        system.compose("build", timeout=3600)
        system.compose("up", "--detach", "--wait")
        system.compose("exec", "-T", "orchestrator", "mssbench", "data", "demo", "data/demo")
        yield system
    finally:
        system.compose("down", "--volumes", "--remove-orphans")
