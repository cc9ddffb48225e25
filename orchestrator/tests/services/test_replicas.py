"""Tracks are spread over the replicas of a service, which may start and stop at any time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import soundfile as sf
from mssbench.services.http import HttpTransport, addresses_of
from mssbench.services.registry import Registry, Service
from mssbench.services.runtime import Runtime
from mssbench.settings.limits import Limits
from mssbench_contract import music
from mssbench_contract.server import free_port
from mssbench_service.errors import Busy, Interrupted, TimedOut, Unavailable, Unreachable
from mssbench_service.files import DataRoot
from mssbench_service.wire import SeparateRequest

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
TRACKS = 12


class Replicas:
    """Servers of the template's separator: one per address, all on the same port."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, address: str, **settings: str) -> None:
        command = [sys.executable, "-m", "uvicorn", "template_service.app:app", "--host", address]
        environment = os.environ | {"MSSBENCH_DATA_ROOT": str(self.root), "OPENBLAS_NUM_THREADS": "1"}
        with self.log(address).open("wb") as log:
            self.running[address] = subprocess.Popen(
                [*command, "--port", str(self.port)], env=environment | settings, stdout=log, stderr=log
            )

    def wait(self) -> None:
        for address, process in self.running.items():
            for _ in range(2400):
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"http://{address}:{self.port}/health").is_success:
                        break
                assert process.poll() is None, self.log(address).read_text()
                time.sleep(0.1)

    def kill(self, address: str) -> None:
        process = self.running.pop(address)
        process.kill()
        process.wait()

    def log(self, address: str) -> Path:
        return self.root / f"{address}.log"

    def served(self, address: str) -> int:
        """Return the number of tracks that the replica has separated."""
        lines = self.log(address).read_text().splitlines()
        return sum("POST /separate" in line and " 200" in line for line in lines)


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    sf.write(tmp_path / "mixture.wav", music(8.0).T, 44100, subtype="FLOAT")
    replicas = Replicas(tmp_path)
    yield replicas
    for address in list(replicas.running):
        replicas.kill(address)


@contextlib.contextmanager
def client(replicas: Replicas, addresses: list[str], limits: Limits | None = None) -> Iterator[Runtime]:
    """Yield a runtime that resolves the service's name to `addresses`. The list may change."""
    transport = HttpTransport(limits or Limits(), resolve=lambda host, port: list(addresses))
    service = Service("template", "template_service", f"http://separator.example:{replicas.port}")
    yield Runtime(transport, Registry({}, {"template": service}), DataRoot(replicas.root))
    transport.close()


def separate(runtime: Runtime, number: int) -> None:
    runtime.separate("template", SeparateRequest("mixture.wav", f"out/{number}"), 20.0)


def separate_with_retries(runtime: Runtime, number: int) -> None:
    """Retry as a worker does when a replica closes the connection."""
    for _ in range(60):
        try:
            return separate(runtime, number)
        except Unavailable:
            time.sleep(0.5)
    raise AssertionError("no replica took the track")


def test_tracks_are_spread_over_replicas_and_survive_a_killed_one(replicas: Replicas) -> None:
    addresses = list(ADDRESSES)
    for address in addresses:
        replicas.start(address)
    replicas.wait()
    with client(replicas, addresses) as runtime, ThreadPoolExecutor(3) as workers:
        list(workers.map(lambda number: separate(runtime, number), range(TRACKS)))
        shares = [replicas.served(address) for address in ADDRESSES]
        assert sum(shares) == TRACKS
        assert all(shares), shares

        # Kill one replica during the second half. Its address stays resolvable for a short time.
        rest = [workers.submit(separate_with_retries, runtime, TRACKS + number) for number in range(TRACKS)]
        rest[0].result()
        replicas.kill(ADDRESSES[0])
        time.sleep(0.2)
        addresses.remove(ADDRESSES[0])
        for future in rest:
            future.result()
    done = sorted(replicas.root.glob("out/[0-9]*/separation.json"), key=lambda path: int(path.parent.name))
    assert len(done) == 2 * TRACKS
    contents = {path.with_name("drums.wav").read_bytes() for path in done}
    assert len(contents) == 1, "replicas give different results"


def test_a_replica_that_starts_later_gets_tracks(replicas: Replicas) -> None:
    addresses = ADDRESSES[:1]
    replicas.start(addresses[0])
    replicas.wait()
    with client(replicas, addresses) as runtime, ThreadPoolExecutor(2) as workers:
        separate(runtime, 0)
        replicas.start(ADDRESSES[1])
        addresses.append(ADDRESSES[1])  # before it listens
        separate(runtime, 1)
        replicas.wait()
        list(workers.map(lambda number: separate(runtime, number), range(2, 8)))
    assert replicas.served(ADDRESSES[1]) >= 1


def test_a_call_raises_busy_only_if_all_replicas_are_busy(replicas: Replicas) -> None:
    addresses = ADDRESSES[:2]
    for address in addresses:
        replicas.start(address, MSSBENCH_QUEUE="0")
    replicas.wait()
    with client(replicas, addresses) as runtime, ThreadPoolExecutor(8) as workers:
        futures = [workers.submit(separate, runtime, number) for number in range(8)]
        errors = [future.exception() for future in futures]
    assert [type(error) for error in errors if error is not None] == [Busy] * sum(map(bool, errors))
    assert any(errors), "two replicas without a queue accepted eight tracks at once"
    assert all(replicas.served(address) for address in addresses), (
        "a replica was idle while tracks were refused"
    )


def answering(listener: socket.socket, answer: bytes | None) -> None:
    """Accept a connection, read the request, and send `answer`; None: wait until the client closes the connection."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        if answer is None:
            while connection.recv(65536):
                pass
        else:
            connection.sendall(answer)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (None, TimedOut, "did not answer within 0.5 s"),
        (b"", Interrupted, "closed the connection"),
        (b"220 smtp.example ESMTP\r\n", Interrupted, "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", Interrupted, "closed the connection"),
    ],
    ids=["no answer", "closed", "another protocol", "incomplete answer"],
)
def test_a_step_that_may_have_started_is_not_sent_to_another_replica(
    tmp_path: Path, answer: bytes | None, kind: type[Exception], says: str
) -> None:
    """Otherwise a track that crashes its separator would crash all replicas one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as server:
        server.submit(answering, listener, answer)
        service = Service("one", "one", f"http://name.example:{listener.getsockname()[1]}")
        limits = Limits(step_seconds=0.5 if answer is None else 60.0)
        transport = HttpTransport(limits, resolve=lambda host, port: ["127.0.0.1"])
        runtime = Runtime(transport, Registry({}, {"one": service}), DataRoot(tmp_path))
        with pytest.raises(kind, match=says):
            runtime.separate("one", SeparateRequest("a.wav", "out"), 0.0)
        transport.close()


def test_a_host_name_without_an_address_is_unreachable() -> None:
    with pytest.raises(Unreachable, match=r"nowhere\.invalid has no address"):
        addresses_of("nowhere.invalid", 80)
    assert "127.0.0.1" in addresses_of("localhost", 80)
