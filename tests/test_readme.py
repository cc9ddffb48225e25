"""README.md: its blocks run as pasted, without those that download or need Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import statistics
import sys
from pathlib import Path

import click
import mssbench
import pages
import pytest
from local_model import interpreters
from mssbench.cli.commands import cli
from mssbench.datasets.demo import write_demo
from pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGE = Page("../README.md")


@pytest.fixture
def checkout(workspace: Path) -> Path:
    """A folder with what the blocks need of the checkout, the demo data in short, and estimates."""
    shutil.copytree(ROOT / "services/template", workspace / "services/template")
    binaries = workspace / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("mssbench", "python3"):
        # The demo data are there already, in short.
        (binaries / name).write_text(
            f'#!/bin/sh\n[ "$1 $2" = "data demo" ] && exit 0\nexec {sys.executable} -m mssbench "$@"\n'
            if name == "mssbench"
            else f'#!/bin/sh\nexec {sys.executable} "$@"\n'
        )
        (binaries / name).chmod(0o755)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    shutil.copytree(workspace / "music", workspace / "data/demo")
    shutil.copytree(workspace / "music/test", workspace / "estimates")
    return workspace


@pytest.mark.long
def test_the_blocks_run_in_order(checkout: Path) -> None:
    activate, *_ = PAGE.blocks("sh", under="Two commands")[1:]
    blocks = [
        activate,
        *PAGE.blocks("sh", under="Your own estimates"),
        *PAGE.blocks("sh", under="Your own model"),
    ]
    assert len(blocks) == 4
    home = checkout / "home"
    home.mkdir()
    environment = (
        dict(os.environ)
        | interpreters(checkout / "scripts")
        | {
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "MSSBENCH_REDIS_URL": "",
        }
    )
    (code,) = PAGE.blocks("python")
    blocks.append(f"python3 - <<'END'\n{code}END\n")
    stop = "trap 'mssbench services stop --all >/dev/null 2>&1 || true' EXIT\n"
    output = pages.run_commands(stop + "\n".join(blocks), checkout, environment, seconds=500)
    assert len(re.findall(r"^report: runs/.*/index.html$", output, re.MULTILINE)) >= 2
    assert "mymodel is stopped" in output
    results = [path.read_text() for path in checkout.glob("runs/*/results.csv")]
    assert any("mytool" in text for text in results)
    assert any("mymodel" in text for text in results)


@pytest.mark.long
@pytest.mark.usefixtures("without_report")
def test_the_table_has_the_scores_of_the_reference_separators(workspace: Path) -> None:
    """The row of the trained model needs its environment and weights: `make demo-model`."""
    write_demo(workspace / "demo")
    names = ["oracle-irm", "oracle-mixture"]
    rows = mssbench.run(dataset="demo", separators=names, metrics="corrected", bsseval=False).results
    table = dict(
        re.findall(r"^\| `([\w:-]+)`[^|]*\| (.*) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    )
    for name in names:
        for column, decimals, cell in zip(
            ("in_place", "SSR", "SRR", "d_itd_us", "d_ild_db"),
            (0, 1, 1, 1, 1),
            table[name].split(" | "),
            strict=True,
        ):
            medians = [
                statistics.median(
                    row[column]
                    for row in rows
                    if (row["separator"], row["source"], row["condition"]) == (name, "vocals", condition)
                )
                for condition in ("stereo", "binaural")
            ]
            shown = [float(value) for value in cell.replace("−", "-").split(" → ")]
            assert shown == pytest.approx(medians, abs=0.501 * 10**-decimals), column


def parse(arguments: list[str]) -> click.Context:
    """Parse the arguments of ``mssbench`` without running it."""
    context = cli.make_context("mssbench", arguments)
    while isinstance(context.command, click.Group) and (context._protected_args or context.args):
        name, command, rest = context.command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


COMMANDS = re.findall(
    r"^(?:docker compose exec orchestrator )?(mssbench [^#\n]*[^#\s])",
    "\n".join(PAGE.blocks("sh")),
    re.MULTILINE,
) + re.findall(r"`(mssbench [^`]+ -[^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_valid_arguments(checkout: Path, command: str) -> None:
    assert parse(shlex.split(command)[1:]).command.callback is not None


def test_the_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs/pictures/report.png").stat().st_size < 150_000
