"""Health check of a worker container: ``python3 -m mssbench.execution.worker_health``.

A worker that was given ``MSSBENCH_ALIVE`` touches that file whenever Redis has heard that it lives. So a worker
is alive that did so lately: one that hangs, has died, or has been without Redis for minutes is not.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mssbench_service.errors import NotReady

from ..settings.limits import Limits

_LENIENCE = 60.0
"""Seconds more than a worker may be silent before it counts as dead: a busy machine is no reason to restart it."""


def say_so() -> None:
    """This process's worker lives."""
    if path := os.environ.get("MSSBENCH_ALIVE"):
        Path(path).touch()


def check() -> None:
    """Whether this container's worker lives.

    Raises
    ------
    NotReady
        It does not, or ``MSSBENCH_ALIVE`` does not say where to look.
    """
    path = os.environ.get("MSSBENCH_ALIVE", "")
    try:
        silence = time.time() - os.stat(path).st_mtime
    except OSError:
        raise NotReady(f"no worker has said in {path!r} (MSSBENCH_ALIVE) that it lives") from None
    limits = Limits.from_environment()
    if silence > limits.heartbeat_seconds + limits.silence_seconds + _LENIENCE:
        raise NotReady(f"the worker has been silent for {silence:.0f} s")


def main() -> int:
    try:
        check()
    except NotReady as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
