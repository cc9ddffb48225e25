"""Steps give the same results and errors in this process and over HTTP, with real servers."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench.services.health import survey, survey_separators
from mssbench.services.http import HttpTransport
from mssbench.services.inprocess import InProcessTransport
from mssbench.services.registry import Registry, Service, load_registry
from mssbench.services.runtime import Runtime, make_runtime
from mssbench.settings.limits import Limits
from mssbench_contract import running
from mssbench_contract.server import http_server
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    BenchError,
    Busy,
    NotFound,
    StepFailed,
    TimedOut,
    TooLarge,
    Unavailable,
    Unreachable,
)
from mssbench_service.files import DataRoot
from mssbench_service.wire import EvaluateRequest, HrirRequest, RenderRequest, SeparateRequest, SeparatorInfo


@pytest.fixture
def over_http(workspace: Path) -> Iterator[Runtime]:
    """A runtime whose three services run as real servers on the workspace."""
    with contextlib.ExitStack() as stack:
        services = {}
        for name in ("synth", "evaluator", "oracle"):
            server = running(f"{name}_service.app:app", {"MSSBENCH_DATA_ROOT": str(workspace)})
            services[name] = Service(name, f"{name}_service", stack.enter_context(server).url)
        transport = HttpTransport()
        stack.callback(transport.close)
        oracle = services.pop("oracle")
        yield Runtime(transport, Registry(services, {"oracle": oracle}), DataRoot(workspace))


def in_process(root: Path) -> Runtime:
    return Runtime(InProcessTransport(DataRoot(root)), load_registry(), DataRoot(root))


def test_steps_give_the_same_results_over_http_and_in_process(workspace: Path, over_http: Runtime) -> None:
    local = in_process(workspace)
    track = f"music/test/{sorted(p.name for p in (workspace / 'music/test').iterdir())[0]}"
    angles = {"vocals": 30.0, "drums": 90.0, "bass": 270.0, "other": 0.0}
    assert over_http.describe_hrir(HrirRequest("sphere")) == local.describe_hrir(HrirRequest("sphere"))
    results = {}
    for name, runtime in (("local", local), ("http", over_http)):
        rendered = runtime.render(RenderRequest(track, f"{name}/rendered", "sphere", angles))
        separated = runtime.separate(
            "oracle",
            SeparateRequest(f"{name}/rendered/mixture.wav", f"{name}/out", "oracle-irm", f"{name}/rendered"),
        )
        scores = runtime.evaluate(EvaluateRequest(f"{name}/rendered", f"{name}/out"))
        results[name] = (rendered.mixture_gain, separated.samples, json.dumps(scores.rows)[:200])
        assert [row["source"] for row in scores.rows] == ["vocals", "drums", "bass", "other"]
    for one, other in zip(
        sorted((workspace / "local").rglob("*.wav")), sorted((workspace / "http").rglob("*.wav")), strict=True
    ):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert results["local"][:2] == results["http"][:2]


def test_a_survey_gives_the_same_over_http_and_in_process(workspace: Path, over_http: Runtime) -> None:
    root = DataRoot(workspace)
    local = Runtime(InProcessTransport(root), over_http.registry, root)
    assert _offers(over_http) == _offers(local)


def _offers(runtime: Runtime) -> list[tuple[str, str, list[SeparatorInfo], str]]:
    return [(one.name, one.state, one.separators, one.version) for one in survey(runtime)]


@pytest.mark.parametrize(
    ("request_", "kind", "says"),
    [
        (HrirRequest("nowhere.sofa"), NotFound, "'nowhere.sofa' does not exist under the data root"),
        (HrirRequest("../x"), BadInput, "leads outside the data root"),
        (HrirRequest("music"), BadInput, "music"),
    ],
)
def test_errors_have_the_same_class_and_message_over_http(
    workspace: Path, over_http: Runtime, request_: HrirRequest, kind: type[BenchError], says: str
) -> None:
    for runtime in (in_process(workspace), over_http):
        with pytest.raises(kind) as caught:
            runtime.describe_hrir(request_)
        assert says in caught.value.detail
    assert str(workspace) not in caught.value.detail, "the message contains a path of the server"


@contextlib.contextmanager
def server_that_answers(
    status: int, *parts: bytes, for_ever: float | None = None, limit: float = 60.0
) -> Iterator[Runtime]:
    """Serve `parts` as the answer to a client with this time limit; with `for_ever`, endlessly and with this pause.

    `for_ever` and `limit` are in seconds.
    """

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        with contextlib.suppress(OSError):  # the client has closed the connection
            for part in parts if for_ever is None else itertools.cycle(parts):
                handler.wfile.write(part)
                time.sleep(for_ever or 0.0)

    with (
        http_server(answer) as url,
        contextlib.closing(HttpTransport(Limits(step_seconds=limit))) as transport,
    ):
        registry = Registry({"synth": Service("synth", "synth_service", url)}, {})
        yield Runtime(transport, registry, DataRoot(Path.cwd()))


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (200, b"<html>", BadOutput, "not JSON"),
        (200, b"[]", BadOutput, "not a describe_hrir result"),
        (200, b'{"name": "x"}', BadOutput, "not a describe_hrir result"),
        (307, b"<html>", StepFailed, "answered 307 without a reason"),
        (500, b"oops", StepFailed, "answered 500 without a reason"),
        (502, b"<html>bad gateway", Unavailable, "answered 502 without a reason"),
        (404, b"{}", NotFound, "no detail given"),
        (413, b'{"title": "too big"}', TooLarge, "too big"),
        (418, b"[1]", BadInput, "no detail given"),
        (503, json.dumps(Busy("later", retry_after=7).to_problem()).encode(), Busy, "later"),
    ],
)
def test_invalid_answers_and_problem_documents_raise_errors(
    status: int, body: bytes, kind: type[BenchError], says: str
) -> None:
    with server_that_answers(status, body) as runtime, pytest.raises(kind, match=says) as caught:
        runtime.describe_hrir(HrirRequest("sphere"))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("part", "pause", "limit", "kind", "says"),
    [
        (b"[" * 2**20, 0.0, 60.0, BadOutput, "synth sent an answer of more than 16 MiB"),
        (b" ", 0.1, 3.0, TimedOut, "synth did not finish its answer within 3 s"),
    ],
    ids=["too much", "too slow"],
)
def test_an_endless_answer_is_cut_off(
    part: bytes, pause: float, limit: float, kind: type[BenchError], says: str
) -> None:
    """An endless answer must not fill the memory of a worker or block it."""
    with (
        server_that_answers(200, part, for_ever=pause, limit=limit) as runtime,
        pytest.raises(kind, match=says),
    ):
        runtime.describe_hrir(HrirRequest("sphere"))


def test_headers_sent_a_byte_at_a_time_are_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        synth = Service("synth", "synth_service", f"http://127.0.0.1:{listening.getsockname()[1]}")
        transport = HttpTransport(Limits(step_seconds=0.5, step_seconds_per_audio_second=1e-6))
        runtime = Runtime(transport, Registry({"synth": synth}, {}), DataRoot(Path.cwd()))
        with pytest.raises(TimedOut, match=r"did not answer within 0\.5"):
            runtime.describe_hrir(HrirRequest("sphere"))
        transport.close()
        thread.join(60)
        assert not thread.is_alive(), "the connection is closed"


def test_a_stopped_service_is_unreachable() -> None:
    nowhere = Service("synth", "synth_service", "http://127.0.0.1:1")
    transport = HttpTransport(Limits(step_seconds=5.0))
    runtime = Runtime(transport, Registry({"synth": nowhere}, {"gone": nowhere}), DataRoot(Path.cwd()))
    with pytest.raises(Unreachable, match=r"synth at .* does not answer"):
        runtime.describe_hrir(HrirRequest("sphere"))
    assert "does not answer" in survey_separators(runtime)[0].reason
    transport.close()


def test_a_missing_package_is_reported_with_a_remedy(tmp_path: Path) -> None:
    absent = Registry({}, {"absent": Service("absent", "no_such_package", "")})
    runtime = Runtime(InProcessTransport(DataRoot(tmp_path)), absent, DataRoot(tmp_path))
    (found,) = survey(runtime)
    assert found.separators == []
    assert "no_such_package" in found.reason
    assert "MSSBENCH_URL_ABSENT" in found.reason


def test_a_broken_package_does_not_affect_other_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_for_a_test.py").write_text("raise RuntimeError('no such driver')")
    monkeypatch.syspath_prepend(tmp_path)
    services = {
        "broken": Service("broken", "broken_for_a_test", ""),
        "oracle": Service("oracle", "oracle_service", ""),
    }
    runtime = Runtime(InProcessTransport(DataRoot(tmp_path)), Registry({}, services), DataRoot(tmp_path))
    broken, oracle = survey(runtime)
    assert "RuntimeError: no such driver" in broken.reason
    assert oracle.separators


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        (
            "raise NotReady('/w/a.th is missing; get it with: mssbench weights fetch hollow')",
            "/w/a.th is missing",
        ),
        ("raise OSError('no such device')", "setup of hollow failed: OSError: no such device"),
    ],
)
def test_a_separator_whose_setup_fails_is_unavailable_before_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setup: str, says: str
) -> None:
    package = f"hollow_{abs(hash(says))}"
    (tmp_path / f"{package}.py").write_text(
        "from mssbench_service.errors import NotReady\n"
        "from mssbench_service.separation import Separator\n"
        "class Hollow(Separator):\n"
        f"    def setup(self): {setup}\n"
        "    def separate(self, mixture, sample_rate): ...\n"
        "SEPARATORS = {'hollow': Hollow}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry({}, {"hollow": Service("hollow", package, "")})
    (found,) = survey(Runtime(InProcessTransport(DataRoot(tmp_path)), registry, DataRoot(tmp_path)))
    assert found.separators == []
    assert says in found.reason


def test_a_service_with_a_url_is_called_over_http_and_others_in_process(
    over_http: Runtime, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSSBENCH_URL_ORACLE", over_http.registry.separators["oracle"].url)
    with contextlib.closing(make_runtime(workspace)) as runtime:
        assert runtime.describe_hrir(HrirRequest("sphere")).name == "sphere"
        track = next((workspace / "music/test").iterdir())
        reference = track.relative_to(workspace).as_posix()
        runtime.separate("oracle", SeparateRequest(f"{reference}/mixture.wav", "out", "oracle-mixture"))
        assert (workspace / "out/vocals.wav").exists()
        with pytest.raises(BadInput, match="outside the data root"):  # the error of the service
            runtime.separate("oracle", SeparateRequest("/etc/hosts", "out2", "oracle-mixture"))


def test_an_unknown_transport_and_a_broken_registration_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSSBENCH_TRANSPORT", "pigeon")
    with pytest.raises(BadInput, match="unknown transport 'pigeon'"):
        make_runtime(tmp_path)
    (tmp_path / "services.toml").write_text("[tools]\nsynth = 3\n")
    with pytest.raises(BadInput, match=r"services\.toml is not a list of services"):
        load_registry(tmp_path / "services.toml")


def test_the_environment_sets_the_url_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSBENCH_URL_ORACLE", "http://elsewhere:1/")
    assert load_registry().separators["oracle"].url == "http://elsewhere:1"
