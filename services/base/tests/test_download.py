"""Downloads from servers that fail in different ways."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
from mssbench_contract.files import FileServer
from mssbench_service.errors import BadInput, NotFound, Unreachable

from .conftest import CONTENT, Pins, fetch_quickly, fetched


def test_a_file_is_fetched_once_and_progress_is_reported(
    server: FileServer, pins: Pins, tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = pins(size=len(CONTENT))
    expected = [tmp_path / "w" / "demo" / "model.th"]
    assert fetch_quickly(path, tmp_path / "w", progress=lambda *call: seen.append(call)) == expected
    assert expected[0].read_bytes() == CONTENT
    assert seen[-1] == ("model.th", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert fetch_quickly(path, tmp_path / "w") == expected
    assert len(server.requests) == 1
    assert sorted(entry.name for entry in expected[0].parent.iterdir()) == [".lock", "model.th"]


def test_a_broken_connection_is_resumed(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.cut_after = 20_000
    assert fetched(pins(), tmp_path) == CONTENT
    assert len(server.requests) == 13
    assert server.requests[3]["range"] == "bytes=60000-"
    assert server.requests[3]["if-range"] == '"one"'
    assert server.sent == len(CONTENT)  # nothing twice


def test_data_of_a_slow_server_are_reported_and_kept_at_once(
    server: FileServer, pins: Pins, tmp_path: Path
) -> None:
    told, requests = threading.Event(), []

    def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
        requests.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[:1000])
        if told.wait(20):
            handler.wfile.write(CONTENT[1000:])

    server.answer = trickle  # type: ignore[method-assign]
    assert fetched(pins(), tmp_path, progress=lambda *_: told.set()) == CONTENT
    assert len(requests) == 1


def test_the_next_call_resumes_the_last_one(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.cut_after, original = 100_000, server.answer

    def once(handler: http.server.BaseHTTPRequestHandler) -> None:
        server.answer = lambda handler: handler.send_error(503)  # type: ignore[method-assign]
        original(handler)

    server.answer = once  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match=r"503.*100000 bytes are kept"):
        fetch_quickly(pins(), tmp_path)
    assert not (tmp_path / "demo" / "model.th").exists()
    server.answer, server.cut_after = original, None  # type: ignore[method-assign]
    server.requests.clear()
    assert fetched(pins(), tmp_path) == CONTENT
    assert server.requests[0]["range"] == "bytes=100000-"


@pytest.mark.parametrize("fault", ["ranges are ignored", "ranges are wrong", "another version", "too long"])
def test_a_file_whose_rest_does_not_match_is_fetched_from_the_start(
    server: FileServer, pins: Pins, tmp_path: Path, fault: str
) -> None:
    server.ranges = fault != "ranges are ignored"
    server.wrong_range = fault == "ranges are wrong"
    part = tmp_path / "demo" / "model.th.part"
    part.parent.mkdir()
    there = {"another version": b"other bytes" * 500, "too long": CONTENT + b"more"}
    part.write_bytes(there.get(fault, CONTENT[:5000]))
    assert fetched(pins(), tmp_path) == CONTENT


def test_without_a_checksum_nothing_is_resumed_across_calls(
    server: FileServer, pins: Pins, tmp_path: Path
) -> None:
    part = tmp_path / "demo" / "model.th.part"
    part.parent.mkdir()
    part.write_bytes(b"of who knows what" * 10)
    assert fetched(pins(sha256=""), tmp_path) == CONTENT
    assert "range" not in server.requests[0]


def test_the_length_need_not_be_declared(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.declares_length = False
    seen: list[int | None] = []
    assert fetched(pins(), tmp_path, progress=lambda _, __, total: seen.append(total)) == CONTENT
    assert set(seen) == {None}


def test_retries_end_without_progress(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.ranges, server.cut_after = False, 70_000
    with pytest.raises(Unreachable, match="the connection was cut"):
        fetch_quickly(pins(), tmp_path)
    assert len(server.requests) <= 7
    assert not (tmp_path / "demo" / "model.th").exists()


@pytest.mark.parametrize("error", [1000, -1000])
def test_a_wrong_declared_length_is_an_error(
    server: FileServer, pins: Pins, tmp_path: Path, error: int
) -> None:
    server.length_error = error
    with pytest.raises((Unreachable, BadInput)):
        fetch_quickly(pins(), tmp_path)
    assert not (tmp_path / "demo" / "model.th").exists()


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", b"", b"<html>not found</html>"])
def test_damaged_bytes_are_refused_and_deleted(
    server: FileServer, pins: Pins, tmp_path: Path, content: bytes
) -> None:
    server.content = content
    with pytest.raises(BadInput, match=r"model\.th from http.* is damaged: its SHA-256"):
        fetch_quickly(pins(), tmp_path)
    assert [entry.name for entry in (tmp_path / "demo").iterdir()] == [".lock"]


def test_a_file_longer_than_pinned_is_not_read_to_its_end(
    server: FileServer, pins: Pins, tmp_path: Path
) -> None:
    server.content = CONTENT * 40
    with pytest.raises(BadInput, match="more than the 256000 bytes"):
        fetch_quickly(pins(size=len(CONTENT)), tmp_path)
    assert [entry.name for entry in (tmp_path / "demo").iterdir()] == [".lock"]


def test_a_wrong_size_is_refused(pins: Pins, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="256000 bytes; expected 256001"):
        fetch_quickly(pins(sha256="", size=len(CONTENT) + 1), tmp_path)


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_file_is_not_retried(server: FileServer, pins: Pins, tmp_path: Path, status: int) -> None:
    server.statuses = [status] * 9
    with pytest.raises(NotFound, match=str(status)):
        fetch_quickly(pins(), tmp_path)
    assert len(server.requests) == 1


def test_a_busy_server_is_retried(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    assert fetched(pins(), tmp_path) == CONTENT


def test_a_server_that_does_not_answer_is_unreachable(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    path = pins()
    path.write_text(path.read_text().replace(server.url, "http://127.0.0.1:9/model.th"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        fetch_quickly(path, tmp_path)


def test_several_processes_at_once_fetch_a_file_once(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    path = pins()
    threads = [threading.Thread(target=fetch_quickly, args=(path, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert len(server.requests) == 1
