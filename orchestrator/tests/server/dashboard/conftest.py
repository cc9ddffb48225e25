"""A running orchestrator: the real service, a real Redis, real workers, two short tracks."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from browsing import chromium
from mssbench.execution.embedded import embedded_redis, embedded_workers

TITLE = "<img src=x onerror=alert(1)> & <b>bold"
"""Title of a track, with markup that would take effect if it were not escaped."""


@dataclass(frozen=True)
class System:
    """A running orchestrator."""

    url: str
    root: Path
    marked: str = TITLE

    def state(self, run_id: str) -> str:
        return str(httpx.get(f"{self.url}/runs/{run_id}", timeout=60).json()["state"])

    def damage(self, title: str, stem: str = "vocals") -> None:
        """Put a NaN into a stem; :meth:`repair` restores the file."""
        path = self.root / "data" / "music" / "test" / title / f"{stem}.wav"
        shutil.copy2(path, self.root / "kept.wav")
        audio, rate = sf.read(path)
        audio[1000] = np.nan
        sf.write(path, audio, rate, subtype="FLOAT")

    def repair(self, title: str, stem: str = "vocals") -> None:
        path = self.root / "data" / "music" / "test" / title / f"{stem}.wav"
        os.replace(self.root / "kept.wav", path)


@contextlib.contextmanager
def serving(root: Path, redis_url: str, ready: str = "/health", **environment: str) -> Iterator[System]:
    """``mssbench serve`` over `root`, until the block ends. It starts when it answers the path `ready`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = root / "service.log"
    settings = {"MSSBENCH_DATA_ROOT": str(root), "MSSBENCH_REDIS_URL": redis_url}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mssbench", "serve", "--port", str(port)],
            env=os.environ | settings | environment,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}{ready}", process, log)
        yield System(f"http://127.0.0.1:{port}", root)
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=10).is_success:
                return
        time.sleep(0.2)
    raise AssertionError(f"the orchestrator did not become ready: {log.read_text()[-2000:]}")


def make_root(folder: Path, tracks: Path) -> Path:
    """A data root with the dataset ``data/music``. One title holds markup."""
    dataset = folder / "data" / "music"
    shutil.copytree(tracks, dataset, copy_function=shutil.copy2)
    last = sorted((dataset / "test").iterdir())[-1]
    last.rename(last.with_name(TITLE))
    return folder


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[System]:
    root = make_root(tmp_path_factory.mktemp("root"), _demo_tracks)
    queues = ("render", "evaluate", "separate-oracle")
    with (
        embedded_redis() as redis_url,
        serving(root, redis_url) as system,
        embedded_workers(redis_url, root, queues),
    ):
        yield system


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[System]:
    """An orchestrator with a token and without workers."""
    root = make_root(tmp_path_factory.mktemp("guarded"), _demo_tracks)
    with embedded_redis() as redis_url, serving(root, redis_url, MSSBENCH_TOKEN="sesame") as system:
        yield system


@pytest.fixture(scope="module")
def stranded(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[System]:
    """An orchestrator whose Redis does not answer."""
    root = make_root(tmp_path_factory.mktemp("stranded"), _demo_tracks)
    with serving(root, "redis://127.0.0.1:1/0", ready="/") as system:
        yield system


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser
