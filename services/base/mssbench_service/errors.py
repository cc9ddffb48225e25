"""The error family of all services and of the orchestrator.

::

    BenchError                     500
    ├── BadInput                   422   the data or the request is wrong; never retried
    │   ├── TooLarge               413
    │   └── SlowRequest            408   the request did not arrive in time
    ├── NotFound                   404   a path, run or name that does not exist
    ├── Unauthorized               401   the request needs a token, which it does not have
    ├── Forbidden                  403   the request comes from a page of another site
    ├── Conflict                   409   the present state does not allow the request
    ├── ClientDisconnected         499   the client closed the connection; ends the work, no answer is read
    ├── Unavailable                503   try again later (``retry_after`` seconds)
    │   ├── NotReady                     the service has no weights or no device
    │   │   └── Starting                 the service is still loading
    │   ├── Busy                         the job queue is full
    │   ├── OutOfMemory                  the device ran out of memory
    │   ├── Unreachable                  no answer from the service (raised by a client)
    │   │   └── Interrupted              the connection broke after the request was sent
    │   ├── TimedOut               504   no answer within the time limit (raised by a client)
    │   └── StorageUnavailable           the storage of the data root fails or is read-only
    │       └── StorageFull        507   no room under the data root; no partial file is left
    └── StepFailed                 500   the step ran and failed; recorded, never retried
        └── BadOutput                    its result is not valid (NaN, wrong length, missing stem)

Services turn an error into an RFC 9457 problem document; clients rebuild the same class from it
(:func:`from_problem`). Code that runs in-process and code that runs over HTTP therefore catch the same types.
"""

from __future__ import annotations

import re
from typing import Any

PROBLEM_TYPE = "urn:mssbench:error:"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_END = 800  # characters that are kept at either end of a message that is too long


def printable(text: str) -> str:
    """Replace characters that are not safe in a terminal or a file by their numbers.

    These are control characters, which move the cursor and change colours, and single surrogates, which JSON and names
    of files may contain.

    Examples
    --------
    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return (
        _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
        .encode("utf-8", "backslashreplace")
        .decode()
    )


def one_line(text: str) -> str:
    """`text` in one line, :func:`printable`, and without its middle if it is very long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 2 * _END else f"{line[:_END]} … {line[-_END:]}"


class BenchError(Exception):
    """Base of the family.

    Parameters
    ----------
    detail : str
        One line for the user: what was found, what was expected, which file.
    """

    code = "bench-error"
    title = "The benchmark failed"
    status = 500
    retryable = False

    def __init__(self, detail: str) -> None:
        # One line, also if it has a library's message: it is shown in tables, log lines and terminals.
        super().__init__(one_line(detail))

    @property
    def detail(self) -> str:
        return str(self.args[0])

    def to_problem(self) -> dict[str, Any]:
        """RFC 9457 members of this error (``application/problem+json``)."""
        return {
            "type": PROBLEM_TYPE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "retryable": self.retryable,
        }


class BadInput(BenchError):
    code = "bad-input"
    title = "The input cannot be used"
    status = 422


class TooLarge(BadInput):
    code = "too-large"
    title = "The input is larger than this service accepts"
    status = 413


class SlowRequest(BadInput):
    code = "slow-request"
    title = "The request did not arrive in time"
    status = 408


class NotFound(BenchError):
    code = "not-found"
    title = "Not found"
    status = 404


class Unauthorized(BenchError):
    code = "unauthorized"
    title = "The request needs a token"
    status = 401


class Forbidden(BenchError):
    code = "forbidden"
    title = "The request comes from another site"
    status = 403


class Conflict(BenchError):
    code = "conflict"
    title = "This cannot be done now"
    status = 409


class ClientDisconnected(BenchError):
    code = "abandoned"
    title = "The client has disconnected"
    status = 499


class Unavailable(BenchError):
    code = "unavailable"
    title = "The service cannot answer now"
    status = 503
    retryable = True

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    def to_problem(self) -> dict[str, Any]:
        return super().to_problem() | {"retry_after": self.retry_after}


class NotReady(Unavailable):
    code = "not-ready"
    title = "The service is not ready"


class Starting(NotReady):
    code = "starting"
    title = "The service is still starting"


class Busy(Unavailable):
    code = "busy"
    title = "The service has no free place in its queue"


class OutOfMemory(Unavailable):
    code = "out-of-memory"
    title = "The device ran out of memory"


class Unreachable(Unavailable):
    code = "unreachable"
    title = "The service did not answer"


class Interrupted(Unreachable):
    code = "interrupted"
    title = "The connection broke during the job"


class TimedOut(Unavailable):
    code = "timed-out"
    title = "The service did not answer in time"
    status = 504


class StorageUnavailable(Unavailable):
    code = "storage-unavailable"
    title = "The storage is not available"


class StorageFull(StorageUnavailable):
    code = "storage-full"
    title = "There is no room left to write"
    status = 507


class StepFailed(BenchError):
    code = "step-failed"
    title = "The step ran and failed"


class BadOutput(StepFailed):
    code = "bad-output"
    title = "The result of the step is not valid"


def _family(root: type[BenchError]) -> dict[str, type[BenchError]]:
    found: dict[str, type[BenchError]] = {}
    for child in root.__subclasses__():
        found |= _family(child)
    return found | {root.code: root}  # a subclass that inherits its code does not replace its base


def from_problem(problem: dict[str, Any]) -> BenchError:
    """Rebuild the error that a service raised from its problem document.

    The class of an unknown ``type`` (from a proxy, or another version) is chosen by the status.

    Examples
    --------
    >>> from_problem({"type": "urn:mssbench:error:busy", "detail": "2 jobs are waiting", "retry_after": 2})
    Busy('2 jobs are waiting')
    """
    code = str(problem.get("type", "")).removeprefix(PROBLEM_TYPE)
    said = (str(problem.get(member) or "").strip() for member in ("detail", "title"))
    detail = next((text for text in said if text), "no detail given")
    kind = _family(BenchError).get(code) or _class_for_status(problem.get("status"))
    if issubclass(kind, Unavailable):
        retry_after = problem.get("retry_after", 5)
        return kind(detail, retry_after=retry_after if isinstance(retry_after, int) else 5)
    return kind(detail)


def _class_for_status(status: object) -> type[BenchError]:
    if not isinstance(status, int):
        return StepFailed
    known = {404: NotFound, 413: TooLarge} | dict.fromkeys((429, 502, 503, 504, 507), Unavailable)
    return known.get(status, BadInput if 400 <= status < 500 else StepFailed)
