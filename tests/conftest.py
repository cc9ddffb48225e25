"""Running the real command in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command


@pytest.fixture
def mssbench(workspace: Path) -> Command:
    """``mssbench(…)`` in the workspace, as a user would type it."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [sys.executable, "-m", "mssbench", *arguments],
            cwd=workspace,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        return done

    return run
