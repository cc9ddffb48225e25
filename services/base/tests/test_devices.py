"""Tests of the choice of device and number of threads, and of the lock on a device."""

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
from mssbench_service.environment import processors
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
    ("setting", "found", "chosen"),
    [("", 0, "cpu"), ("auto", 2, "cuda"), ("CPU", 2, "cpu"), (" cuda ", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_device_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, setting: str, found: int, chosen: str
) -> None:
    monkeypatch.setenv("DEVICE", setting)
    assert chosen_device("demucs", "Library 1", lambda: found) == chosen


@pytest.mark.parametrize(("setting", "found"), [("cuda", 0), ("cuda:1", 1), ("cuda:free", 0)])
def test_a_missing_device_is_an_error(monkeypatch: pytest.MonkeyPatch, setting: str, found: int) -> None:
    monkeypatch.setenv("DEVICE", setting)
    with pytest.raises(NotReady, match=rf"DEVICE={setting}, but Library 1 finds {found} CUDA device\(s\)"):
        chosen_device("demucs", "Library 1", lambda: found)


@pytest.mark.parametrize("setting", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:free1", "mps", "cpu,cuda"])
def test_an_invalid_device_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("DEVICE", setting)
    with pytest.raises(BadInput, match=f"DEVICE='{setting}'; expected auto, cpu, cuda"):
        chosen_device("demucs", "Library 1", lambda: 8)


def test_cuda_devices_are_not_counted_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVICE", "cpu")
    assert chosen_device("demucs", "Library 1", lambda: pytest.fail("counted the devices")) == "cpu"


class Replica:
    """A process that requests a free device out of two, and holds it until it is killed."""

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


def test_each_replica_holds_a_different_device_until_it_exits(tmp_path: Path) -> None:
    replicas = [Replica(tmp_path, "demucs") for _ in range(3)]
    elsewhere = Replica(tmp_path, "openunmix")
    try:
        first, second, third = replicas
        assert (first.got, second.got) == ("cuda:0", "cuda:1")
        assert third.got == "DEVICE=cuda:free, but other replicas of demucs have all 2 CUDA device(s)"
        assert elsewhere.got == "cuda:0"  # replicas of different services may share a device
        first.kill()
        replicas.append(Replica(tmp_path, "demucs"))
        assert replicas[-1].got == "cuda:0"
    finally:
        for replica in (*replicas, elsewhere):
            replica.kill()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Data root with the lock files; this process requests a free device."""
    held: dict[Path, IO[str]] = {}
    monkeypatch.setattr(devices, "_held", held)
    monkeypatch.setenv("DEVICE", "cuda:free")
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(tmp_path))
    yield tmp_path
    for lock in held.values():
        lock.close()


def test_a_replica_keeps_its_device_when_setup_runs_again(root: Path) -> None:
    assert [chosen_device("demucs", "Library 1", lambda: 2) for _ in range(3)] == ["cuda:0"] * 3


def test_an_unwritable_lock_folder_is_an_error(root: Path) -> None:
    (root / "runs").write_text("a file")
    with pytest.raises(NotReady, match="needs to lock files in"):
        chosen_device("demucs", "Library 1", lambda: 2)


def test_threads_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "3")
    assert devices.thread_count() == 3
    monkeypatch.delenv("THREADS")
    assert devices.thread_count() == processors()
