"""Archives and responses of other programs."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fuzzing import JSON, LATIN, bytes_near, examples, json_near
from hypothesis import example, given
from hypothesis import strategies as st
from mssbench.datasets.unpack import unzip
from mssbench.services.health import survey, survey_separators
from mssbench.services.http import HttpTransport
from mssbench.services.registry import Registry, Service
from mssbench.services.runtime import Runtime
from mssbench_contract.server import http_server
from mssbench_service import archives, wire
from mssbench_service.download import RemoteFile, download
from mssbench_service.errors import BenchError, Starting
from mssbench_service.files import DataRoot
from mssbench_service.healthcheck import check

pytestmark = pytest.mark.search

# --- archives ----------------------------------------------------------------------------------------------


def _zip(members: list[tuple[str, bytes, int]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(content, "w", compression) as archive:
        for name, data, mode in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr, info.compress_type = name, mode << 16, compression
            archive.writestr(info, data)
    return content.getvalue()


def _tar(members: list[tuple[str, bytes, int]]) -> bytes:
    content = io.BytesIO()
    kinds = {
        0: tarfile.REGTYPE,
        0o120000: tarfile.SYMTYPE,
        0o40000: tarfile.DIRTYPE,
        0o10000: tarfile.FIFOTYPE,
    }
    with tarfile.open(fileobj=content, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data, mode in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kinds.get(mode, tarfile.LNKTYPE), "../../outside"
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return content.getvalue()


MEMBER_NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "A", "b", "C:", "\\", "con", "a" * 300, "e\u0301", "é", "__MACOSX"]),
    min_size=1,
    max_size=4,
).map("/".join)
MEMBERS = st.lists(
    st.tuples(
        MEMBER_NAMES,
        st.binary(max_size=20),
        st.sampled_from([0, 0o100644, 0o120777, 0o120000, 0o40000, 0o10000]),
    ),
    max_size=4,
)
PLAIN = [("train/a/x.wav", b"abc" * 9, 0), ("train/b/", b"", 0o40000), ("c", b"", 0o100644)]


def _paths_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "inner" not in path.parts}


def _archive_in_folder(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> tuple[Path, Path]:
    outer = tmp_path_factory.mktemp("archive")
    (outer / "inner/folder").mkdir(parents=True)
    (outer / name).write_bytes(content)
    return outer, outer / "inner/folder"


@examples(150)
@given(content=MEMBERS.map(_zip) | bytes_near(_zip(PLAIN)) | bytes_near(_zip(PLAIN, zipfile.ZIP_STORED)))
@example(_zip([("../outside", b"x", 0)]))
@example(_zip([("link", b"../../outside", 0o120777)]))
@example(_zip([("a", b"x", 0), ("a/b", b"x", 0)]))
def test_a_zip_archive_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    outer, folder = _archive_in_folder(tmp_path_factory, content, "set.zip")
    with contextlib.suppress(BenchError):
        unzip(outer / "set.zip", folder, largest=1000)
    assert _paths_below(outer) == {"set.zip"}
    assert [entry.name for entry in (outer / "inner").iterdir()] == ["folder"]
    unpacked = [path for path in folder.rglob("*")]
    assert not any(path.is_symlink() for path in unpacked)
    assert sum(path.stat().st_size for path in unpacked if path.is_file()) <= 1000


@examples(100)
@given(content=MEMBERS.map(_tar) | bytes_near(_tar(PLAIN)))
@example(_tar([("../outside", b"x", 0)]))
@example(_tar([("a", b"", 0o120000)]))
@example(_tar([("a", b"x", 0), ("a/b", b"x", 0)]))
def test_a_tar_archive_stays_in_its_folder(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    outer, folder = _archive_in_folder(tmp_path_factory, content, "weights.tar.gz")
    with contextlib.suppress(BenchError):
        archives.unpack(outer / "weights.tar.gz", folder / "weights")
    assert _paths_below(outer) == {"weights.tar.gz"}
    assert [entry.name for entry in (outer / "inner").iterdir()] == ["folder"]
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    # It is unpacked completely, or not at all.
    assert [entry.name for entry in folder.iterdir()] in ([], ["weights"])


# --- responses of other programs -------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 4


@dataclass
class FixedServer:
    """A server that answers every request with `status`, `headers` and `body`."""

    url: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def says(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, tuple(headers), body


@pytest.fixture(scope="module")
def server() -> Iterator[FixedServer]:
    answering = FixedServer()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.send_response_only(answering.status)
        for name, value in answering.headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answering.body)
        handler.close_connection = True

    with http_server(answer) as answering.url:
        yield answering


@pytest.fixture(scope="module")
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    transport.close()


NUMBER_TEXT = (
    st.sampled_from(["", "0", "5", "1024", "-1", "+5", "²", "1" * 5000, "5.0", "0x5", "5, 5"]) | LATIN
)
RANGE = st.builds("bytes {}-{}/{}".format, NUMBER_TEXT, NUMBER_TEXT, NUMBER_TEXT) | LATIN


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "", text).strip()


ANSWER_HEADERS = st.lists(
    st.tuples(st.just("Content-Length"), NUMBER_TEXT.map(_one_line))
    | st.tuples(st.just("Content-Range"), RANGE.map(_one_line))
    | st.tuples(st.sampled_from(["ETag", "Last-Modified", "Content-Encoding"]), LATIN.map(_one_line)),
    max_size=3,
)


@examples(40)
@given(
    status=st.sampled_from([200, 206, 206, 204, 301, 302, 404, 416, 429, 500]),
    headers=ANSWER_HEADERS,
    there=st.integers(0, 1100),
    rest=st.integers(0, 1024),
)
@example(206, [("Content-Length", "²")], 5, 5)
@example(200, [("Content-Length", "1" * 5000)], 0, 0)
@example(206, [("Content-Range", "bytes " + "1" * 5000 + "-/9")], 5, 5)
@example(302, [("Location", "http://[")], 0, 0)
@example(302, [("Location", "file:///etc/passwd")], 0, 0)
def test_a_download_is_correct_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    server: FixedServer,
    status: int,
    headers: Any,
    there: int,
    rest: int,
) -> None:
    import hashlib

    part = tmp_path_factory.mktemp("download") / "file.part"
    part.write_bytes((CONTENT + b"more" * 100)[:there])
    server.says(status, headers, CONTENT[rest:])
    remote = RemoteFile("file", server.url, hashlib.sha256(CONTENT).hexdigest())
    with contextlib.suppress(BenchError):
        download(remote, part, pause=0.0, largest=5000)
        assert part.read_bytes() == CONTENT


BODIES = st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode())


@examples(60)
@given(
    status=st.sampled_from([200, 200, 200, 202, 204, 301, 400, 404, 413, 422, 429, 500, 503, 599]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["Content-Type", "Content-Encoding", "Retry-After", "Location"]),
            LATIN.map(_one_line),
        ),
        max_size=2,
    ),
    body=BODIES
    | json_near({"separators": [{"name": "a", "description": "b", "expected": []}], "version": "1"}).map(
        lambda value: json.dumps(value).encode()
    ),
)
@example(200, [], b"[" * 100_000)
@example(200, [("Content-Encoding", "gzip")], b"not gzip")
@example(200, [], b'{"separators": 5}')
@example(200, [], b"\xff")
def test_an_invalid_response_of_a_service_becomes_a_bench_error(
    server: FixedServer, transport: HttpTransport, status: int, headers: Any, body: bytes
) -> None:
    server.says(status, [*headers, ("Content-Length", str(len(body)))] if status != 204 else headers, body)
    service = Service("oracle", "oracle_service", server.url)
    tools = {name: Service(name, f"{name}_service", server.url) for name in ("synth", "evaluator")}
    runtime = Runtime(transport, Registry(tools, {"oracle": service}), DataRoot(Path.cwd()))
    (offered,) = survey_separators(runtime)
    assert offered.separators == [] or not offered.reason
    survey(runtime)
    for ask in (
        lambda: runtime.describe_hrir(wire.HrirRequest("sphere")),
        lambda: runtime.separate("oracle", wire.SeparateRequest("a", "b")),
    ):
        with contextlib.suppress(BenchError):
            ask()
    with contextlib.suppress(Starting):
        assert isinstance(check(server.url), str)
