"""Health check of a worker container: ``python3 -m mssbench.execution.worker_health``.

A worker touches the file that ``MSSBENCH_ALIVE`` names after each heartbeat that Redis accepted. The check reads the
age of that file. A worker that hangs, has ended, or has had no Redis for minutes is unhealthy.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mssbench_service.errors import NotReady

from ..settings.limits import Limits

_TOLERANCE = 60.0
"""Seconds beyond the limits, so that a worker on a busy machine is not restarted."""


def report_alive() -> None:
    """Touch the file of this process's worker."""
    if path := os.environ.get("MSSBENCH_ALIVE"):
        Path(path).touch()


def check() -> None:
    """Check the age of the file.

    Raises
    ------
    NotReady
        It is too old or missing, or ``MSSBENCH_ALIVE`` is not set.
    """
    path = os.environ.get("MSSBENCH_ALIVE", "")
    try:
        silence = time.time() - os.stat(path).st_mtime
    except OSError:
        raise NotReady(f"no worker has written {path!r} (MSSBENCH_ALIVE)") from None
    limits = Limits.from_environment()
    if silence > limits.heartbeat_seconds + limits.silence_seconds + _TOLERANCE:
        raise NotReady(f"the worker has sent no heartbeat for {silence:.0f} s")


def main() -> int:
    try:
        check()
    except NotReady as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
