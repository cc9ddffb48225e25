"""A model of the user outside the checkout, and an interpreter whose environments install nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ADAPTER = """
import os
from mssbench_service.separation import Separator
__version__ = "1.0"

class Half(Separator):
    description = "half of the mixture in each stem"
    def setup(self):
        if os.environ.get("BROKEN") == "setup":
            raise ValueError("no model")
    def separate(self, mixture, sample_rate):
        return {stem: 0.5 * mixture for stem in self.stems}

SEPARATORS = {"mine": Half}
"""
APP = """
import os
from mssbench_service.separator_app import create_separator_app
from . import SEPARATORS, __version__
if os.environ.get("BROKEN") == "import":
    raise ImportError("no such library")
app = create_separator_app("mine", __version__, SEPARATORS)
"""
VENV = f"""#!/bin/sh
if [ "$2" = pip ]; then
  echo "$@" >> "$PIP_CALLS"
  [ -z "$PIP_ERROR" ] || {{ echo "ERROR: $PIP_ERROR"; exit 1; }}
  exit 0
fi
exec {sys.executable} "$@"
"""
PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$4/bin" && cp "$VENV_PYTHON" "$4/bin/python";;
*) echo "$PYTHON_VERSION";;
esac
"""


def write_model(folder: Path) -> Path:
    """Write the folder of the service ``mine``, in the layout of services/template."""
    package = folder / "mine_service"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ADAPTER)
    (package / "app.py").write_text(APP)
    (folder / "pyproject.toml").write_text('[project]\ndependencies = ["mssbench-service", "Num_py>=1"]\n')
    (folder / "requirements.lock").write_text(f"num-py==2.0 \\\n    --hash=sha256:{'0' * 64}\n")
    return folder


def interpreters(folder: Path) -> dict[str, str]:
    """Write a ``python3.11`` into `folder`. Return the environment in which it is found."""
    folder.mkdir()
    for name, text in (("python3.11", PYTHON), ("venv-python", VENV)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "VENV_PYTHON": str(folder / "venv-python"),
        "PYTHON_VERSION": "3.11",
        "PIP_CALLS": str(folder / "pip.txt"),
    }
