"""The commands and the code of docs/adding-a-separator.md work in a copy of the checkout.

Two things differ from the page: ``.venv/bin`` runs the commands of this environment, and packages are put on the path
instead of being installed, because installation needs a package index.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pages
import pytest
import soundfile as sf
from comparing import read_table
from mssbench_contract.server import free_port
from pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGE = Page("adding-a-separator.md")

PIP = f"""#!{sys.executable}
import os, sys
(folder,) = [argument for argument in sys.argv[1:] if not argument.startswith("-") and argument != "install"]
assert os.path.isfile(os.path.join(folder, "pyproject.toml")), folder
with open(os.environ["INSTALLED"], "a") as file:
    file.write(":" + os.path.abspath(folder))
"""
COMMAND = """#!/bin/sh
PYTHONPATH="$(cat "$INSTALLED")" exec {python} -m {name} "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info", ".*_cache")
    for folder in ("services/base", "services/template", "orchestrator/mssbench"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("mssbench", "pytest", "uvicorn"):
        (commands / name).write_text(COMMAND.format(python=sys.executable, name=name))
    (commands / "pip").write_text(PIP)
    for command in commands.iterdir():
        command.chmod(0o755)
    # The copy of the orchestrator comes first, because the page changes its registration.
    (tmp_path / "installed").write_text(f"{tmp_path}/orchestrator:{tmp_path}/services/base")
    return tmp_path


def follow(checkout: Path, commands: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MSSBENCH_")}
    # The template's own tests run the whole contract. This one checks that the copy runs it.
    environment |= {
        "INSTALLED": str(checkout / "installed"),
        "PYTEST_ADDOPTS": "-p no:cacheprovider "
        "-k 'health or info or declared_stems or same_file or beyond_full_scale or add_up'",
    }
    commands = (
        f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{commands.replace('8765', str(free_port()))}"
    )
    return pages.run_commands(commands, checkout, environment, seconds=1500)


def test_the_steps_of_the_page_give_a_scored_row(checkout: Path) -> None:
    (adapter,) = PAGE.blocks("python")
    rename, test, register, score, elsewhere = PAGE.blocks("sh")
    follow(checkout, rename)
    assert not [
        path
        for path in (checkout / "services/midside").rglob("*")
        if "template" in path.name or (path.is_file() and "template" in path.read_text(encoding="utf-8"))
    ]
    (checkout / "services/midside/midside_service/__init__.py").write_text(adapter, encoding="utf-8")
    passed = re.search(r"(\d+) passed", follow(checkout, test))
    assert passed is not None
    assert int(passed[1]) == 6
    follow(checkout, register)
    output = follow(checkout, score)
    assert re.search(r"^midside +ready +cpu +mid/side", output, re.MULTILINE)
    assert output.splitlines()[-1] == "report: runs/midside/report/index.html"
    rows = read_table(checkout / "runs/midside/results.csv")
    mine = [row for row in rows.values() if row["separator"] == "midside"]
    assert len(mine) == 8
    assert {row["status"] for row in mine} <= {"ok", "undefined"}
    assert all(row["SSR"] and row["SRR"] for row in mine if row["status"] == "ok")
    assert sum(row["status"] == "ok" for row in mine) >= 6

    follow(checkout, elsewhere)
    assert sf.info(checkout / "stems" / "vocals.wav").subtype == "FLOAT"
    again = read_table(checkout / "runs/elsewhere/results.csv")
    assert again == {key: row for key, row in rows.items() if row["separator"] == "midside"}


def test_the_compose_block_of_the_page_is_valid() -> None:
    yaml = pytest.importorskip("yaml")
    (block,) = PAGE.blocks("yaml")
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    composed = yaml.safe_load(text.replace("\nvolumes:\n", f"\n{block}\nvolumes:\n"))["services"]
    for theirs, ours in (("oracle", "midside"), ("worker-oracle", "worker-midside")):
        assert composed[ours].keys() == composed[theirs].keys()
    assert composed["midside"]["read_only"] is True
