"""Where a service's weights are pinned (``weights.toml``), found without importing its model's library."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
from mssbench_service.errors import BenchError, NotFound, Unreachable
from mssbench_service.weights import load

from .registry import Service

FILE = "weights.toml"

_CHECKOUT = Path(__file__).parents[3] / "services"
_SECONDS = 5.0


@contextlib.contextmanager
def pins_of(service: Service) -> Iterator[Path]:
    """The ``weights.toml`` of `service`.

    It is read where its package is installed, else in the checkout that this package runs from, else from the
    running service (``GET /weights``): so it is always the one that the service itself goes by.

    Raises
    ------
    NotFound
        The service pins no weights.
    Unreachable
        It is neither here nor running.
    BadInput
        The running service answers something else.
    """
    for folder in _folders(service):
        if folder.is_dir():
            if not (folder / FILE).is_file():
                raise NotFound(f"{service.name} pins no weights")
            yield folder / FILE
            return
    with tempfile.TemporaryDirectory(prefix="mssbench-") as temporary:
        path = Path(temporary) / FILE
        path.write_bytes(_ask(service))
        try:
            load(path)
        except BenchError as error:  # which would name where it lies for the moment
            raise type(error)(error.detail.replace(str(path), f"{service.url}/weights")) from None
        yield path


def _folders(service: Service) -> list[Path]:
    installed = importlib.util.find_spec(service.module)  # finds a package without running any of it
    here = [Path(folder) for folder in (installed and installed.submodule_search_locations) or ()]
    return [*here, _CHECKOUT / service.name / service.module]


def _ask(service: Service) -> bytes:
    try:
        answer = httpx.get(f"{service.url}/weights", timeout=_SECONDS)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"the pinned weights of {service.name} are not here, and its service at {service.url} "
            f"does not answer: {error or type(error).__name__}"
        ) from None
    if answer.status_code == 404:
        raise NotFound(f"{service.name} pins no weights")
    if not answer.is_success:
        raise Unreachable(f"{service.name} at {service.url} answered {answer.status_code} to GET /weights")
    return answer.content
