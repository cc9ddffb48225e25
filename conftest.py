"""What the tests of the orchestrator and of the whole share: small real datasets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def _demo_tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mssbench.datasets.demo import write_demo

    folder = tmp_path_factory.mktemp("demo") / "music"
    write_demo(folder, tracks=2, seconds=2.0)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, _demo_tracks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with the dataset ``music`` (two demo tracks of 2 s), and the working directory in it."""
    shutil.copytree(_demo_tracks, tmp_path / "music", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path)
    for name in ("MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL", "MSSBENCH_TRANSPORT", "MSSBENCH_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their report, which takes longer than a small run. Tables are written."""
    monkeypatch.setattr("mssbench.report.build_report", lambda run_dir, **_: run_dir)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the table of docs/security.md, if asked."""
    if os.environ.get("WRITE_SECURITY"):
        import measured

        reports = [one for state in ("passed", "failed") for one in terminalreporter.stats.get(state, [])]
        measured.write(report for report in reports if report.when == "call")
