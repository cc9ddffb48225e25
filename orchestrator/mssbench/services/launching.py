"""Start services on this machine, each in its own environment: ``mssbench services start``."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from mssbench_service.download import folder_lock
from mssbench_service.errors import BadInput, BenchError, NotReady, Starting, TimedOut, Unreachable
from mssbench_service.files import make_folder

from .environments import ServiceFolder, Show, environment_python
from .http import HttpTransport
from .local import LocalService, file_of, process_start, running_services, state_folder
from .registry import Service

START_SECONDS = 600.0
"""Time that a service has until it is ready: libraries may load from a slow disk."""

_ATTEMPTS = 3  # another process may take a free port before the service does


def start_service(
    service: ServiceFolder,
    root: Path,
    show: Show,
    *,
    port: int = 0,
    python: str = "",
    seconds: float = START_SECONDS,
) -> LocalService:
    """Start `service` for the data root `root`, wait until it is ready, and register it.

    One that runs already is kept. A service that does not become ready within `seconds` is stopped. By default, the
    port is a free one. `python` is the interpreter for a new environment.

    Raises
    ------
    BadInput, NotFound, StepFailed
        As :func:`~mssbench.services.environments.environment_python`; also if `port` is taken.
    NotReady
        It ended, lacks something such as its weights, or was not ready in time. The message names the log.
    """
    _require_free(port)
    with folder_lock(make_folder(state_folder())):
        if found := [one for one in running_services(root) if one.name == service.name]:
            return found[0]
        log = file_of(service.name, root, ".environment.log")
        executable = environment_python(service, log, show, python)
        show(f"starting {service.name}")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return _start(service, executable, root.resolve(), port or _free_port(), seconds)
            except _PortTaken:
                if port or attempt == _ATTEMPTS:
                    raise
    raise AssertionError("unreachable")


class _PortTaken(NotReady):
    pass


def _start(service: ServiceFolder, python: Path, root: Path, port: int, seconds: float) -> LocalService:
    uvicorn = ["-m", "uvicorn", f"{service.module}.app:app", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        "MSSBENCH_DATA_ROOT": str(root),
        "PYTHONPATH": service.import_path,
        "PYTHONDONTWRITEBYTECODE": "1",  # the packages are in folders of the user
    }
    with file_of(service.name, root, ".log").open("wb") as output:
        process = subprocess.Popen(
            [str(python), *uvicorn], cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    started = LocalService(
        service.name, service.module, url, str(root), process.pid, process_start(process.pid)
    )
    try:
        started.save()  # before it is ready, so that it can be stopped if this process is killed
        _wait(started, process, seconds)
    except BaseException:
        started.stop()
        process.wait()
        raise
    process.returncode = 0  # it outlives this process, which Popen would warn of
    return started


def _wait(service: LocalService, process: subprocess.Popen[bytes], seconds: float) -> None:
    transport = HttpTransport()
    deadline = time.monotonic() + seconds
    try:
        while True:
            if process.poll() is not None:
                output = service.log.read_text(encoding="utf-8", errors="replace").strip() or "no output"
                kind = _PortTaken if "address already in use" in output else NotReady
                code = process.returncode
                how = f"exit code {code}" if code >= 0 else f"signal {-code}"
                last = output.splitlines()[-1][-300:]
                raise kind(f"{service.name} ended ({how}): {last}; log: {service.log}")
            try:
                transport.info(Service(service.name, service.module, service.url))
                return
            except (Starting, Unreachable, TimedOut) as error:
                if time.monotonic() > deadline:
                    reason = f"{service.name} was not ready within {seconds:g} s: {error.detail}"
                    raise NotReady(f"{reason}; log: {service.log}") from None
            except BenchError as error:
                raise NotReady(f"{service.name} is not ready: {error.detail}; log: {service.log}") from None
            time.sleep(0.2)
    finally:
        transport.close()


def _require_free(port: int) -> None:
    if not port:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise BadInput(
                f"the port {port} cannot be used: {getattr(error, 'strerror', None) or error}"
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
