"""The models in the composed system: without weights they report what is missing, with weights they are benchmarked.

The weights are small random ones. The image of each service makes them with its own library.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from comparing import read_table
from composed import PROJECT, ROOT, System, docker

MODELS = {"demucs": "tiny_ft", "openunmix": "tiny", "spleeter": "tiny.json", "msst": "tiny"}
WEIGHTS = f"{PROJECT}_weights"


def test_without_weights_the_others_are_benchmarked(system: System) -> None:
    body = {"dataset": "data/demo", "separators": ["oracle-mixture", *MODELS], "tracks": 1, "bsseval": False}
    status = system.wait_until_complete(system.post("/runs", body)["id"])
    assert status["progress"]["failed"] == 0
    assert len(system.get(f"/runs/{status['id']}/results")) == 2 * 4
    oracle, *models = system.get(f"/runs/{status['id']}")["separators"]
    assert (oracle["name"], oracle["status"]) == ("oracle-mixture", "available")
    assert [model["name"] for model in models] == list(MODELS)
    for model in models:
        assert model["status"] == "unavailable"
        assert f"mssbench weights fetch {model['name']}" in model["reason"]
        assert "is missing" in model["reason"]


def test_containers_have_limited_privileges_and_memory(system: System) -> None:
    for container in system.containers():
        (inspected,) = json.loads(docker("inspect", container["ID"]))
        host = inspected["HostConfig"]
        name = container["Service"]
        assert host["ReadonlyRootfs"] is True, name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] == 1024, name
        if name in MODELS:
            (weights,) = [mount for mount in inspected["Mounts"] if mount["Destination"] == "/weights"]
            assert weights["RW"] is False, name


@pytest.fixture(scope="module")
def with_weights(system: System) -> System:
    """The system with small weights in its volume, and models that use them."""
    for name, model in MODELS.items():
        tests = f"{ROOT}/services/{name}/tests:/tests:ro"
        docker(
            "run", "--rm", "--network", "none", "--volume", tests, "--volume", f"{WEIGHTS}:/made",
            f"mssbench/{name}", "python3", "/tests/make_checkpoint.py", "/made",
        )  # fmt: skip
        system.environment[f"{name.upper()}_MODEL"] = model
    # One thread each, because three models with many threads slow each other down on few cores.
    system.environment["THREADS"] = "1"
    system.compose("up", "--detach", "--wait")
    return system


def service_states(system: System) -> dict[str, dict[str, Any]]:
    output = json.loads(system.compose("exec", "-T", "orchestrator", "mssbench", "services", "--json"))
    return {service["name"]: service for service in output}


def test_services_lists_all_as_ready_with_their_weights(with_weights: System) -> None:
    found = service_states(with_weights)
    assert [s["reason"] for s in found.values() if s["state"] != "ready"] == []
    for name, model in MODELS.items():
        assert found[name]["model"] == model
        assert found[name]["device"] == "cpu"
        assert found[name]["where"] == f"http://{name}:8000"
        for weight in found[name]["weights"]:
            inside = f"$(find /weights/{name} -name '{weight['file']}' | head -n 1)"
            digest = with_weights.compose("exec", "-T", name, "sh", "-c", f'sha256sum "{inside}"').split()[0]
            assert weight["sha256"] == digest


def test_a_benchmark_through_all_separators(with_weights: System, tmp_path: Path) -> None:
    body: dict[str, Any] = {
        "dataset": "data/demo",
        "separators": ["oracle-irm", *MODELS],
        "tracks": 2,
        "bsseval": False,
    }
    status = with_weights.wait_until_complete(with_weights.post("/runs", body)["id"])
    assert status["progress"]["failed"] == 0
    assert status["problem"] == ""
    table = read_table(with_weights.download(f"/runs/{status['id']}/results.csv", tmp_path / "results.csv"))
    assert len(table) == 2 * len(body["separators"]) * 2 * 4
    for (_, separator, _, _), row in table.items():
        assert row["status"] in ("ok", "undefined"), (separator, row["reason"])
    assert all(
        any(row["SSR"] for key, row in table.items() if key[1] == separator)
        for separator in body["separators"]
    )
    with_weights.compose("cp", f"orchestrator:/bench/runs/{status['id']}", str(tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    found = service_states(with_weights)
    for separator in record["separators"][1:]:
        name = separator["name"]
        assert separator["status"] == "available"
        assert separator["device"] == "cpu"
        assert separator["details"]["model"] == MODELS[name]
        assert separator["details"]["weights"] == found[name]["weights"]
        assert separator["details"]["weights"]
        assert {"msst": "pymss-core"}.get(name, name) in separator["details"]["libraries"]
        results = list((tmp_path / "run" / "cells").glob(f"*/{name}/*/result.json"))
        assert len(results) == 4
        for path in results:
            result = json.loads(path.read_text(encoding="utf-8"))
            assert result["device"] == "cpu"
            assert result["details"]["weights"] == separator["details"]["weights"]


def test_one_track_from_the_command_line(with_weights: System) -> None:
    command = 'mssbench separate "$(ls -d data/demo/test/*/ | head -n 1)mixture.wav" --separator spleeter -o /tmp/stems'
    output = with_weights.compose("exec", "-T", "orchestrator", "sh", "-c", command)
    assert [Path(line).name for line in output.splitlines()] == [
        "bass.wav",
        "drums.wav",
        "other.wav",
        "vocals.wav",
    ]


@pytest.mark.parametrize("name", list(MODELS))
def test_with_weights_in_place_no_network_is_needed(with_weights: System, name: str) -> None:
    container = f"{PROJECT}-{name}-offline"
    docker("rm", "--force", container, check=False)
    docker(
        "run", "--detach", "--name", container, "--network", "none", "--read-only", "--tmpfs", "/tmp",
        "--volume", f"{WEIGHTS}:/weights:ro", "--env", f"{name.upper()}_MODEL={MODELS[name]}",
        "--env", "HOME=/tmp", f"mssbench/{name}",
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 600
        while "still" in (output := health_of(container)) and time.monotonic() < deadline:
            time.sleep(1)
        assert output == "ready"
    finally:
        docker("rm", "--force", container)


def health_of(container: str) -> str:
    """What the service says of itself; one that does not answer yet is still starting."""
    output = docker("exec", container, "python3", "-m", "mssbench_service.healthcheck", check=False).strip()
    return "still silent" if "does not answer" in output else output
