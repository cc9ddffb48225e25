"""Running the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, command_here


@pytest.fixture
def mssbench(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``mssbench(…)`` in the workspace, as a user would type it."""
    return command_here(monkeypatch, capsys)


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their report, which takes longer than a small run. Tables are written."""
    monkeypatch.setattr("mssbench.report.build_report", lambda run_dir, **_: run_dir)
