"""A container's health check for a service around a model: ``python3 -m mssbench_service.healthcheck``.

A service without its weights is alive: it answers, and says in ``/health`` (503) what is missing and which
command brings it. Restarting it would not help, and the rest of the system must not wait for it. So this
check fails only while the service is starting or does not answer. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request

from .errors import PROBLEM_TYPE, Starting

_SECONDS = 25.0
"""A busy machine may take long to answer; Docker waits for 30 s."""


def check(url: str) -> str:
    """What the service at `url` says of itself: ``ready``, or what it lacks.

    Raises
    ------
    Starting
        It is still loading, or does not answer like a service of the bench.
    """
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=_SECONDS):
            return "ready"
    except urllib.error.HTTPError as error:
        with error:
            problem = _problem(error.read())
        if problem.get("type") == PROBLEM_TYPE + Starting.code or "detail" not in problem:
            raise Starting(str(problem.get("detail") or error)) from None
        return str(problem["detail"])
    except (OSError, http.client.HTTPException) as error:
        raise Starting(f"{url} does not answer: {error}") from None


def _problem(body: bytes) -> dict[str, object]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def main() -> int:
    try:
        print(check(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
    except Starting as error:
        print(error.detail)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
