"""The composed system as a stack in a swarm of one machine, with the commands of docs/operations.md."""

from __future__ import annotations

import json
import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from composed import ROOT, System, docker
from mssbench_contract.server import free_port, wait_for
from pages import Page, run_commands

STACK = "mssbench-test-swarm"
# Without the models, which have no weights here.
NEEDED = "redis orchestrator synth evaluator oracle worker-render worker-evaluate worker-oracle"

prepare, deploy, use, scale, end = Page("operations.md").blocks("sh", under="Swarm")


class Stack(System):
    """The stack with its own name, port and volumes, from the images that the other tests built."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(port, project=STACK)
        self._folder = folder

    def follow(self, commands: str) -> str:
        """Run commands of the page with the names and the port of this stack."""
        commands = commands.replace("swarm init", "swarm init --advertise-addr 127.0.0.1")
        commands = commands.replace("docker compose build\n", "")
        commands = commands.replace("--format json", f"--format json {NEEDED}")
        commands = commands.replace("mssbench.token", f"{self._folder}/mssbench.token")
        commands = commands.replace("localhost:8080", self.url.removeprefix("http://"))
        commands = re.sub(r"\bmssbench_(?!token)", f"{STACK}_", commands)
        commands = re.sub(r" mssbench$", f" {STACK}", commands, flags=re.MULTILINE)
        return run_commands(commands, ROOT, self.environment, seconds=900)

    def answers(self) -> bool:
        try:
            return bool(self.get("/health"))
        except OSError:
            return False

    def running(self) -> dict[str, str]:
        """Healthy replicas and all replicas of each service, such as ``1/1``."""
        output = docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}")
        return dict(line.removeprefix(f"{STACK}_").split(" ")[:2] for line in output.splitlines())

    def all_run(self) -> bool:
        return all(len(set(count.split("/"))) == 1 for count in self.running().values())

    def seen_by_workers(self, service: str) -> int:
        """The number of addresses of the service's name in the stack."""
        label = f"label=com.docker.swarm.service.name={STACK}_worker-{service}"
        (worker, *_) = docker("ps", "--quiet", "--filter", label).split() or ["none"]
        code = f"from mssbench.services.http import addresses_of; print(len(addresses_of('{service}', 8000)))"
        output = docker("exec", worker, "python3", "-c", code, check=False).strip()
        return int(output) if output.isdigit() else 0


@pytest.fixture
def stack(system: System, tmp_path: Path) -> Iterator[Stack]:
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "inactive":
        pytest.skip("this machine is in a swarm already")
    stack = Stack(tmp_path, free_port())
    try:
        stack.follow(prepare)
        stack.follow(deploy)
        yield stack
    finally:
        docker("swarm", "leave", "--force", check=False)
        names = docker("ps", "--all", "--quiet", "--filter", f"name={STACK}").split()
        if names:
            docker("rm", "--force", *names, check=False)
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name={STACK}").split()
        if volumes:
            docker("volume", "rm", "--force", *volumes, check=False)


def test_a_stack_runs_a_benchmark_and_is_scaled_and_removed(stack: Stack) -> None:
    wait_for(stack.answers, "the stack answers")
    wait_for(stack.all_run, f"all services run: {stack.running()}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.post("/runs", {"dataset": "data/demo"})
    with refused.value as answer:
        assert answer.code == 401, "changes need the token"

    output = stack.follow(use)
    run = json.loads(output[output.index("{") :])["id"]
    assert stack.wait_until_complete(run)["progress"]["failed"] == 0
    assert len(stack.get(f"/runs/{run}/results")) == 2 * 4

    stack.follow(scale)
    wait_for(lambda: stack.seen_by_workers("oracle") == 3, "workers see each of three replicas")

    stack.follow(end)
    wait_for(lambda: not docker("ps", "--quiet", "--filter", f"name={STACK}"), "all containers are removed")
