"""The API of every running service conforms to its OpenAPI description, and almost valid requests are handled.

The three model services use the same application as the oracle and the template (``mssbench_service.separator_app``)
and are not tested separately.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import mssbench_service
import pytest
import schemathesis
from fuzzing import SEED, TEXT, examples, json_near
from hypothesis import given
from hypothesis import strategies as st
from mssbench.execution.embedded import embedded_server
from mssbench.execution.launch import execute_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.server import examples as shown
from mssbench.services.runtime import make_runtime
from mssbench_contract import RunningService, running
from mssbench_contract.server import orchestrator
from mssbench_service.problems import MEDIA_TYPE
from schemathesis.checks import CHECKS, load_all_checks

pytestmark = pytest.mark.search

APPLICATIONS = {
    "orchestrator": "mssbench.server.app",
    "synth": "synth_service.app",
    "evaluator": "evaluator_service.app",
    "oracle": "oracle_service.app",
    "template": "template_service.app",
}

# --- the services ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Path:
    """A data root with two tracks and a complete run with the id of the API's examples."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(_demo_tracks, root / "music")
    config = RunConfig(
        "music",
        separators=["oracle-mixture"],
        tracks=1,
        conditions=["stereo"],
        metrics="corrected",
        bsseval=False,
    )
    run = prepare(config, make_runtime(root), run_id=shown.RUN_ID)
    execute_inline(run, lambda status: None)
    shutil.copytree(run.store.folder, root.with_name(f"{root.name}-run"))
    return root


ServiceOf = Callable[[str], RunningService]
Test = Callable[..., None]


@pytest.fixture(scope="module")
def service_of(root: Path) -> Iterator[ServiceOf]:
    """Maps a name to the running service, which is started on first use."""
    with contextlib.ExitStack() as started:
        yield functools.cache(lambda name: started.enter_context(_serve(name, root)))


@contextlib.contextmanager
def _serve(name: str, root: Path) -> Iterator[RunningService]:
    environment = {
        "MSSBENCH_DATA_ROOT": str(root),
        "MSSBENCH_MAX_UPLOAD_MB": "1",
        "MSSBENCH_MAX_SECONDS": "10",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if name != "orchestrator":
        with running(f"{APPLICATIONS[name]}:app", environment) as service:
            yield service
        return
    with embedded_server() as redis, orchestrator(root, redis.url, environment) as service:
        yield service


# --- checks of every response ------------------------------------------------------------------------------


def check_answer(status: int, content_type: str, body: bytes, root: Path) -> None:
    """Check that an error is a problem document, that no path of the machine is shown, and that JSON is valid."""
    text = body.decode("utf-8", "replace")
    assert "Traceback (most recent call last)" not in text
    places = (
        root,
        root.resolve(),
        sys.prefix,
        Path(mssbench_service.__file__).parent,
        Path(os.__file__).parent,
    )
    for place in (*map(str, places), f"{tempfile.gettempdir()}/separate-"):
        assert place not in text
    kind = content_type.partition(";")[0]
    if status >= 400:
        assert kind == MEDIA_TYPE, text
        problem = json.loads(body)
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        assert "\n" not in problem["detail"]
    elif kind == "application/json" and body:
        json.loads(body, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


# --- conformance to OpenAPI --------------------------------------------------------------------------------

load_all_checks()
CONFORMING = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    )
]


def described(name: str) -> Callable[[Test], Test]:
    """Test cases for every operation in the description of the service."""
    schema = schemathesis.openapi.from_dict(importlib.import_module(APPLICATIONS[name]).app.openapi())
    schema.config.update(base_url="http://127.0.0.1")
    schema.config.seed = SEED
    decorate: Callable[[Test], Test] = schema.parametrize()
    return decorate


def conforms(case: Any, url: str, root: Path) -> None:
    answer = case.call_and_validate(base_url=url, checks=CONFORMING, timeout=600)
    check_answer(answer.status_code, answer.headers.get("content-type", [""])[0], answer.content, root)
    if case.method == "DELETE" and answer.status_code == 204:  # restored for the next case
        shutil.copytree(root.with_name(f"{root.name}-run"), root / "runs" / shown.RUN_ID, dirs_exist_ok=True)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_service_returns_its_description(name: str, service_of: ServiceOf) -> None:
    returned = httpx.get(f"{service_of(name).url}/openapi.json", timeout=60).json()
    assert returned == importlib.import_module(APPLICATIONS[name]).app.openapi()


@described("orchestrator")
@examples(10)
def test_the_orchestrator_conforms_to_its_description(case: Any, service_of: ServiceOf, root: Path) -> None:
    conforms(case, service_of("orchestrator").url, root)


