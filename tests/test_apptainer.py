"""``cluster/model.def`` agrees with the images of the models. Its script runs in a shell, without Apptainer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DEFINITION = (ROOT / "cluster" / "model.def").read_text(encoding="utf-8")
MODELS = sorted(path.parent.name for path in (ROOT / "services").glob("*/Dockerfile"))

UVICORN = """#!{python}
import json, os, sys
print(json.dumps({{"command": sys.argv[1:], "environment": dict(os.environ), "process": os.getpid()}}))
"""
"""Stands for the program of the image, and prints how it was called."""


def definition(service: str) -> tuple[dict[str, str], dict[str, str]]:
    """Header and sections of the definition that is built with ``--build-arg SERVICE=<service>``."""
    text = re.sub(r"(?m)^#.*\n", "", DEFINITION).replace("{{ SERVICE }}", service)
    header, *sections = re.split(r"(?m)^%(?=\w)", text)
    return yaml.safe_load(header), dict(section.split("\n", 1) for section in sections)


def dockerfile(service: str) -> tuple[dict[str, str], list[str]]:
    """Environment and command of the image of a model."""
    text = (ROOT / "services" / service / "Dockerfile").read_text(encoding="utf-8")
    environment: dict[str, str] = {}
    for line in re.findall(r"(?m)^ENV (.+)$", text):
        environment |= dict(one.split("=", 1) for one in line.split())
    (command,) = re.findall(r"(?m)^CMD (.+)$", text)
    return environment, json.loads(command)


@pytest.mark.parametrize("service", MODELS)
def test_the_definition_adds_nothing_to_the_image_of_the_composed_system(service: str) -> None:
    """So its system, packages, locks and weights are those of the Dockerfile."""
    image = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["image"]
    header, sections = definition(service)
    assert header == {
        "Bootstrap": "docker-daemon",
        "From": image.replace("${MSSBENCH_REGISTRY:-}", "").replace("${MSSBENCH_TAG:-latest}", "latest"),
    }
    assert sections.keys() == {"arguments", "runscript"}
    assert "{{" not in "".join(sections.values())


@pytest.mark.parametrize("service", MODELS)
def test_its_script_starts_what_the_image_starts(service: str, tmp_path: Path) -> None:
    environment, command = dockerfile(service)
    program, *arguments = command
    stand_in = tmp_path / "bin" / program
    stand_in.parent.mkdir()
    stand_in.write_text(UVICORN.format(python=sys.executable))
    stand_in.chmod(0o755)
    # Apptainer passes on the environment of the image, and that of the user, which takes precedence.
    environment |= {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "HOME": "/home/ada"}
    environment |= {"MSSBENCH_DATA_ROOT": "/shared/bench"}
    script = tmp_path / "runscript"
    script.write_text(definition(service)[1]["runscript"])
    with subprocess.Popen(
        ["/bin/sh", str(script), "8001"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        output, _ = process.communicate(timeout=60)
    started = json.loads(output)
    assert started["command"] == [
        {"0.0.0.0": "127.0.0.1", "8000": "8001"}.get(argument, argument) for argument in arguments
    ]
    assert started["process"] == process.pid, "signals reach the service"
    image, _ = dockerfile(service)
    found = started["environment"]
    assert found["PATH"].startswith(image.pop("PATH").removesuffix("$PATH"))
    folders = image.pop("MSSBENCH_WEIGHTS_DIR")
    assert found["MSSBENCH_WEIGHTS_DIR"] == f"/home/ada/.cache/mssbench/weights:{folders}"
    assert image | {"MSSBENCH_DATA_ROOT": "/shared/bench"} == {name: found[name] for name in image}
