"""Values from outside: paths, names, headers, archives and responses of other programs."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from fuzzing import JSON, TEXT, bytes_near, examples, is_one_line, json_near
from hypothesis import example, given
from hypothesis import strategies as st
from mssbench.datasets.unpack import unzip
from mssbench.runs.config import RunConfig
from mssbench.runs.status import format_duration
from mssbench.runs.store import Workspace
from mssbench.server.dashboard.pages import utc_time
from mssbench.server.dashboard.views import page_number
from mssbench.server.middleware import AuthMiddleware
from mssbench.services.health import survey, survey_separators
from mssbench.services.http import HttpTransport
from mssbench.services.registry import Registry, Service
from mssbench.services.runtime import Runtime
from mssbench_contract.server import http_server
from mssbench_service import archives, logs, wire
from mssbench_service.download import RemoteFile, download
from mssbench_service.errors import BadInput, BenchError, NotFound, Starting, from_problem
from mssbench_service.files import DataRoot
from mssbench_service.healthcheck import check
from mssbench_service.wire import parse

# --- JSON ----------------------------------------------------------------------------------------------

pytestmark = pytest.mark.search

WIRE: dict[Any, dict[str, Any]] = {
    wire.HrirRequest: {"hrir": "sphere"},
    wire.RenderRequest: {"track": "music/test/A", "out": "out", "hrir": "sphere", "angles": {"vocals": 0.0}},
    wire.SeparateRequest: {"mixture": "a/mixture.wav", "out": "out"},
    wire.EvaluateRequest: {"reference": "music/test/A", "estimate": "out"},
    wire.EvaluateResult: {"rows": [{"source": "vocals", "SSR": 1.0}], "seconds": 1.0},
    wire.SeparatorInfo: {
        "name": "a",
        "description": "b",
        "expected": [{"column": "SSR", "low": 0, "high": None}],
    },
    RunConfig: {"dataset": "music", "separators": ["oracle-mixture"], "tracks": 1},
}


@pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)
def test_a_wire_type_is_parsed_or_refused(kind: Any) -> None:
    whole = WIRE[kind] | {
        one.name: one.default
        for one in fields(kind)
        if one.default is not MISSING and one.name not in WIRE[kind]
    }

    @examples(60)
    @given(value=json_near(whole) | JSON)
    def search(value: Any) -> None:
        try:
            parsed = parse(kind, value)
        except BadInput as error:
            refusal = error
        else:
            assert parse(kind, asdict(parsed)) == parsed or "nan" in repr(parsed)
            return
        assert is_one_line(refusal)

    search()


@examples(100)
@given(
    problem=st.dictionaries(
        st.sampled_from(["type", "title", "status", "detail", "retry_after"]), JSON | TEXT
    )
)
@example({"type": "urn:mssbench:error:busy", "retry_after": 10**400})
@example({"status": True, "detail": {"a": "b"}})
def test_a_problem_document_becomes_a_bench_error(problem: dict[str, Any]) -> None:
    error = from_problem(problem)
    again = from_problem(error.to_problem())
    assert (type(again), again.detail) == (type(error), error.detail)
    assert "\n" not in error.detail


# --- paths and names ---------------------------------------------------------------------------------------

PARTS = (
    st.sampled_from(
        ["..", ".", "", "in", "file", "out", "loop", "inside", "~", "a" * 300, "\0", "\udcff", "é"]
    )
    | TEXT
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with links that lead outside, to themselves and to another folder inside."""
    folder = tmp_path_factory.mktemp("paths")
    root = folder / "root"
    (root / "in").mkdir(parents=True)
    (root / "in/file").write_text("")
    (folder / "secret").write_text("")
    (root / "out").symlink_to(folder)
    (root / "loop").symlink_to("loop")
    (root / "inside").symlink_to("in")
    return root


