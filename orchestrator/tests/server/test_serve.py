"""``mssbench serve`` on a machine without Redis and workers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
from mssbench_contract.server import orchestrator


def test_a_run_that_was_launched_is_executed_without_redis_and_workers(workspace: Path) -> None:
    run = {
        "dataset": "music",
        "separators": ["oracle-identity"],
        "conditions": ["stereo"],
        "tracks": 1,
        "bsseval": False,
    }
    with (
        orchestrator(workspace, redis_url="") as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        answer = client.post("/runs", params={"name": "first"}, json=run)
        assert answer.status_code == 202, answer.text
        assert answer.json()["id"] == "first"
        progress = answer.json()["progress"]
        while progress["ended"] < progress["cells"]:  # the report, which follows, takes longest
            time.sleep(0.2)
            progress = client.get("/runs/first").json()["progress"]
        assert (progress["cells"], progress["failed"]) == (1, 0)
        service.process.terminate()
        assert service.process.wait(timeout=60) == 0
        assert f"dashboard: {service.url}/" in service.log.read_text()
    # What the page of the run shows can be sent again.
    command = json.loads((workspace / "runs" / "first" / "run.json").read_text())["command"]
    method, _, body = command.partition(" {")
    assert method == "POST /runs?name=first"
    assert json.loads("{" + body)["separators"] == ["oracle-identity"]
