"""Find the pinned weights of a service (``weights.toml``) without importing the library of its model."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
from mssbench_service.errors import BenchError, NotFound, Unreachable
from mssbench_service.separation import WEIGHTS_FILE
from mssbench_service.weights import load

from .registry import Service

CHECKOUT_SERVICES = Path(__file__).parents[3] / "services"
"""Folders of the services, if this package is in a checkout."""

_TIMEOUT_SECONDS = 5.0


@contextlib.contextmanager
def pinned_weights(service: Service) -> Iterator[Path]:
    """Yield the path of the ``weights.toml`` of `service`.

    The file comes from the installed package, else from the checkout that contains this package, else from the
    running service (``GET /weights``). It is always the file that the service itself uses.

    Raises
    ------
    NotFound
        The service has no pinned weights.
    Unreachable
        The package is not installed, and the service does not answer.
    BadInput
        The answer of the service is not a list of weights.
    """
    for folder in _folders(service):
        if folder.is_dir():
            if not (folder / WEIGHTS_FILE).is_file():
                raise NotFound(f"{service.name} pins no weights")
            yield folder / WEIGHTS_FILE
            return
    with tempfile.TemporaryDirectory(prefix="mssbench-") as temporary:
        path = Path(temporary) / WEIGHTS_FILE
        path.write_bytes(_download(service))
        try:
            load(path)
        except BenchError as error:  # name the URL, not the temporary file
            raise type(error)(error.detail.replace(str(path), f"{service.url}/weights")) from None
        yield path


def _folders(service: Service) -> list[Path]:
    installed = importlib.util.find_spec(service.module)  # does not import the package
    folders = [Path(folder) for folder in (installed and installed.submodule_search_locations) or ()]
    return [*folders, CHECKOUT_SERVICES / service.name / service.module]


def _download(service: Service) -> bytes:
    try:
        answer = httpx.get(f"{service.url}/weights", timeout=_TIMEOUT_SECONDS)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"the package of {service.name} is not installed, and its service at {service.url} "
            f"does not answer: {error or type(error).__name__}"
        ) from None
    if answer.status_code == 404:
        raise NotFound(f"{service.name} pins no weights")
    if not answer.is_success:
        raise Unreachable(f"{service.name} at {service.url} answered {answer.status_code} to GET /weights")
    return answer.content
