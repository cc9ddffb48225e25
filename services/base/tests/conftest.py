"""A running service around tiny separators."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench_contract import ServiceUnderTest, music, service_under_test
from mssbench_service.audio import FloatArray

TINY = "tiny_separators.app:app"
PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="session", params=["quarters", "true-stems"])
def tiny(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceUnderTest]:
    """The service with one of its separators: one that needs the mixture alone, one that needs the true stems."""
    folder = tmp_path_factory.mktemp("tiny")
    with service_under_test(TINY, folder, separator=request.param, environment=PATH) as service:
        yield service


@pytest.fixture
def service(tiny: ServiceUnderTest) -> Iterator[ServiceUnderTest]:
    """The service; after the test it must be idle, without temporary files."""
    yield tiny
    tiny.check_clean()


@pytest.fixture
def track() -> FloatArray:
    """A stereo track of half a second at 44.1 kHz."""
    return music(0.5)
