"""Log lines as JSON, one a line, each with what it is about: the run, the cell, the request.

What a line is about travels along: :func:`context` binds it for whatever runs inside the block, :func:`headers`
gives it to the next service (``X-Request-ID``, and W3C ``baggage`` for the rest), and the service's
application binds it again with :func:`from_headers`.

``MSSBENCH_LOG`` is ``json`` (default) or ``text``, for a person at a terminal: warnings and errors only.
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

_FIELDS = ("request_id", "run", "cell")
_UVICORN = ("uvicorn", "uvicorn.access", "uvicorn.error")
_QUIET = ("/health", "/metrics")
"""Asked for every few seconds; a line is written only if the answer was not a success."""

_context: ContextVar[Mapping[str, str]] = ContextVar("mssbench_log_context", default={})  # noqa: B039


@contextlib.contextmanager
def context(**fields: str) -> Iterator[None]:
    """Log lines from inside this block say these: ``request_id``, ``run``, ``cell``."""
    token = _context.set({**_context.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _context.reset(token)


def new_request_id() -> str:
    return secrets.token_hex(8)


def headers() -> dict[str, str]:
    """What the current lines are about, for a request to another service."""
    context = _context.get()
    baggage = ",".join(
        f"mssbench-{name}={quote(context[name], safe='')}" for name in ("run", "cell") if name in context
    )
    found = {"X-Request-ID": context.get("request_id") or new_request_id()}
    return {**found, "baggage": baggage} if baggage else found


def from_headers(request_id: str, baggage: str) -> dict[str, str]:
    """What a request is about. An id that is not a plain word is replaced: it goes into logs and headers."""
    plain = re.fullmatch(r"[\w.-]{1,64}", request_id, re.ASCII)
    found = {"request_id": request_id if plain else new_request_id()}
    for member in baggage.split(","):
        name, _, value = member.partition(";")[0].strip().partition("=")
        if name in ("mssbench-run", "mssbench-cell"):
            found[name.removeprefix("mssbench-")] = unquote(value, errors="replace")[:400]
    return found


class JsonLines(logging.Formatter):
    """One JSON object for each record."""

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
        return json.dumps(line, ensure_ascii=False, default=str)


def _worth_a_line(record: logging.LogRecord) -> bool:
    if not (isinstance(record.args, tuple) and len(record.args) == 5):
        return True
    path, status = str(record.args[2]).partition("?")[0], record.args[4]
    return path not in _QUIET or not (isinstance(status, int) and status < 400)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg,unused-ignore]
    """Writes to what is ``sys.stderr`` at the time, which a test runner exchanges."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def configure(service: str) -> None:
    """Write this process's log to stderr, as ``MSSBENCH_LOG`` says; uvicorn's lines, too.

    Handlers that somebody else put on the root logger (a test runner) stay.
    """
    text = os.environ.get("MSSBENCH_LOG") == "text"
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s") if text else JsonLines(service))
    root = logging.getLogger()
    for old in [old for old in root.handlers if type(old) in (logging.StreamHandler, _Stderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    if root.level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.WARNING if text else logging.INFO)
    for chatty in ("httpx", "httpcore", "matplotlib", "numba"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    access = logging.getLogger("uvicorn.access")
    access.filters = [_worth_a_line]