def conformity(name: str) -> Test:
    """The same test of another service."""

    @described(name)
    @examples(10)
    def test(case: Any, service_of: ServiceOf, root: Path) -> None:
        conforms(case, service_of(name).url, root)

    return test


test_the_synth_conforms_to_its_description = conformity("synth")
test_the_evaluator_conforms_to_its_description = conformity("evaluator")
test_the_oracle_conforms_to_its_description = conformity("oracle")
test_the_template_conforms_to_its_description = conformity("template")


# --- almost valid -----------------------------------------------------------------------------------------

TRACK = "music/test/The Tin Lanterns - Don't Look Down"
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("orchestrator", "/runs"): {
        "dataset": "music",
        "separators": ["oracle-mixture"],
        "conditions": ["stereo"],
    },
    ("synth", "/render"): {
        "track": TRACK,
        "out": "rendered",
        "hrir": "sphere",
        "angles": {"vocals": 0, "drums": 10, "bass": 20, "other": 30},
    },
    ("synth", "/describe_hrir"): {"hrir": "sphere", "sample_rate": 44100, "curves": True},
    ("evaluator", "/evaluate"): {
        "reference": TRACK,
        "estimate": TRACK,
        "profile": "corrected",
        "bsseval": False,
        "frames": "frames.parquet",
    },
    ("oracle", "/separate"): {
        "mixture": f"{TRACK}/mixture.wav",
        "out": "separated",
        "separator": "oracle-irm",
        "references": TRACK,
        "reference_gain": 1.0,
    },
    ("template", "/separate"): {"mixture": f"{TRACK}/mixture.wav", "out": "separated"},
}


@pytest.mark.parametrize(("name", "path"), REQUESTS, ids="".join)
def test_an_almost_valid_request_is_accepted_or_refused(
    name: str, path: str, service_of: ServiceOf, root: Path
) -> None:
    service = service_of(name)
    with httpx.Client(base_url=service.url, timeout=600) as client:

        def send(body: bytes) -> int:
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            check_answer(answer.status_code, answer.headers.get("content-type", ""), answer.content, root)
            assert answer.status_code < 500, answer.text + service.log.read_text()[-5000:]
            return answer.status_code

        assert send(json.dumps(REQUESTS[name, path]).encode()) in (200, 202)
        for body in (b"", b"[" * 100_000, b"\xff", b"NaN", b'{"a":', b"null"):
            assert 400 <= send(body) < 500

        @examples(25)
        @given(body=json_near(REQUESTS[name, path]))
        def search(body: Any) -> None:
            send(json.dumps(body).encode())

        search()


HEADER = st.sampled_from(
    [
        "Origin",
        "X-Request-ID",
        "baggage",
        "Prefer",
        "Range",
        "If-Range",
        "If-None-Match",
        "Accept",
        "Authorization",
    ]
)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20) | st.sampled_from(
    ["http://[", "bytes=0-", "bytes=-", "bytes=5-1", "bytes=0-0,5-6", "wait=0", "a=%ff", "²", "Bearer"]
)


@pytest.mark.parametrize("name", ["orchestrator", "oracle"])
def test_any_header_and_any_path_gets_a_response(name: str, service_of: ServiceOf, root: Path) -> None:
    known = ["health", "info", "weights", "runs", shown.RUN_ID, "events", "results", "results.csv", "report"]
    parts = st.sampled_from([*known, "ui", "index.html", "..", "%2e%2e", "%00", "%ff", "", "*"]) | TEXT

    with httpx.Client(base_url=service_of(name).url, timeout=600) as client:

        @examples(60)
        @given(
            method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"]),
            parts=st.lists(parts, max_size=4),
            headers=st.dictionaries(HEADER, VALUE.map(str.strip), max_size=2),
        )
        def search(method: str, parts: list[str], headers: dict[str, str]) -> None:
            path = "/".join(
                part.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for part in parts
            )
            if method == "DELETE" and shown.RUN_ID in path:
                return  # the other tests need this run
            try:
                url = client.base_url.join("/" + path.replace("//", "/").lstrip("/"))
            except (httpx.InvalidURL, ValueError):
                return
            answer = client.request(
                method, url, headers={key.encode(): value.encode("latin-1") for key, value in headers.items()}
            )
            kind = answer.headers.get("content-type", "")
            assert answer.status_code < 500, answer.text
            if method != "HEAD" and not kind.startswith("text/html"):
                check_answer(answer.status_code, kind, answer.content, root)

        search()
