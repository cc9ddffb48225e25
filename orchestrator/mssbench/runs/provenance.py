"""Which code and which machine a run used: versions, the git commit and the container images, where known."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput

from .. import __version__


def provenance(command: str, versions: dict[str, str]) -> dict[str, Any]:
    """The fields of a new :class:`RunRecord` that say when, where and by which code the run was made.

    `versions` are those of the services.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "created": now(),
        "command": command,
        "commit": commit(),
        "images": images(),
        "accepted": [],
        "versions": own_versions() | versions,
        "machine": {"system": platform.platform(), "cores": str(cores)},
    }


def now() -> str:
    """The present time as ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def own_versions() -> dict[str, str]:
    """The versions of the bench and of Python."""
    return {"mssbench": __version__, "python": platform.python_version()}


def commit() -> str:
    """Commit of the checkout that this code runs from, with ``+changes`` if files differ from it.

    A container image has no checkout and sets ``MSSBENCH_COMMIT``. Empty if unknown.
    """
    if given := os.environ.get("MSSBENCH_COMMIT"):
        return given
    here = Path(__file__).parent
    head = _git(here, "rev-parse", "HEAD")
    # An installed copy may be inside another repository, whose commit is not that of this code.
    if head is None or not _git(here, "ls-files", Path(__file__).name):
        return ""
    return head + ("+changes" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def images() -> dict[str, str]:
    """Digests of the services' images, from ``MSSBENCH_IMAGES`` (``synth=sha256:…,oracle=sha256:…``).

    Raises
    ------
    BadInput
        The variable has another form.
    """
    found = {}
    for part in filter(None, os.environ.get("MSSBENCH_IMAGES", "").split(",")):
        name, _, digest = part.strip().partition("=")
        if not name or not digest:
            raise BadInput(f"MSSBENCH_IMAGES: {part!r} is not NAME=DIGEST")
        found[name] = digest
    return found
