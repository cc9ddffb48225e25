"""The composed system as a lab uses it: settings that last, services that are away, several runs at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from composed import ROOT, System
from mssbench_contract.server import free_port, wait_for

RUN = {"dataset": "data/demo", "separators": ["oracle-mixture", "oracle-irm"], "bsseval": False}
UID = os.getuid() or 4242


def test_a_stopped_service_is_waited_for(system: System) -> None:
    run = system.post("/runs", RUN | {"seed": 40})["id"]
    system.compose("stop", "--timeout", "1", "oracle")
    wait_for(
        lambda: system.get(f"/runs/{run}")["waiting_for"] == ["oracle"], "the run says what it waits for"
    )
    system.compose("start", "oracle")
    status = system.wait_until_complete(run)
    assert (status["progress"]["failed"], status["waiting_for"]) == (0, [])


def test_a_short_run_does_not_wait_for_the_end_of_a_long_one(system: System) -> None:
    long = system.post("/runs", RUN | {"seed": 41, "separators": ["oracle"], "bsseval": True})["id"]
    wait_for(lambda: system.get(f"/runs/{long}")["progress"]["separated"], "the long run has started")
    short = system.post("/runs", RUN | {"seed": 42, "separators": ["oracle-mixture"], "tracks": 1})["id"]
    assert system.wait_until_complete(short)["progress"]["failed"] == 0
    progress = system.get(f"/runs/{long}")["progress"]
    assert progress["ended"] < progress["cells"]
    system.post(f"/runs/{long}/cancel", {})


@pytest.fixture
def lab(tmp_path: Path, system: System) -> Iterator[System]:
    """A system with the settings of ``./mssbench-compose init``, in a folder of its own. It uses the built images."""
    for name in ("docker-compose.yml", "mssbench-compose"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([tmp_path / "mssbench-compose", "init"], check=True, timeout=60)
    port = free_port()
    settings = {
        "MSSBENCH_UID": UID,
        "MSSBENCH_GID": os.getgid() or UID,
        "MSSBENCH_PORT": port,
        "EVALUATE_WORKERS": 4,
    }
    settings |= {f"{name}_REPLICAS": 0 for name in ("DEMUCS", "OPENUNMIX", "SPLEETER", "MSST")}
    text = (tmp_path / ".env").read_text()
    for name, value in settings.items():
        text = re.sub(rf"(?m)^{name}=.*$", f"{name}={value}", text)
    (tmp_path / ".env").write_text(text)
    for name in ("data", "runs", "weights"):
        os.chown(tmp_path / name, UID, settings["MSSBENCH_GID"])
    lab = System(port, tmp_path, "mssbench-lab", str(tmp_path / ".env"))
    del lab.environment["MSSBENCH_PORT"]
    yield lab
    lab.compose("down", "--volumes")


def test_the_settings_of_init_last(lab: System, tmp_path: Path) -> None:
    def up() -> None:
        lab.compose("up", "--detach", "--wait", "--no-build")

    def page() -> str:
        with urllib.request.urlopen(lab.url, timeout=30) as answer:
            return str(answer.read().decode())

    up()
    assert lab.compose("exec", "-T", "orchestrator", "id", "-u").strip() == str(UID)
    lab.compose("exec", "-T", "orchestrator", "touch", "/weights/written")
    lab.compose("exec", "-T", "orchestrator", "mssbench", "data", "demo", "data/demo")
    run = lab.post("/runs", RUN | {"separators": ["oracle"], "bsseval": True})["id"]
    running = "import urllib.request as u; print(u.urlopen('http://localhost:8000/metrics').read().decode())"
    wait_for(
        lambda: (
            'mssbench_jobs_now{state="running"} 4.0'
            in lab.compose("exec", "-T", "evaluator", "python3", "-c", running)
        ),
        "four workers keep four evaluations running",
    )
    lab.post(f"/runs/{run}/cancel", {})
    assert (tmp_path / "runs" / run / "run.json").stat().st_uid == UID

    lab.compose("down")
    up()
    assert [one["id"] for one in lab.get("/runs")] == [run]
    assert len(lab.compose("ps", "--quiet", "worker-evaluate").split()) == 4
    assert 'id="storage"' not in page()

    lab.env_file = "/dev/null"  # the settings are lost
    lab.environment["MSSBENCH_PORT"] = lab.url.rpartition(":")[2]
    lab.compose("up", "--detach", "--wait", "--no-build", "orchestrator")
    assert "the system had 1 runs in another folder or volume" in page()


def test_new_volumes_are_writable_for_every_user(system: System) -> None:
    other = System(0, project="mssbench-any")  # volumes of its own
    write = "touch /weights/a /bench/data/b /bench/runs/c && echo written"
    try:
        said = other.compose(
            "run", "--rm", "--no-deps", "--user", "4343:4343", "orchestrator", "sh", "-c", write
        )
        assert said.strip() == "written"
    finally:
        other.compose("down", "--volumes")
