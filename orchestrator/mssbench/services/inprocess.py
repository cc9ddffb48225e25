"""Call services in this process: import the package of the service and call its functions."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import BadInput, BenchError, NotReady, StepFailed
from mssbench_service.files import DataRoot
from mssbench_service.separation import (
    Separator,
    Separators,
    describe,
    reference_files,
    separate_track,
    set_up,
)
from mssbench_service.wire import HrirRequest, PlaceRequest, SeparateRequest, SeparateResult

from .registry import Service, url_variable
from .transport import T

_LOADING = threading.RLock()
"""Held while a package is imported or a model is set up: a survey does so for all services in parallel."""


class InProcessTransport:
    """Imports the service's package and calls its functions."""

    def __init__(self, root: DataRoot) -> None:
        self.root = root

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        if isinstance(request, SeparateRequest):
            return self._separate(service, request)  # type: ignore[return-value]
        steps = _import(f"{service.module}.steps", service)
        function: Callable[..., T] = getattr(steps, step)
        if isinstance(request, HrirRequest | PlaceRequest):
            return function(self.root, request)
        return function(self.root, request, max_seconds=max_track_seconds())

    def info(self, service: Service) -> dict[str, Any]:
        package = _import(service.module, service)
        info: dict[str, Any] = {"version": _version(package)}
        if hasattr(package, "SEPARATORS"):
            # Set up as a service does before it is ready, so that missing weights are reported now.
            with _LOADING:
                setups = {
                    name: functools.partial(_separator, service.module, name) for name in package.SEPARATORS
                }
                failed = set_up(setups)
                loaded = {
                    name: make() if name in failed else setups[name]()
                    for name, make in package.SEPARATORS.items()
                }
            info["separators"] = [asdict(item) for item in describe(loaded, failed)]
        return info

    def close(self) -> None:
        pass

    def _separate(self, service: Service, request: SeparateRequest) -> SeparateResult:
        separators: Separators = _import(service.module, service).SEPARATORS
        name = request.separator or next(iter(separators))
        if name not in separators:
            raise BadInput(f"unknown separator {name!r}; {service.name} offers {', '.join(separators)}")
        return separate_track(
            _separator(service.module, name),
            name,
            self.root.existing(request.mixture),
            self.root.resolve(request.out),
            reference_files(self.root, request.references, request.stems),
            reference_gain=request.reference_gain,
            max_seconds=max_track_seconds(),
            stems=request.stems,
            version=_version(_import(service.module, service)),
        )


def _version(package: Any) -> str:
    return str(getattr(package, "__version__", "unknown"))


def _import(module: str, service: Service) -> Any:
    try:
        with _LOADING:
            return importlib.import_module(module)
    except ImportError as error:
        raise NotReady(
            f"the package {service.module} of {service.name} is not installed ({error}); start the service in its own "
            f"environment (mssbench services start {service.name}), use the composed system (docker compose up "
            f"--build --detach --wait), or set its URL in {url_variable(service.name)}"
        ) from None
    except Exception as error:  # a broken package must not stop the others
        raise StepFailed(f"the package {module} cannot be loaded: {type(error).__name__}: {error}") from error


@functools.cache
def _separator(module: str, name: str) -> Separator:
    """Return the instance of this process; it is set up once."""
    separator: Separator = importlib.import_module(module).SEPARATORS[name]()
    try:
        separator.setup()
    except BenchError:
        raise
    except Exception as error:  # libraries raise various errors when they cannot load a file
        raise StepFailed(f"setup of {name} failed: {type(error).__name__}: {error}") from error
    return separator
