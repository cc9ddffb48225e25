"""The command ``mssbench`` in this process. A process of its own takes seconds to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from mssbench.cli import main

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
