"""``mssbench serve`` on a machine without Redis and workers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import soundfile as sf
from mssbench_service.musdb import STEMS

RATE = 8000


def write_dataset(folder: Path) -> None:
    noise = np.random.default_rng(1)
    stems = {stem: 0.1 * noise.standard_normal((RATE, 2)) for stem in STEMS}
    folder.mkdir(parents=True)
    for name, audio in {**stems, "mixture": sum(stems.values())}.items():
        sf.write(folder / f"{name}.wav", audio, RATE, subtype="FLOAT")


def test_a_run_that_was_launched_is_executed_without_redis_and_workers(tmp_path: Path) -> None:
    write_dataset(tmp_path / "music" / "test" / "A song")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MSSBENCH_REDIS")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mssbench", "serve", "--port", str(port)],
            env=environment | {"MSSBENCH_DATA_ROOT": str(tmp_path)},
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            run = {
                "dataset": "music",
                "separators": ["oracle-identity"],
                "conditions": ["stereo"],
                "bsseval": False,
            }
            deadline = time.monotonic() + 120
            answer = None
            while answer is None or answer.status_code == 503:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
                with contextlib.suppress(httpx.TransportError):
                    answer = client.post("/runs", params={"name": "first"}, json=run)
            assert answer.status_code == 202, answer.text
            assert answer.json()["id"] == "first"
            progress = answer.json()["progress"]
            while progress["ended"] < progress["cells"]:  # the report, which follows, takes longest
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.2)
                progress = client.get("/runs/first").json()["progress"]
            assert (progress["cells"], progress["failed"]) == (1, 0)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert f"dashboard: http://127.0.0.1:{port}/" in (tmp_path / "log").read_text()
    # What the page of the run shows can be sent again.
    command = json.loads((tmp_path / "runs" / "first" / "run.json").read_text())["command"]
    method, _, body = command.partition(" {")
    assert method == "POST /runs?name=first"
    assert json.loads("{" + body)["separators"] == ["oracle-identity"]
