"""Log lines as JSON objects, each with its context: the run, the cell and the request.

:func:`context` sets the context of all lines inside a block. :func:`headers` passes it to the next service
(``X-Request-ID``, and W3C ``baggage`` for the rest), whose application reads it with :func:`from_headers`.

``MSSBENCH_LOG`` is ``json`` (default) or ``text``, for use in a terminal: warnings and errors only.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, unquote

from .errors import printable

_FIELDS = ("request_id", "run", "cell")
_UVICORN = ("uvicorn", "uvicorn.access", "uvicorn.error")
_QUIET = ("/health", "/metrics")
"""Paths that are requested every few seconds: only errors are logged."""

_context: ContextVar[Mapping[str, str]] = ContextVar("mssbench_log_context", default={})  # noqa: B039


@contextlib.contextmanager
def context(**fields: str) -> Iterator[None]:
    """Add these fields to all log lines of the block: ``request_id``, ``run``, ``cell``."""
    token = _context.set({**_context.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


def new_request_id() -> str:
    """A random id."""
    return secrets.token_hex(8)


def headers() -> dict[str, str]:
    """Headers that pass the present context to another service."""
    context = _context.get()
    baggage = ",".join(
        f"mssbench-{name}={quote(context[name], safe='')}" for name in ("run", "cell") if name in context
    )
    found = {"X-Request-ID": context.get("request_id") or new_request_id()}
    return {**found, "baggage": baggage} if baggage else found


def from_headers(request_id: str, baggage: str) -> dict[str, str]:
    """The context of a request. An id that is not a plain word is replaced, since it is written to logs and headers."""
    plain = re.fullmatch(r"[\w.-]{1,64}", request_id, re.ASCII)
    found = {"request_id": request_id if plain else new_request_id()}
    for member in baggage.split(","):
        name, _, value = member.partition(";")[0].strip().partition("=")
        if name in ("mssbench-run", "mssbench-cell"):
            found[name.removeprefix("mssbench-")] = unquote(value, errors="replace")[:400]
    return found


class TextLines(logging.Formatter):
    """Formats records for a terminal. Control characters, which titles and paths may contain, are escaped."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))


class JsonLines(logging.Formatter):
    """Formats each record as a JSON object."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)  # noqa: UP017
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "service": self._service,
            "logger": record.name,
        }
        context = _context.get()
        line.update({name: context[name] for name in _FIELDS if name in context})
        if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, _, status = record.args
            line.update({"client": client, "method": method, "path": path, "status": status})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # JSON escapes all control characters but these.
        return re.sub(
            "[\x7f-\x9f]",
            lambda found: f"\\u{ord(found[0]):04x}",
            json.dumps(line, ensure_ascii=False, default=str),
        )


def _is_logged(record: logging.LogRecord) -> bool:
    if not (isinstance(record.args, tuple) and len(record.args) == 5):
        return True
    path, status = str(record.args[2]).partition("?")[0], record.args[4]
    return path not in _QUIET or not (isinstance(status, int) and status < 400)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg,unused-ignore]
    """Writes to the present ``sys.stderr``, which a test runner replaces."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def configure(service: str) -> None:
    """Write the log of this process, with that of uvicorn, to stderr in the format of ``MSSBENCH_LOG``.

    Other handlers of the root logger, such as those of a test runner, are kept.
    """
    text = os.environ.get("MSSBENCH_LOG") == "text"
    handler = _Stderr()
    handler.setFormatter(TextLines() if text else JsonLines(service))
    root = logging.getLogger()
    for old in [old for old in root.handlers if type(old) in (logging.StreamHandler, _Stderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    if root.level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.WARNING if text else logging.INFO)
    for chatty in ("httpx", "httpcore", "matplotlib", "fontTools", "numba"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.filters = [_is_logged]
