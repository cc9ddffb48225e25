"""The service of one model, with its weights, for the duration of a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from mssbench_service import weights as store
from mssbench_service.errors import NotFound, NotReady
from mssbench_service.names import suggestion

from ..runs.store import open_workspace
from ..services.environments import find_folder
from ..services.health import ServiceHealth, service_of, survey
from ..services.launching import start_service
from ..services.local import running_services
from ..services.registry import Service, load_registry
from ..services.runtime import make_runtime
from ..services.weights import pinned_weights
from .progress import byte_bars, showing_lines
from .shared import print_message

_WAIT_SECONDS = 60.0
"""Time in which a running service has to offer a model whose weights have been fetched."""


@contextlib.contextmanager
def serving_model(model: str) -> Iterator[None]:
    """Fetch the weights of `model` (``<service>:<model>``), and have its service run.

    A service that is running already (in the composed system, or started before) is used and left running. Otherwise it
    is started on this machine, and stopped at the end.

    Raises
    ------
    NotFound
        There is no such service or model.
    NotReady
        The service does not become ready, or does not offer the model.
    """
    registry = load_registry()
    service = service_of(model, registry)
    if service is None:
        raise NotFound(
            f"no service offers {model!r}; registered: {', '.join(registry.separators)}"
            f"{suggestion(model.partition(':')[0], registry.separators)}"
        )
    _fetch_weights(service, model)
    root = open_workspace().root
    started = None
    runtime = make_runtime(root)
    if not runtime.is_remote(service):
        folder = find_folder(service.name, registry)
        with showing_lines() as show_line:
            started = start_service(folder, root, show_line)
    runtime.close()
    try:
        _require(model, service.name)
        yield
    finally:
        if started is not None and started in running_services(root):
            started.stop()


def _fetch_weights(service: Service, model: str) -> None:
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(pinned_weights(service))
        except NotFound:
            return  # it pins none
        folder = store.weights_folder(service.name).parent
        # The service's name stands for its default model.
        name = "" if model == service.name else model.removeprefix(f"{service.name}:")
        files = store.load(path, folder).of(name)
        if store.verify(path, folder, [name]):
            print_message(f"fetching the weights of {model}: {', '.join(one.name for one in files)}")
            with byte_bars() as show:
                store.fetch(path, folder, [name], progress=show)


def _require(model: str, service: str) -> None:
    """Wait until the service offers `model`."""
    runtime = make_runtime(open_workspace().root)
    deadline = time.monotonic() + _WAIT_SECONDS
    try:
        while reason := _missing(model, *survey(runtime, [runtime.registry.separators[service]])):
            if time.monotonic() > deadline:
                raise NotReady(f"{service} does not offer {model}: {reason}")
            time.sleep(1.0)
    finally:
        runtime.close()


def _missing(model: str, health: ServiceHealth) -> str:
    if not health.ready:
        return health.reason
    offered = {one.name: one.reason for one in health.separators}
    return offered.get(model, f"it offers {', '.join(offered)}")
