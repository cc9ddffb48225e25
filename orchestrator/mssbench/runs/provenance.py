"""Which code a run used: the git commit and the container images, where known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mssbench_service.errors import BadInput


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
