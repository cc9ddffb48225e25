"""Values from outside: JSON, paths, names and headers."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import pytest
from fuzzing import JSON, LATIN, TEXT, examples, is_one_line, json_near
from hypothesis import example, given
from hypothesis import strategies as st
from mssbench.runs.config import RunConfig
from mssbench.runs.status import format_duration
from mssbench.runs.store import Workspace
from mssbench.server.dashboard.views import page_number
from mssbench.server.middleware import AuthMiddleware
from mssbench.text import utc_time
from mssbench_service import logs, wire
from mssbench_service.errors import BadInput, NotFound, from_problem
from mssbench_service.files import DataRoot
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
