"""Fetching weights from servers that misbehave, and noticing what is wrong on disk."""

from __future__ import annotations

import hashlib
import http.server
import io
import random
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mssbench_service import weights
from mssbench_service.errors import BadInput, NotFound, NotReady, Unreachable
from mssbench_service.weights import fetch, load, main, require, verify

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Serves `content`; the other attributes say what is wrong with it."""

    content: bytes = CONTENT
    cut_after: int | None = None  # bytes of body before the connection breaks
    cuts: int = 10**9  # how often it breaks
    ranges: bool = True
    etag: str = '"one"'
    length_error: int = 0  # added to the declared length
    declares_length: bool = True
    wrong_range: bool = False
    statuses: list[int] = field(default_factory=list)  # answers before the first good one
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append({name.lower(): value for name, value in handler.headers.items()})
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        matches = handler.headers.get("If-Range", self.etag) == self.etag
        start = int(asked[1]) if asked and self.ranges and matches else 0
        if start > len(self.content):
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            claimed = 0 if self.wrong_range else start
            end = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {claimed}-{end}/{len(self.content)}")
        if self.declares_length:
            handler.send_header("Content-Length", str(len(body) + self.length_error))
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        if self.cut_after is not None and self.cuts > 0 and len(body) > self.cut_after:
            self.cuts -= 1
            body = body[: self.cut_after]
        self.sent += len(body)
        handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http://127.0.0.1:{listening.server_address[1]}/model.th"
        yield told
        listening.shutdown()
        thread.join()


@pytest.fixture
def pins(server: Server, tmp_path: Path) -> Callable[..., Path]:
    """Write a weights.toml for the server's file."""

    def write(sha256: str = SHA256[:8], size: int | None = None, unpack: str = "") -> Path:
        lines = ['service = "demo"', 'default = "small"', "[models]", 'small = ["model.th"]']
        lines += ['[files."model.th"]', f'url = "{server.url}"', f'sha256 = "{sha256}"']
        lines += [f"size = {size}"] if size is not None else []
        lines += [f'unpack = "{unpack}"'] if unpack else []
        path = tmp_path / "weights.toml"
        path.write_text("\n".join(lines))
        return path

    return write


def quickly(path: Path, dest: Path, **options: object) -> list[Path]:
    return fetch(path, dest, pause=0.001, **options)  # type: ignore[arg-type]


# --- servers ----------------------------------------------------------------------------------------------


