"""Health check of a container with a service around a model: ``python3 -m mssbench_service.healthcheck``.

It fails only while the service is starting, or if it does not answer. A service that lacks its weights is healthy: its
``/health`` (503) reports what is missing and which command fetches it. A restart would not help, and the rest of the
system must not wait for it. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import sys
import urllib.error
import urllib.request

from .errors import PROBLEM_TYPE, Starting

_SECONDS = 25.0
"""Time limit of the request. A busy machine may answer late; Docker allows 30 s."""


def check(url: str) -> str:
    """Return the state of the service at `url`: ``ready``, or what it lacks.

    Raises
    ------
    Starting
        The service is still loading, or the answer is not that of a service of the bench.
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
    """Print the state; return the exit code."""
    try:
        print(check(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
    except Starting as error:
        print(error.detail)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
