"""The command ``mssbench`` in this process. A process of its own takes seconds to start."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mssbench.cli import main
from mssbench_contract.server import wait_for

Command = Callable[..., subprocess.CompletedProcess[str]]
"""Runs ``mssbench`` with these arguments."""


def command_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs ``mssbench`` in this process and the current folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["mssbench", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run


def killed_when(ready: Callable[[], object], folder: Path, *arguments: str) -> int:
    """Start ``mssbench`` in `folder` and kill it as soon as `ready` returns true. Return its exit code.

    On a machine under load, the command may end before it is killed. `ready` may search folders that the command
    renames meanwhile.
    """
    command = [sys.executable, "-m", "mssbench", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def reached() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(ready())
        return False

    wait_for(lambda: reached() or process.poll() is not None)
    process.kill()
    return process.wait()


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a command was refused with exit code 2 and one line. Return the line."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mssbench: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def tracks(workspace: Path) -> list[Path]:
    """Track folders of the dataset of the workspace."""
    return sorted((workspace / "music/test").iterdir())
