"""Fixtures and checks that the tests of services with a model share.

A service's ``conftest.py`` imports the fixtures and defines one more, ``small_model``::

    from mssbench_contract.model import SmallModel, environment, own_weights, service, settings, weights  # noqa: F401

    @pytest.fixture(scope="session")
    def small_model() -> SmallModel:
        return SmallModel("demucs", {"DEMUCS_MODEL": "tiny_ft"}, make_checkpoint)

Its tests subclass :class:`ModelContract`, beside the contract of all separators.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from unittest.mock import Mock

import numpy as np
import pytest
from mssbench_service.audio import FloatArray
from mssbench_service.errors import BadInput, BenchError, OutOfMemory, StepFailed
from mssbench_service.separation import Separator

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


@pytest.fixture
def own_weights(settings: pytest.MonkeyPatch, weights: Path, tmp_path: Path) -> Path:
    """A copy of the weights folder, to be changed, which separators in this process use."""
    shutil.copytree(weights, tmp_path / "weights")
    settings.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path / "weights"


def ready(service: str) -> Separator:
    """The requested separator of a service, set up in this process."""
    separator: Separator = importlib.import_module(f"{service}_service").SEPARATORS[service]()
    separator.setup()
    return separator


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


_Wrong = tuple[str, str, type[BenchError], str]
_WRONG_SETTINGS: tuple[_Wrong, ...] = (
    ("DEVICE", "gpu", BadInput, "DEVICE='gpu'"),
    ("THREADS", "0", BadInput, "THREADS='0'"),
)


class ModelContract:
    """Tests of a service with a model in a real server and in this process. Subclass it and name what differs.

    Attributes
    ----------
    wrong_settings : sequence of (variable, value, error, part of the message)
    not_ready : sequence of (environment variables, parts of the reason)
        What keeps the service from loading its model.
    runs : str
        The function that runs the model, as ``module.function``.
    failures : (exception, exception)
        Exceptions of the library: for a failed allocation, and another one with a second line.
    """

    wrong_settings: ClassVar[Sequence[_Wrong]] = ()
    not_ready: ClassVar[Sequence[tuple[Mapping[str, str], Sequence[str]]]] = ()
    runs: ClassVar[str]
    failures: ClassVar[tuple[Exception, Exception]]

    def test_a_job_stops_when_its_client_disconnects(self, service: RunningService) -> None:
        """A job on a long track is cancelled between chunks."""
        metrics = service.disconnect_during_job(music(60.0))
        assert b'{outcome="abandoned",stage="separate"} 1.0' in metrics

    def test_a_service_that_cannot_load_its_model_runs_and_gives_the_reason(
        self, small_model: SmallModel, environment: dict[str, str]
    ) -> None:
        for changed, texts in (
            *self.not_ready,
            ({"DEVICE": "cuda:99"}, ["DEVICE=cuda:99", "CUDA device(s)"]),
        ):
            with running(small_model.app, {**environment, **changed}) as service:
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

    def test_a_wrong_setting_is_refused(self, small_model: SmallModel, settings: pytest.MonkeyPatch) -> None:
        for name, value, kind, message in (*self.wrong_settings, *_WRONG_SETTINGS):
            with settings.context() as wrong:
                wrong.setenv(name, value)
                with pytest.raises(kind, match=message):
                    ready(small_model.service)

    def test_errors_of_the_library_become_errors_of_the_benchmark(
        self, small_model: SmallModel, settings: pytest.MonkeyPatch
    ) -> None:
        separator = ready(small_model.service)
        kinds: tuple[type[BenchError], ...] = (OutOfMemory, StepFailed)
        for raised, kind in zip(self.failures, kinds, strict=True):
            with settings.context() as failing:
                failing.setattr(self.runs, Mock(side_effect=raised))
                with pytest.raises(kind) as caught:
                    separator.separate(music(0.5), 44100)
            assert "second line" not in caught.value.detail
        assert np.isfinite(separator.separate(music(0.5), 44100)["bass"]).all()  # the next track works
