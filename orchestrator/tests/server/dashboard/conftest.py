"""A running orchestrator: the real service, a real Redis, real workers, two short tracks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from browsing import chromium
from mssbench.execution.embedded import embedded_server, embedded_workers
from mssbench_contract.server import orchestrator

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
        embedded_server() as redis,
        orchestrator(root, redis.url) as service,
        embedded_workers(redis.url, root, queues),
    ):
        yield System(service.url, root)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[System]:
    """An orchestrator with a token and without workers."""
    root = make_root(tmp_path_factory.mktemp("guarded"), _demo_tracks)
    token = {"MSSBENCH_TOKEN": "sesame"}
    with embedded_server() as redis, orchestrator(root, redis.url, token) as service:
        yield System(service.url, root)


@pytest.fixture(scope="module")
def stranded(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[System]:
    """An orchestrator whose Redis does not answer."""
    root = make_root(tmp_path_factory.mktemp("stranded"), _demo_tracks)
    with orchestrator(root, "redis://127.0.0.1:1/0") as service:
        yield System(service.url, root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser
