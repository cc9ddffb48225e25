"""Which device a model computes on, and that each replica gets its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from mssbench_service import devices
from mssbench_service.devices import chosen_device
from mssbench_service.errors import BadInput, NotReady

HOLDER = """
import sys
from mssbench_service.devices import chosen_device
from mssbench_service.errors import NotReady
try:
    print(chosen_device(sys.argv[1], "Library 1", lambda: 2), flush=True)
except NotReady as error:
    print(error.detail, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("asked", "found", "chosen"),
    [
        ("", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("CPU", 2, "cpu"),
        (" cuda ", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_the_device_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, found: int, chosen: str
) -> None:
    monkeypatch.setenv("DEVICE", asked)
    assert chosen_device("demucs", "Library 1", lambda: found) == chosen


@pytest.mark.parametrize(("asked", "found"), [("cuda", 0), ("cuda:1", 1), ("cuda:free", 0)])
def test_no_other_device_instead_of_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, asked: str, found: int
) -> None:
    monkeypatch.setenv("DEVICE", asked)
    with pytest.raises(NotReady, match=rf"DEVICE={asked}, but Library 1 finds {found} CUDA device\(s\)"):
        chosen_device("demucs", "Library 1", lambda: found)


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:free1", "mps", "cpu,cuda"])
def test_other_devices_are_refused(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("DEVICE", asked)
    with pytest.raises(BadInput, match=f"DEVICE='{asked}'; expected auto, cpu, cuda"):
        chosen_device("demucs", "Library 1", lambda: 8)


def test_the_cpu_is_chosen_without_looking_for_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE", "cpu")
    assert chosen_device("demucs", "Library 1", lambda: pytest.fail("asked")) == "cpu"


class Replica:
    """A process that asks for a free device, of two, and keeps it until it is killed."""

    def __init__(self, root: Path, service: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"DEVICE": "cuda:free", "MSSBENCH_DATA_ROOT": str(root)},
        )
        assert self._process.stdout is not None
        self.got = self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def test_each_replica_has_a_device_of_its_own_until_it_dies(tmp_path: Path) -> None:
    replicas = [Replica(tmp_path, "demucs") for _ in range(3)]
    elsewhere = Replica(tmp_path, "openunmix")
    try:
        first, second, third = replicas
        assert (first.got, second.got) == ("cuda:0", "cuda:1")
        assert third.got == "DEVICE=cuda:free, but other replicas of demucs have all 2 CUDA device(s)"
        assert elsewhere.got == "cuda:0"  # of another service: it may share a device with it
        first.kill()
        replicas.append(Replica(tmp_path, "demucs"))
        assert replicas[-1].got == "cuda:0"
    finally:
        for replica in (*replicas, elsewhere):
            replica.kill()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where replicas lock devices; this process asks for a free one."""
    held: dict[Path, IO[str]] = {}
    monkeypatch.setattr(devices, "_held", held)
    monkeypatch.setenv("DEVICE", "cuda:free")
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(tmp_path))
    yield tmp_path
    for lock in held.values():
        lock.close()


def test_a_replica_keeps_its_device_when_it_asks_again(root: Path) -> None:
    assert [chosen_device("demucs", "Library 1", lambda: 2) for _ in range(3)] == ["cuda:0"] * 3


def test_a_free_device_needs_a_place_for_its_lock(root: Path) -> None:
    (root / "runs").write_text("a file")
    with pytest.raises(NotReady, match="needs to lock files in"):
        chosen_device("demucs", "Library 1", lambda: 2)
