"""Log lines are JSON objects with the fields of their context, which requests pass on in headers."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from mssbench_service import logs
from mssbench_service.logs import JsonLines


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Output of the logger ``mssbench``."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("trial"))
    logger = logging.getLogger("mssbench")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_message_of_several_lines_is_one_json_object(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError:
        logging.getLogger("mssbench").exception("first\nsecond %s", "«ü»")
    (line,) = lines.getvalue().splitlines()
    found = json.loads(line)
    assert (found["level"], found["message"], found["service"]) == ("error", "first\nsecond «ü»", "trial")
    assert "broken" in found["exception"]
    assert found["time"].endswith("+00:00")
    assert "run" not in found


def test_lines_have_the_fields_of_their_context(lines: io.StringIO) -> None:
    log = logging.getLogger("mssbench")
    with logs.context(run="r1", request_id="abc"):
        with logs.context(cell="stereo/x/Ärger"):
            log.info("inside")
        log.info("between")
    log.info("outside")
    inside, between, outside = map(json.loads, lines.getvalue().splitlines())
    assert (inside["run"], inside["request_id"], inside["cell"]) == ("r1", "abc", "stereo/x/Ärger")
    assert between["run"] == "r1"
    assert "cell" not in between
    assert "run" not in outside


def access(path: str, status: int) -> logging.LogRecord:
    arguments = ("10.0.0.1:5", "GET", path, "1.1", status)
    return logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', arguments, None
    )


def test_the_access_log_has_the_same_format() -> None:
    with logs.context(request_id="abc"):
        found = json.loads(JsonLines("trial").format(access("/runs?limit=2", 200)))
    assert (found["method"], found["path"], found["status"]) == ("GET", "/runs?limit=2", 200)
    assert found["request_id"] == "abc"


@pytest.mark.parametrize(
    ("path", "status", "kept"), [("/health", 200, False), ("/health", 503, True), ("/info", 200, True)]
)
def test_successful_health_checks_are_not_logged(path: str, status: int, kept: bool) -> None:
    root, access_log = logging.getLogger(), logging.getLogger("uvicorn.access")
    before = (root.handlers[:], root.level, access_log.filters[:])
    try:
        logs.configure("trial")
        assert bool(access_log.filter(access(path, status))) is kept
    finally:
        root.handlers[:], access_log.filters[:] = before[0], before[2]
        root.setLevel(before[1])


HOSTILE = "Song\x1b]0;owned\x07\x9b31m\r\nERROR forged"


def test_control_characters_never_reach_a_terminal_raw() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        failure = sys.exc_info()
    record = logging.LogRecord("mssbench", logging.WARNING, "", 0, "%s is odd", (HOSTILE,), failure)
    text = logs.TextLines().format(record)
    assert text.splitlines()[0].startswith(
        "WARNING Song\\x1b]0;owned\\x07\\x9b31m\\x0d\\x0aERROR forged is odd"
    )
    line = logs.JsonLines("service").format(record)
    assert json.loads(line)["message"] == f"{HOSTILE} is odd"
    for written in (text.replace("\n", ""), line):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", written)