@examples(300)
@given(reference=st.lists(PARTS, max_size=6).map("/".join) | TEXT)
@example("out/secret")
@example("in/../../secret")
@example("inside/../../secret")
@example("loop")
@example("\udcff")
def test_a_reference_resolves_inside_the_root_or_is_refused(root: Path, reference: str) -> None:
    data_root = DataRoot(root)
    try:
        path = data_root.resolve(reference)
    except BadInput:
        return
    assert path.resolve().is_relative_to(root.resolve())
    assert data_root.resolve(data_root.reference(path)) == path
    try:
        assert data_root.existing(reference).exists()
    except (NotFound, BadInput):
        assert not os.path.exists(path)


@examples(200)
@given(run_id=TEXT | st.from_regex(re.compile(r"[A-Za-z0-9_-]{1,66}\n?", re.ASCII), fullmatch=True))
@example("a\n")
@example("é")
@example("a/b")
@example(".hidden")
def test_a_run_id_is_a_plain_name_or_is_refused(run_id: str) -> None:
    runs = Path("/root/runs")
    try:
        folder = Workspace(Path("/root")).run(run_id).folder
    except BadInput:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id, re.ASCII) is None
        return
    assert folder.parent == runs
    assert folder.name == run_id


@examples(100)
@given(dataset=TEXT, fingerprint=TEXT)
def test_every_run_gets_a_valid_id(dataset: str, fingerprint: str) -> None:
    name = RunConfig(dataset).run_id(fingerprint)
    assert Workspace(Path("/root")).run(name).id == name


# --- headers -----------------------------------------------------------------------------------------------

LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
BAGGAGE = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["mssbench-run", "mssbench-cell", "other", ""]),
        LATIN | st.just("%ff%"),
    ),
    max_size=4,
).map(",".join)


@examples(200)
@given(request_id=LATIN, baggage=BAGGAGE | LATIN)
def test_headers_never_fail_and_never_split_a_line(request_id: str, baggage: str) -> None:
    found = logs.from_headers(request_id, baggage)
    assert re.fullmatch(r"[\w.-]{1,64}", found["request_id"], re.ASCII)
    with logs.context(**found):
        sent = logs.headers()
    for value in sent.values():
        assert value.isascii()
        assert value.isprintable()


@examples(100)
@given(run=st.text(max_size=60), cell=st.text(max_size=60))
@example("music-1", "stereo/oracle/Ärger, =; [Live] & 100%")
def test_log_context_is_passed_to_the_next_service(run: str, cell: str) -> None:
    with logs.context(request_id="one", run=run, cell=cell):
        sent = logs.headers()
    expected = {"request_id": "one"} | {
        name: value for name, value in (("run", run), ("cell", cell)) if value
    }
    assert logs.from_headers(sent["X-Request-ID"], sent.get("baggage", "")) == expected


NAMES = st.sampled_from([b"origin", b"host", b"authorization", b"content-type"])


@examples(200)
@given(headers=st.lists(st.tuples(NAMES, LATIN.map(lambda text: text.encode("latin-1"))), max_size=4))
@example([(b"origin", b"http://["), (b"host", b"[")])
@example([(b"origin", b"null")])
@example([(b"authorization", b"Bearer \xff")])
def test_access_without_the_token_is_denied(headers: list[tuple[bytes, bytes]]) -> None:
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let in")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/runs", "headers": headers}
    asyncio.run(AuthMiddleware(application, token="secret")(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] in (401, 403)


@examples(150)
@given(asked=TEXT | st.integers().map(str), count=st.integers(0, 10**6))
@example("²", 5)
def test_a_requested_page_number_is_limited_to_existing_pages(asked: str, count: int) -> None:
    page, last = page_number(asked, count, 20)
    assert 1 <= page <= last


@examples(150)
@given(
    created=TEXT
    | st.datetimes().map(str)
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59-14:00"])
)
@example("0001-01-01")
@example("9999-12-31T23:59:59-14:00")
def test_any_time_of_a_record_can_be_shown(created: str) -> None:
    assert isinstance(utc_time(created), str)


@examples(100)
@given(seconds=st.floats(0, 1e9))
def test_any_duration_can_be_shown(seconds: float) -> None:
    assert re.fullmatch(r"\d+ (s|min|h \d+ min|d \d+ h)", format_duration(seconds))


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
