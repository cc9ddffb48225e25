"""The composed system with its own project name, port and volumes, for the tests in ``tests/compose``."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "mssbench-test"


class System:
    """The composed system of `checkout`. Its compose file reads `environment`."""

    def __init__(
        self, port: int, checkout: Path = ROOT, project: str = PROJECT, env_file: str = "/dev/null"
    ) -> None:
        self.env_file = env_file  # not the settings of the user of the checkout
        self.url = f"http://127.0.0.1:{port}"
        self.environment = os.environ | {"MSSBENCH_PORT": str(port), "COMPOSE_PROJECT_NAME": project}
        self._checkout = checkout

    def compose(self, *arguments: str, timeout: float = 1500) -> str:
        done = subprocess.run(
            ["docker", "compose", "--env-file", self.env_file, *arguments],
            cwd=self._checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: object) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def delete(self, path: str) -> None:
        urllib.request.urlopen(urllib.request.Request(self.url + path, method="DELETE"), timeout=60).close()

    def scale(self, **replicas: int) -> dict[str, list[str]]:
        """Scale services to these numbers of replicas. Return the ids of their containers."""
        options = [f"--scale={name}={count}" for name, count in replicas.items()]
        self.compose("up", "--detach", "--wait", "--no-recreate", *options, *replicas)
        return {name: self.compose("ps", "--quiet", name).split() for name in replicas}

    def download(self, path: str, target: Path) -> Path:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            target.write_bytes(answer.read())
        return target

    def wait_until_complete(self, run_id: str, seconds: float = 1200) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status: dict[str, Any] = self.get(f"/runs/{run_id}")
            if status["state"] == "complete":
                return status
            time.sleep(1)
        raise AssertionError(f"not complete: {status}\n{self.compose('logs', '--tail', '50')}")

    def containers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.compose("ps", "--format", "json").splitlines()]


def docker(*arguments: str, check: bool = True) -> str:
    """Run ``docker`` and return its stdout and stderr."""
    done = subprocess.run(
        ["docker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}:\n{done.stdout}"
    return done.stdout
