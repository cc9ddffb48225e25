"""The command line starts quickly: libraries that take long to import are loaded by the commands that need them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["mssbench.cli", "mssbench.cli.runs", "mssbench.execution.workers"])
def test_no_plotting_or_scientific_library_is_imported_at_startup(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "scipy", "pandas", "pyarrow", "fastapi"} & set(done.stdout.split())