def test_a_file_is_fetched_once_and_progress_is_told(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = pins(size=len(CONTENT))
    expected = [tmp_path / "w" / "demo" / "model.th"]
    assert quickly(path, tmp_path / "w", progress=lambda *call: seen.append(call)) == expected
    assert expected[0].read_bytes() == CONTENT
    assert seen[-1] == ("model.th", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert quickly(path, tmp_path / "w") == expected
    assert len(server.requests) == 1
    assert sorted(entry.name for entry in expected[0].parent.iterdir()) == [".lock", "model.th"]


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.cut_after = 20_000
    quickly(pins(), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert len(server.requests) == 13
    assert server.requests[3]["range"] == "bytes=60000-"
    assert server.requests[3]["if-range"] == '"one"'
    assert server.sent == len(CONTENT)  # nothing twice


def test_what_trickles_in_is_told_and_kept_as_it_comes(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    """Whoever waits for a slow server sees how slow it is, and loses nothing by giving up."""
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
    quickly(pins(), tmp_path, progress=lambda *_: told.set())
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert len(requests) == 1


def test_the_next_call_goes_on_where_the_last_one_gave_up(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.cut_after, original = 100_000, server.answer

    def once(handler: http.server.BaseHTTPRequestHandler) -> None:
        server.answer = lambda handler: handler.send_error(503)  # type: ignore[method-assign]
        original(handler)

    server.answer = once  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match=r"503.*100000 bytes are kept"):
        quickly(pins(), tmp_path)
    assert not (tmp_path / "demo" / "model.th").exists()
    server.answer, server.cut_after = original, None  # type: ignore[method-assign]
    server.requests.clear()
    quickly(pins(), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert server.requests[0]["range"] == "bytes=100000-"


@pytest.mark.parametrize("fault", ["ranges are ignored", "ranges are wrong", "another version"])
def test_a_rest_that_does_not_fit_is_fetched_from_the_start(
    server: Server, pins: Callable[..., Path], tmp_path: Path, fault: str
) -> None:
    server.ranges = fault != "ranges are ignored"
    server.wrong_range = fault == "ranges are wrong"
    part = tmp_path / "demo" / "model.th.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:5000] if fault != "another version" else b"other bytes" * 500)
    quickly(pins(), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_thrown_away(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    part = tmp_path / "demo" / "model.th.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    quickly(pins(), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_resumed_across_calls(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    part = tmp_path / "demo" / "model.th.part"
    part.parent.mkdir()
    part.write_bytes(b"of who knows what" * 10)
    quickly(pins(sha256=""), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert "range" not in server.requests[0]


def test_a_server_that_always_breaks_off_at_the_same_place_is_given_up(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.ranges, server.cut_after = False, 70_000
    with pytest.raises(Unreachable, match="the connection was cut"):
        quickly(pins(), tmp_path)
    assert len(server.requests) <= 7
    assert not (tmp_path / "demo" / "model.th").exists()


@pytest.mark.parametrize("error", [1000, -1000])
def test_a_lie_about_the_length_does_no_harm(
    server: Server, pins: Callable[..., Path], tmp_path: Path, error: int
) -> None:
    server.length_error = error
    with pytest.raises((Unreachable, BadInput)):
        quickly(pins(), tmp_path)
    assert not (tmp_path / "demo" / "model.th").exists()


def test_no_declared_length_is_no_trouble(server: Server, pins: Callable[..., Path], tmp_path: Path) -> None:
    server.declares_length = False
    seen: list[int | None] = []
    quickly(pins(), tmp_path, progress=lambda _, __, total: seen.append(total))
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert set(seen) == {None}


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"?", b"", b"<html>not found</html>"])
def test_damaged_bytes_are_refused_and_deleted(
    server: Server, pins: Callable[..., Path], tmp_path: Path, content: bytes
) -> None:
    server.content = content
    with pytest.raises(BadInput, match=r"model\.th from http.* is damaged: its SHA-256"):
        quickly(pins(), tmp_path)
    assert [entry.name for entry in (tmp_path / "demo").iterdir()] == [".lock"]


def test_what_is_longer_than_pinned_is_not_read_to_its_end(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.content = CONTENT * 40
    with pytest.raises(BadInput, match="more than the 256000 bytes"):
        quickly(pins(size=len(CONTENT)), tmp_path)
    assert [entry.name for entry in (tmp_path / "demo").iterdir()] == [".lock"]


def test_a_wrong_size_is_refused(pins: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="256000 bytes; expected 256001"):
        quickly(pins(sha256="", size=len(CONTENT) + 1), tmp_path)


def test_a_file_that_is_not_there_is_not_asked_for_again(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.statuses = [404] * 9
    with pytest.raises(NotFound, match="404"):
        quickly(pins(), tmp_path)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server: Server, pins: Callable[..., Path], tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    quickly(pins(), tmp_path)
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT


def test_no_answer_at_all(server: Server, pins: Callable[..., Path], tmp_path: Path) -> None:
    path = pins()
    path.write_text(path.read_text().replace(server.url, "http://127.0.0.1:9/model.th"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        quickly(path, tmp_path)


def test_two_at_once_fetch_it_once(server: Server, pins: Callable[..., Path], tmp_path: Path) -> None:
    path = pins()
    threads = [threading.Thread(target=quickly, args=(path, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "demo" / "model.th").read_bytes() == CONTENT
    assert len(server.requests) == 1


# --- archives ---------------------------------------------------------------------------------------------


def archive(*members: tuple[str, bytes | str], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = kind, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_remembered(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.content = archive(("./checkpoint", b"model"), ("./sub/model.index", b"123"))
    path = pins(sha256=hashlib.sha256(server.content).hexdigest(), unpack="4stems")
    folder = tmp_path / "demo" / "4stems"
    assert quickly(path, tmp_path) == [folder]
    assert (folder / "sub" / "model.index").read_bytes() == b"123"
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [".lock", "4stems"]
    assert verify(path, tmp_path) == {}
    quickly(path, tmp_path)
    assert len(server.requests) == 1
    (folder / "checkpoint").write_bytes(b"mode1")
    assert verify(path, tmp_path) == {"model.th": "is damaged: checkpoint has changed since it was unpacked"}
    (folder / "checkpoint").unlink()
    assert verify(path, tmp_path) == {"model.th": "is damaged: checkpoint is missing"}
    quickly(path, tmp_path)
    assert verify(path, tmp_path) == {}
    assert "another archive" in verify(pins(sha256="0" * 64, unpack="4stems"), tmp_path)["model.th"]


@pytest.mark.parametrize(
    "content",
    [
        archive(("../escaped", b"x")),
        archive(("a/../../escaped", b"x")),
        archive(("/tmp/escaped", b"x")),
        archive(("link", "/etc"), kind=tarfile.SYMTYPE),
        archive(("link", ".."), ("link/escaped", b"x"), kind=tarfile.SYMTYPE),
        archive(("link", "../../weights.toml"), kind=tarfile.LNKTYPE),
        archive(("pipe", ""), kind=tarfile.FIFOTYPE),
        archive(("cut off", random.Random(0).randbytes(5000)))[:3000],
        b"not an archive",
    ],
    # By themselves the names would hold the archives' times, and every worker of a run in parallel others.
    ids=[
        "up",
        "further up",
        "absolute",
        "link",
        "through a link",
        "hard link",
        "pipe",
        "cut off",
        "no archive",
    ],
)
def test_archives_that_mean_harm_are_refused(
    server: Server, pins: Callable[..., Path], tmp_path: Path, content: bytes
) -> None:
    server.content = content
    dest = tmp_path / "dest"
    path = pins(sha256="", unpack="folder")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput):
        quickly(path, dest)
    assert not (dest / "demo" / "folder").exists()
    assert not Path("/tmp/escaped").exists()
    outside = [entry for entry in tmp_path.rglob("*") if not entry.is_relative_to(dest)]
    assert sorted(outside) == before
    assert not list(dest.rglob(".tmp-*"))
    assert not list(dest.rglob("*.part"))


def test_an_archive_of_nothing_is_no_model(server: Server, pins: Callable[..., Path], tmp_path: Path) -> None:
    server.content = archive()
    with pytest.raises(BadInput, match="holds no files"):
        quickly(pins(sha256="", unpack="folder"), tmp_path)


def test_an_archive_does_not_write_its_own_record(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    server.content = archive((".unpacked.json", b"{}"), ("checkpoint", b"model"))
    path = pins(sha256="", unpack="folder")
    quickly(path, tmp_path)
    assert verify(path, tmp_path) == {}
    (tmp_path / "demo/folder/checkpoint").write_bytes(b"mode1")
    assert "checkpoint has changed" in verify(path, tmp_path)["model.th"]


def test_an_archive_that_unpacks_without_end_is_refused(
    server: Server, pins: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGEST", 5_000)
    server.content = archive(("zeros", bytes(1_000_000)))
    with pytest.raises(BadInput, match="unpacks to more than 5000 bytes"):
        quickly(pins(sha256="", unpack="folder"), tmp_path)
    assert not (tmp_path / "demo" / "folder").exists()


# --- pins, and what a service asks ------------------------------------------------------------------------


def test_require_names_the_file_and_the_command(
    server: Server, pins: Callable[..., Path], tmp_path: Path
) -> None:
    path = pins()
    path.write_text(
        path.read_text().replace('small = ["model.th"]', 'small = ["model.th"]\nlarge = ["model.th"]')
    )
    with pytest.raises(
        NotReady, match=r"demo/model\.th is missing; get it with: mssbench weights fetch demo$"
    ):
        require(path, tmp_path)
    with pytest.raises(NotReady, match=r"weights fetch demo:large$"):
        require(path, tmp_path, "large")
    quickly(path, tmp_path)
    require(path, tmp_path)
    (tmp_path / "demo" / "model.th").write_bytes(b"junk")
    with pytest.raises(NotReady, match="is damaged: its SHA-256 is"):
        require(path, tmp_path)
    with pytest.raises(NotFound, match="no pinned model 'huge'; pinned: small, large"):
        require(path, tmp_path, "huge")


@pytest.mark.parametrize(
    "change",
    [
        ("model.th", "../model.th"),
        ("model.th", ".hidden"),
        ("http://", "file://"),
        (SHA256[:8], "XYZ"),
        ('default = "small"', 'default = "none"'),
        ("url", "link"),
        ("[models]", "[model]"),
        ("service", "= ="),
        ('"demo"', '"../demo"'),
        ('"demo"', '""'),
        ('"demo"', '"/tmp/demo"'),
        ("sha256", 'size = "5"\nsha256'),
        ("sha256", "size = -5\nsha256"),
    ],
)
def test_pins_that_make_no_sense_are_refused(pins: Callable[..., Path], change: tuple[str, str]) -> None:
    path = pins()
    path.write_text(path.read_text().replace(*change))
    with pytest.raises((BadInput, NotFound)):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.toml does not exist"):
        load(tmp_path / "none.toml")


def test_where_weights_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", str(tmp_path))
    assert weights.weights_folder("demo") == tmp_path / "demo"
    monkeypatch.setenv("MSSBENCH_WEIGHTS_DIR", f"{tmp_path / 'volume'}:{tmp_path / 'image'}")
    assert weights.weights_folder("demo") == tmp_path / "volume" / "demo"
    (tmp_path / "image" / "demo").mkdir(parents=True)
    assert weights.weights_folder("demo") == tmp_path / "image" / "demo"
    (tmp_path / "volume" / "demo").mkdir(parents=True)
    assert weights.weights_folder("demo") == tmp_path / "volume" / "demo"
    monkeypatch.delenv("MSSBENCH_WEIGHTS_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights.weights_folder() == Path("/cache/mssbench/weights")


def test_the_commands(
    server: Server, pins: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, dest = str(pins()), str(tmp_path / "w")
    assert main(["verify", path, "--dest", dest]) == 1
    assert capsys.readouterr().out == "model.th is missing\n"
    assert main(["fetch", path, "--dest", dest]) == 0
    assert main(["verify", path, "--dest", dest]) == 0
    assert main(["fetch", path, "--dest", dest, "--model", "huge"]) == 1
    assert "no pinned model 'huge'" in capsys.readouterr().err


SERVICES = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(SERVICES.glob("*/*_service/weights.toml")), ids=lambda p: p.parts[-3])
def test_the_services_own_pins_can_be_read(path: Path) -> None:
    pins = load(path)
    assert pins.service == path.parts[-3]
    for model in pins.models:
        for weight in pins.of(model):
            assert len(weight.sha256) >= 8
            assert weight.url.startswith("https://")
