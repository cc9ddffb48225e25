"""Running the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, command_here


@pytest.fixture
def mssbench(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``mssbench(…)`` in the workspace, as a user would type it."""
    return command_here(monkeypatch, capsys)
