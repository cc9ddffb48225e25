"""Fixtures and checks that the tests of services with a model share.

A service's ``conftest.py`` imports the fixtures and defines one more, ``small_model``::

    from mssbench_contract.model import SmallModel, environment, service, settings, weights  # noqa: F401

    @pytest.fixture(scope="session")
    def small_model() -> SmallModel:
        return SmallModel("demucs", {"DEMUCS_MODEL": "tiny_ft"}, make_checkpoint)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from mssbench_service.audio import FloatArray

from .server import RunningService, running
from .signals import music, wav


@dataclass(frozen=True)
class SmallModel:
    """The small model with random weights that a service is tested with.

    Parameters
    ----------
    service : str
        Name of the service; its application is ``<service>_service.app:app``.
    settings : mapping of str to str
        Environment variables that select the model.
    make_checkpoint : callable
        Writes the model's files below the weights folder.
    """

    service: str
    settings: Mapping[str, str]
    make_checkpoint: Callable[[Path], object]

    @property
    def app(self) -> str:
        return f"{self.service}_service.app:app"


@pytest.fixture(scope="session")
def weights(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder that holds the small model."""
    folder = tmp_path_factory.mktemp("weights")
    small_model.make_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def environment(small_model: SmallModel, weights: Path) -> dict[str, str]:
    """The environment variables of a service with the small model."""
    return {"MSSBENCH_WEIGHTS_DIR": str(weights), "DEVICE": "cpu", **small_model.settings}


@pytest.fixture(scope="session")
def service(small_model: SmallModel, environment: dict[str, str]) -> Iterator[RunningService]:
    """The real service with the small model."""
    with running(small_model.app, environment) as started:
        yield started


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a separator in this process; set more with ``settings.setenv``."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def check_equals_library(
    service: RunningService, track: FloatArray, expected: Mapping[str, FloatArray], tolerance: float
) -> None:
    """Check that an uploaded track is answered with the stems that the library computes.

    Parameters
    ----------
    service : RunningService
    track : array, shape (2, samples)
    expected : dict of str to array, shape (2, samples)
        Result of the library for `track`.
    tolerance : float
        Largest difference of a sample.
    """
    answer = service.upload(wav(track))
    assert answer.status == 200, answer.body
    stems = answer.stems()
    assert sorted(stems) == sorted(expected)
    for stem in stems:
        assert np.abs(expected[stem]).max() > 1e-3  # the comparison is not between silent signals
        np.testing.assert_allclose(stems[stem], expected[stem], rtol=0, atol=tolerance)
    first, second = list(stems.values())[:2]
    assert np.abs(first - second).max() > 1e-3  # nor between equal stems


def check_stops_when_client_disconnects(service: RunningService) -> None:
    """Check that a job on a long track is cancelled between chunks once its client has disconnected."""
    metrics = service.disconnect_during_job(music(60.0))
    assert b'{outcome="abandoned",stage="separate"} 1.0' in metrics


def check_not_ready(app: str, environment: Mapping[str, str], *texts: str) -> None:
    """Check that a service that cannot load its model runs, and gives the reason with every request.

    Parameters
    ----------
    app : str
        The service as uvicorn takes it, ``module:attribute``.
    environment : mapping of str to str
        Environment variables that keep it from loading.
    *texts : str
        Parts of the reason.
    """
    with running(app, environment) as service:
        for answer in (service.get("/health"), service.upload(wav(music(0.1)))):
            assert answer.status == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            problem = answer.json()
            assert problem["type"] == "urn:mssbench:error:not-ready"
            for text in texts:
                assert text in problem["detail"]
            assert b"Traceback" not in answer.body
        assert service.process.poll() is None
        assert service.get("/info").status == 200
