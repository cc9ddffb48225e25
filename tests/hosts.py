"""Machines that share nothing but a bucket and a Redis."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

URL = "s3://lab/bench"


class Bucket:
    """The data root in the bucket, as a person with the keys sees it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self) -> set[str]:
        """The names of all files."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="lab", Prefix="bench/")
        return {found["Key"].removeprefix("bench/") for page in pages for found in page.get("Contents", [])}

    def put(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket="lab", Key=f"bench/{name}", Body=content)

    def get(self, name: str) -> bytes:
        content: bytes = self._client.get_object(Bucket="lab", Key=f"bench/{name}")["Body"].read()
        return content

    def clear(self) -> None:
        for name in self():
            self._client.delete_object(Bucket="lab", Key=f"bench/{name}")


class Host:
    """A machine: an empty folder, a cache of its own, and what it was told."""

    def __init__(self, folder: Path, **told: str) -> None:
        (folder / "home").mkdir(parents=True)
        self.folder = folder
        cleared = {
            name: value for name, value in os.environ.items() if not name.startswith(("MSSBENCH_", "AWS_"))
        }
        quick = {"MSSBENCH_HEARTBEAT_SECONDS": "1", "MSSBENCH_SILENCE_SECONDS": "6", "MSSBENCH_LOG": "text"}
        self.environment = (
            cleared | quick | {"OPENBLAS_NUM_THREADS": "1", "HOME": str(folder / "home")} | told
        )
        self.environment.pop("XDG_CACHE_HOME", None)

    def start(self, *arguments: str, module: str = "mssbench") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mssbench", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def cached(self, name: str) -> Path:
        (found,) = (self.folder / "home/.cache/mssbench").glob(f"*/{name}")
        return found


def wait_until(true: Callable[[], Any], what: str, process: subprocess.Popen[str] | None = None) -> None:
    for _ in range(3000):
        if true():
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended before {what}: {process.communicate()[0][-3000:]}")
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


@contextlib.contextmanager
def running(host: Host, *arguments: str, module: str = "mssbench") -> Iterator[subprocess.Popen[str]]:
    process = host.start(*arguments, module=module)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def results(names: set[str]) -> list[str]:
    return [name for name in names if name.endswith("/result.json")]
