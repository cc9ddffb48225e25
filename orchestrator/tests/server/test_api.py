"""The API of the orchestrator, called by a client. Some tests use real workers and server processes."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from mssbench.execution.embedded import embedded_server, embedded_workers
from mssbench.execution.queue_status import QueueStatus
from mssbench.report.page import content_security_policy, environment
from mssbench.report.summary import RunSummary, SeparatorSummary, StatisticsSummary, Summary
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell
from mssbench.runs.results import result_columns
from mssbench.runs.run import Run
from mssbench.runs.status import Failure, RunStatus, status_of
from mssbench.runs.store import Workspace
from mssbench.server import examples
from mssbench.server.app import create_app
from mssbench.server.leaderboard import LeaderboardSite
from mssbench_contract.server import Client, orchestrator, served, wait_for
from mssbench_service.app import Settings
from mssbench_service.errors import BadInput
from mssbench_service.files import DataRoot, write_json
from mssbench_service.musdb import STEMS
from mssbench_service.wire import parse
from redis.exceptions import ConnectionError as RedisConnectionError

RUN = {"dataset": "music", "separators": ["oracle-identity"], "tracks": 1, "bsseval": False}
QUEUES = ("render", "evaluate", "separate-oracle")


@pytest.fixture(scope="module")
def redis_server() -> Iterator[str]:
    with embedded_server() as redis:
        yield redis.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    from mssbench.execution.queues import connect

    with connect(redis_server) as connection:
        connection.flushall()
    return redis_server


def settings_of(workspace: Path) -> Settings:
    return Settings(data_root=DataRoot(workspace))


@contextmanager
def in_this_process(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve `app` in a thread, and yield a client once the service has started."""
    with served(app) as service, client_of(service) as client:
        wait_for(lambda: "still starting" not in client.get("/health").text)
        yield client


def client_of(service: Client) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


@pytest.fixture
def api(workspace: Path, redis_url: str) -> Iterator[httpx.Client]:
    """A client of the service, which is ready and has no workers."""
    with in_this_process(create_app(settings_of(workspace), redis_url)) as client:
        yield client


def events_of(client: httpx.Client, run_id: str) -> Generator[tuple[str, RunStatus], None, None]:
    with client.stream("GET", f"/runs/{run_id}/events", timeout=600) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, parse(RunStatus, json.loads(value))


def test_a_run_is_started_followed_and_read(workspace: Path, redis_url: str) -> None:
    with orchestrator(workspace, redis_url) as service, client_of(service) as client:
        started = client.post("/runs", json=RUN, headers={"X-Request-ID": "hello-1"})
        assert started.status_code == 202
        run_id = started.json()["id"]
        assert started.json()["state"] == "running"
        assert client.get(f"/runs/{run_id}/results.csv").status_code == 404
        assert {row["status"] for row in client.get(f"/runs/{run_id}/results").json()} == {"pending"}
        with embedded_workers(redis_url, workspace, QUEUES):
            events = list(events_of(client, run_id))
        assert [name for name, _ in events] == ["progress"] * (len(events) - 1) + ["end"]
        ended = [status.progress.ended for _, status in events]
        assert ended == sorted(ended)
        last = events[-1][1]
        assert last.state == "complete"
        assert last.problem == ""
        assert last.progress.ended == last.progress.cells == 2
        assert [(s.condition, s.ended, s.failed) for s in last.by_separator] == [
            ("stereo", 1, 0),
            ("binaural", 1, 0),
        ]
        rows = list(csv.DictReader(client.get(last.links["results.csv"]).text.splitlines()))
        assert len(rows) == 2 * 4
        assert "<html" in client.get(last.links["report/index.html"]).text
        assert [run["id"] for run in client.get("/runs").json()] == [run_id]
        for path in ("%2e%2e/run.json", "..%2frun.json", "%2fetc%2fpasswd"):
            answer = client.get(f"/runs/{run_id}/report/{path}")
            assert answer.status_code in (404, 422), path
            assert "schema" not in answer.text
        assert client.delete(f"/runs/{run_id}").status_code == 204
        assert not (workspace / "runs" / run_id).exists()
        # A client that follows a run does not delay the shutdown of the service.
        run_id = client.post("/runs", json=RUN).json()["id"]
        follower = events_of(client, run_id)
        assert next(follower)[1].state == "running"
        service.process.terminate()
        service.process.wait(timeout=60)
        follower.close()
        lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    (posted,) = [line for line in lines if line.get("request_id") == "hello-1" and "path" in line]
    assert (posted["method"], posted["path"], posted["status"]) == ("POST", "/runs", 202)
    assert {line["service"] for line in lines} == {"orchestrator"}


def test_a_restarted_orchestrator_finishes_its_runs(workspace: Path, redis_url: str) -> None:
    with orchestrator(workspace, redis_url) as service, client_of(service) as client:
        run_id = client.post("/runs", json=RUN).json()["id"]
        service.process.kill()
    with (
        orchestrator(workspace, redis_url) as service,
        client_of(service) as later,
        embedded_workers(redis_url, workspace, QUEUES),
    ):
        *_, (name, status) = events_of(later, run_id)
    assert (name, status.state, status.progress.failed) == ("end", "complete", 0)


def depth(api: httpx.Client, queue: str) -> int:
    found = parse(QueueStatus, api.get("/queues").json())
    return next(state.depth for state in found.queues if state.name == queue)


def test_a_run_that_is_started_again_with_other_code_is_refused(api: httpx.Client, workspace: Path) -> None:
    run_id = api.post("/runs", json=RUN).json()["id"]
    assert api.post(f"/runs/{run_id}/cancel").is_success
    record = workspace / "runs" / run_id / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"versions": {"oracle": "0.0.1"}}))
    refused = api.post("/runs", json=RUN)
    assert (refused.status_code, "version of oracle: 0.0.1" in refused.json()["detail"]) == (422, True)
    assert api.get(f"/runs/{run_id}").json()["state"] == "cancelled"


def test_a_cancelled_run_leaves_the_queues_and_can_be_resumed(api: httpx.Client) -> None:
    run = f"/runs/{api.post('/runs', json=RUN).json()['id']}"
    assert depth(api, "separate-oracle") == 1
    assert api.delete(run).status_code == 409
    cancelled = api.post(f"{run}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert depth(api, "separate-oracle") == 0
    assert api.post(f"{run}/cancel").json()["state"] == "cancelled"
    assert api.get(run).json()["progress"]["ended"] == 0
    assert api.post(f"{run}/resume").json()["state"] == "running"
    assert depth(api, "separate-oracle") == 1
    assert api.post(f"{run}/resume").json()["state"] == "running"
    assert api.post(f"{run}/cancel").status_code == 202
    assert api.delete(run).status_code == 204
    assert api.get(run).status_code == 404
    assert api.get("/runs").json() == []


def test_failed_cells_are_listed_and_can_be_retried(api: httpx.Client, workspace: Path) -> None:
    started = api.post("/runs", json=RUN | {"conditions": ["stereo"]}).json()
    run, store = f"/runs/{started['id']}", Workspace(workspace).run(started["id"])
    assert api.get(f"{run}/failures").json() == []
    assert api.post(f"{run}/retry").status_code == 409
    (cell,) = store.load().cells()
    assert isinstance(cell, Cell)
    store.save_error(cell, "separate", "bad-output", "bass.wav holds a NaN")
    (failure,) = [parse(Failure, item) for item in api.get(f"{run}/failures").json()]
    assert (failure.title, failure.step, failure.code) == (cell.title, "separate", "bad-output")
    assert failure.detail == "bass.wav holds a NaN"
    (share,) = api.get(run).json()["by_separator"]
    assert (share["ended"], share["failed"]) == (1, 1)
    assert api.post(f"{run}/retry").json()["progress"]["failed"] == 0
    assert api.get(run).json()["state"] == "running"


def test_a_report_that_cannot_be_written_is_a_problem_of_the_run(
    api: httpx.Client, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_the_way(run: Run) -> None:
        raise ValueError(f"{run.store.folder}/report is in the way")

    monkeypatch.setattr("mssbench.server.supervisor.finish", in_the_way)
    run_id = api.post("/runs", json=RUN | {"conditions": ["stereo"]}).json()["id"]
    store = Workspace(workspace).run(run_id)
    for cell in store.load().cells():
        store.save_error(cell, "separate", "step-failed", "it broke")
    wait_for(lambda: api.get(f"/runs/{run_id}").json()["state"] == "complete")
    assert api.get(f"/runs/{run_id}").json()["problem"] == f"ValueError: runs/{run_id}/report is in the way"
    assert f"runs/{run_id}/report is in the way" in api.get(f"/ui/runs/{run_id}").text


def test_runs_are_paged_newest_first(api: httpx.Client) -> None:
    names = [api.post("/runs", json=RUN | {"seed": seed}).json()["id"] for seed in range(3)]
    first = api.get("/runs", params={"limit": 2})
    assert [run["id"] for run in first.json()] == [names[2], names[1]]
    assert first.headers["x-total-count"] == "3"
    assert [run["id"] for run in api.get("/runs?limit=2&offset=2").json()] == [names[0]]


def test_metrics_report_queues_and_runs(api: httpx.Client) -> None:
    api.post("/runs", json=RUN)
    lines = api.get("/metrics").text.splitlines()
    assert 'mssbench_queue_jobs{queue="separate-oracle",state="queued"} 1.0' in lines
    assert 'mssbench_cells{state="open"} 2.0' in lines
    assert "mssbench_redis_up 1.0" in lines


# -- errors --------------------------------------------------------------------------------------------------


def problem_of(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem: dict[str, object] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def test_a_bad_request_is_a_problem_document(api: httpx.Client) -> None:
    for body, status, says in [
        ({"dataset": "nowhere"}, 404, "'nowhere' does not exist"),
        ({"dataset": "/etc"}, 422, "leads outside the data root"),
        ({"dataset": "s3://lab/music"}, 422, "is a URL; copy it with mssbench pull"),
        ({"dataset": "music/../../etc"}, 422, "leads outside the data root"),
        ({"dataset": "music", "hrir": "../x.sofa"}, 422, "leads outside the data root"),
        ({"dataset": "music", "angles": "../x.json"}, 422, "leads outside the data root"),
        ({"dataset": "music", "separators": ["nonsense"]}, 422, "unknown separator 'nonsense'"),
        ({"dataset": "music", "tracks": "many"}, 422, "tracks: "),
        (
            RUN | {"conditions": [{"name": "a", "placement": "sphere"}]},
            422,
            "no directions off the horizontal",
        ),
        (RUN | {"conditions": [{"name": "a", "same_placement_as": "b"}]}, 422, "'b', which is unknown"),
        (RUN | {"conditions": [{"name": "a"}, {"name": "a"}]}, 422, "given twice"),
        (RUN | {"conditions": [{"name": "a", "hrir": "../x.sofa"}]}, 422, "leads outside the data root"),
        (
            RUN | {"conditions": [{"name": "a", "colour": 1}]},
            422,
            "'a': unknown setting 'colour'; known: name",
        ),
        (RUN | {"trakcs": 1}, 422, "unknown setting 'trakcs'; did you mean 'tracks'?"),
        ({"dataset": "musci"}, 404, "did you mean 'music'?"),
        (RUN | {"conditions": [1]}, 422, "conditions.0."),
        ({"split": "test"}, 422, "dataset: "),
        ("music", 422, ""),
    ]:
        assert says in str(problem_of(api.post("/runs", json=body), status)["detail"])
    for method, path, says in [
        ("POST", "/runs?nmae=x", "unknown parameter 'nmae'; did you mean 'name'?"),
        ("POST", "/runs?colour=red", "unknown parameter 'colour'; known: name"),
        ("GET", "/runs?limti=2", "unknown parameter 'limti'; did you mean 'limit'?"),
        ("GET", "/runs/nothing/results?condition=stereo", "unknown parameter 'condition'; known: none"),
        ("DELETE", "/runs/nothing?force=yes", "unknown parameter 'force'; known: none"),
        ("GET", "/queues?name=x", "unknown parameter 'name'; known: none"),
    ]:
        refused = api.request(method, path, json=RUN if method == "POST" else None)
        assert problem_of(refused, 422)["detail"] == says
    assert problem_of(api.post("/runs", content=b"{", headers={"Content-Type": "text/plain"}), 422)
    assert api.get("/runs").json() == []


def test_head_is_get_without_the_body(api: httpx.Client) -> None:
    """This includes the event stream of a running run: its connection can be used again."""
    run = api.post("/runs", json=RUN).json()["id"]
    for path in ("/", "/health", "/runs", f"/runs/{run}", f"/runs/{run}/events", "/runs/nothing", "/nowhere"):
        head = api.head(path)
        assert head.content == b""
        with api.stream("GET", path) as get:
            assert head.status_code == get.status_code
            assert head.headers["content-type"] == get.headers["content-type"]
    assert api.get(f"/runs/{run}").json()["state"] == "running"


def test_unknown_runs_paths_and_methods_are_problem_documents(api: httpx.Client) -> None:
    for method, path, status in [
        ("GET", "/runs/nothing", 404),
        ("GET", "/runs/nothing/events", 404),
        ("GET", "/runs/nothing/results", 404),
        ("GET", "/runs/nothing/results.csv", 404),
        ("GET", "/runs/nothing/failures", 404),
        ("GET", "/runs/nothing/report/index.html", 404),
        ("POST", "/runs/nothing/cancel", 404),
        ("POST", "/runs/nothing/resume", 404),
        ("POST", "/runs/nothing/retry", 404),
        ("DELETE", "/runs/nothing", 404),
        ("DELETE", "/runs/a%20b", 422),
        ("GET", "/runs/a%20b", 422),
        ("GET", "/nowhere", 404),
        ("PUT", "/runs", 405),
        ("GET", "/runs?limit=0", 422),
        ("GET", "/runs?limit=501", 422),
        ("GET", "/runs?offset=-1", 422),
    ]:
        problem_of(api.request(method, path), status)


def test_a_missing_redis_is_reported(workspace: Path) -> None:
    with in_this_process(create_app(settings_of(workspace), "redis://127.0.0.1:1/0")) as client:
        assert "Redis" in str(problem_of(client.get("/queues"), 503)["detail"])
        assert problem_of(client.post("/runs", json=RUN), 503)["retryable"]
        assert client.get("/runs").json() == [], "a run that was refused does not exist"
        assert "mssbench_redis_up 0.0" in client.get("/metrics").text.splitlines()


def test_a_run_that_was_refused_does_not_start_later(
    workspace: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis fails after it answered: while the jobs are queued."""
    with in_this_process(create_app(settings_of(workspace), redis_url)) as client:
        with monkeypatch.context() as patch:
            patch.setattr("mssbench.server.supervisor.reconcile", _redis_fails)
            problem_of(client.post("/runs", json=RUN), 503)
            (refused,) = client.get("/runs").json()
            assert (refused["state"], refused["queues"]) == ("incomplete", [])
            run_id = refused["id"]
            problem_of(client.post(f"/runs/{run_id}/resume"), 503)
        assert not Workspace(workspace).run(run_id).markers.supervised
        assert client.get("/queues").json()["queues"][0]["depth"] == 0


def test_a_running_run_shows_its_place_in_the_queues(workspace: Path, redis_url: str) -> None:
    with in_this_process(create_app(settings_of(workspace), redis_url)) as client:
        first = client.post("/runs", json=RUN | {"conditions": ["stereo"]}).json()["id"]
        second = client.post("/runs", json=RUN | {"conditions": ["stereo"], "aggregate": "mean"}).json()["id"]
        place = {"queue": "separate-oracle", "waiting": 1, "workers": 0}
        assert client.get(f"/runs/{first}").json()["queues"] == [place | {"ahead": 0}]
        assert client.get(f"/runs/{second}").json()["queues"] == [place | {"ahead": 1}]
        Workspace(workspace).run(first).outages.note("oracle", "gone")
        assert client.get(f"/runs/{first}").json()["waiting_for"] == ["oracle"]
        page = client.get(f"/ui/runs/{first}").text
        assert "Waiting for oracle" in page
        assert "no worker" in page


def test_a_start_on_another_folder_says_that_runs_are_missing(
    workspace: Path, redis_url: str, tmp_path: Path
) -> None:
    def notice(root: Path) -> str:
        with in_this_process(create_app(settings_of(root), redis_url)) as client:
            page = client.get("/").text
            found = re.search(r'id="storage">(.*?)</p>', page)
            return found[1] if found else ""

    def restart(root: Path) -> str:
        shutil.copytree(workspace / "music", root / "music", dirs_exist_ok=True)
        return notice(root)

    other = tmp_path / "other"
    assert notice(workspace) == ""
    with in_this_process(create_app(settings_of(workspace), redis_url)) as client:
        client.post("/runs", json=RUN)
    assert "1 runs in another folder or volume. The present one has 0" in restart(other)
    assert "1 runs in another folder" in restart(other), "until it has a run"
    assert notice(workspace) == "", "the earlier settings are back"
    restart(other)
    with in_this_process(create_app(settings_of(other), redis_url)) as client:
        client.post("/runs", json=RUN)
    assert restart(other) == ""


def _redis_fails(*_: object) -> None:
    raise RedisConnectionError("Connection refused")


def test_requests_that_change_something_need_the_token(
    workspace: Path, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret-ü\n", encoding="utf-8")
    monkeypatch.setenv("MSSBENCH_TOKEN_FILE", str(file))
    right = {b"Authorization": "Bearer s3cret-ü".encode()}
    with in_this_process(create_app(settings_of(workspace), redis_url)) as client:
        for headers in (
            dict[bytes, bytes](),
            {b"Authorization": b"Bearer s3cret"},
            {b"Authorization": b"s3cret-\xc3\xbc"},
            {b"Authorization": b"Basic s3cret-\xc3\xbc"},
        ):
            refused = client.post("/runs", json=RUN, headers=headers)
            assert problem_of(refused, 401)["type"] == "urn:mssbench:error:unauthorized"
            assert refused.headers["www-authenticate"] == "Bearer"
        problem_of(client.delete("/runs/nothing"), 401)
        problem_of(client.post("/anything/a/page/may/add"), 401)
        assert client.get("/runs").json() == []
        run = client.post("/runs", json=RUN, headers=right)
        assert run.status_code == 202
        assert client.post(f"/runs/{run.json()['id']}/cancel", headers=right).status_code == 202
        lower = {b"Authorization": "bearer s3cret-ü".encode()}  # RFC 9110: a scheme's case does not matter
        assert client.delete(f"/runs/{run.json()['id']}", headers=lower).status_code in (204, 409)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_the_service_does_not_start_with_an_empty_token_file(
    workspace: Path, content: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mssbench_service.errors import BadInput

    if content is not None:
        (workspace / "token").write_text(content)
    monkeypatch.setenv("MSSBENCH_TOKEN_FILE", str(workspace / "token"))
    with pytest.raises(BadInput, match="MSSBENCH_TOKEN_FILE"):
        create_app(settings_of(workspace), "redis://127.0.0.1:1/0")


def test_requests_from_other_sites_are_refused(api: httpx.Client) -> None:
    assert problem_of(api.post("/runs", json=RUN, headers={"Origin": "https://elsewhere.example"}), 403)
    assert problem_of(api.post("/runs", json=RUN, headers={"Origin": "null"}), 403)
    assert api.post("/runs", json=RUN, headers={"Origin": str(api.base_url)}).status_code == 202


# -- OpenAPI document ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = create_app(
        settings_of(tmp_path_factory.mktemp("root")), "redis://127.0.0.1:1/0"
    ).openapi()
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_operation_is_described_with_its_errors(description: dict[str, Any]) -> None:
    found = list(operations(description))
    assert len(found) >= 15
    for method, path, operation in found:
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses), where
        assert {"422", "500", "503"} <= statuses, where
        if "{run_id}" in path:
            assert "404" in statuses, where
        if method != "get":
            assert {"401", "403"} <= statuses, where
            assert operation["security"] == [{"HTTPBearer": []}], where
        for status, response in operation["responses"].items():
            if status >= "4":
                assert list(response["content"]) == ["application/problem+json"], f"{where} {status}"
                example = response["content"]["application/problem+json"]["example"]
                assert example["status"] == int(status), f"{where} {status}"
            elif status != "204":
                assert response["content"], f"{where} {status}"


EXAMPLES: dict[tuple[str, str], Callable[[object], object]] = {
    ("post", "/runs"): lambda shown: parse(RunStatus, shown),
    ("get", "/runs"): lambda shown: parse(list[RunStatus], shown),
    ("get", "/runs/{run_id}"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/cancel"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/resume"): lambda shown: parse(RunStatus, shown),
    ("post", "/runs/{run_id}/retry"): lambda shown: parse(RunStatus, shown),
    ("get", "/runs/{run_id}/failures"): lambda shown: parse(list[Failure], shown),
    ("get", "/queues"): lambda shown: parse(QueueStatus, shown),
}


def test_examples_are_valid_requests_and_responses(description: dict[str, Any]) -> None:
    for (method, path), check in EXAMPLES.items():
        responses = description["paths"][path][method]["responses"]
        (success,) = [value for status, value in responses.items() if status < "3"]
        check(success["content"]["application/json"]["example"])
    body = description["paths"]["/runs"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        parse(RunConfig, example["value"]).validate()
    events = description["paths"]["/runs/{run_id}/events"]["get"]["responses"]["200"]["content"]
    name, data = events["text/event-stream"]["example"].splitlines()[:2]
    assert name == "event: progress"
    assert parse(RunStatus, json.loads(data.removeprefix("data: "))).id == examples.RUN_ID
    table = description["paths"]["/runs/{run_id}/results.csv"]["get"]["responses"]["200"]["content"]
    (row,) = csv.DictReader(table["text/csv"]["example"].splitlines())
    assert set(row) <= set(result_columns())
    assert row["source"] in STEMS


# -- load ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"separators": [f"oracle-{number}" for number in range(40_000)]}, "40000 separators are given"),
        ({"separators": ["a"] * 40_000}, "40000 separators are given"),
        ({"separators": ["-" * 900_000]}, "a name of more than 200 characters"),
        ({"conditions": ["stereo"] * 40_000}, "is given twice"),
        ({"dataset": "/".join(["a"] * 400_000)}, "too long for a path"),
    ],
    ids=["names", "equal names", "a long name", "conditions", "a long path"],
)
def test_a_large_request_is_refused_in_linear_time(
    api: httpx.Client, settings: dict[str, Any], says: str
) -> None:
    started = time.process_time()  # of this process, in which the service runs
    answer = api.post("/runs", json={"dataset": "music", **settings})
    assert time.process_time() - started < 1.5
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_requests_of_other_hosts_are_refused(api: httpx.Client) -> None:
    for path in ("/", "/runs", "/health", "/info"):
        for host in ("rebound.example", "orchestrator"):
            assert api.get(path, headers={"Host": host}).status_code == 403
        assert api.get(path, headers={"Host": "localhost:1"}).status_code == 200


def test_clients_that_follow_a_run_share_its_surveys(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = api.post("/runs", json={"dataset": "music", "separators": ["oracle-identity"]})
    run_id = answer.json()["id"]
    surveys = []

    def counted(run: Run) -> RunStatus:
        surveys.append(run.store.id)
        return status_of(run)

    monkeypatch.setattr("mssbench.server.run_service.status_of", counted)
    seconds = 3.0

    def follow(_: int) -> int:
        count, deadline = 0, time.monotonic() + seconds
        with api.stream("GET", f"/runs/{run_id}/events", timeout=60) as events:
            for line in events.iter_lines():
                count += line.startswith("event: progress")
                if time.monotonic() > deadline or count:
                    break
            time.sleep(max(0.0, deadline - time.monotonic()))
        return count

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(follow, range(20))) == [1] * 20
    assert 1 <= len(surveys) <= 2 * seconds + 2, "each client surveyed the run"
    # A change is seen at once, not after the time for which a survey is shared.
    api.post(f"/runs/{run_id}/cancel")
    assert [status.state for _, status in events_of(api, run_id)][-1] == "cancelled"


def test_pages_of_a_report_carry_their_content_security_policy(api: httpx.Client, workspace: Path) -> None:
    run_id = api.post("/runs", json=RUN).json()["id"]
    folder = workspace / "runs" / run_id / "report"
    folder.mkdir()
    page = environment("report.js", "tips.js").from_string('{% extends "base.html.j2" %}').render()
    for text, scripts in ((page, "'sha256-"), ("<html>of an earlier version</html>", "'unsafe-inline'")):
        (folder / "index.html").write_text(text, encoding="utf-8")
        policy = api.get(f"/runs/{run_id}/report/index.html").headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("; frame-ancestors 'none'")
        assert f"script-src {scripts}" in policy
    assert "unsafe-inline" not in content_security_policy(["tips.js"]).split("script-src")[1].split(";")[0]


SUMMARY_OF_RUN = RunSummary(
    id="one", created="", command="", dataset="music", split="test", profile="matched", metrics="all", seed=0,
    conditions=["stereo"], tracks=["Song"], hrir=None, versions={}, machine={},
)  # fmt: skip


def test_the_leaderboard_of_all_reports_is_served_and_follows_them(
    api: httpx.Client, workspace: Path
) -> None:
    none = api.get("/leaderboard/")
    assert (none.status_code, "no run has a report yet" in none.text) == (404, True)
    model = SeparatorSummary("model-0", "x", "", "model", "available")
    for name in ("run-1", "run-2", "damaged"):
        folder = workspace / "runs" / name / "report"
        folder.mkdir(parents=True)
        if name == "damaged":
            (folder / "summary.json").write_text("{")
        else:
            found = Summary(replace(SUMMARY_OF_RUN, id=name), StatisticsSummary(), [], [], [model], [])
            (folder / "summary.json").write_text(json.dumps(asdict(found)))
        if name != "run-2":
            pages = api.get("/leaderboard", follow_redirects=True)
            assert pages.status_code == 200
            assert ("run-2" in pages.text) == (name == "damaged")
    assert pages.url.path == "/leaderboard/"
    assert "sha256-" in pages.headers["content-security-policy"]
    link = re.findall(r'href="(separators/[^"]+)"', pages.text) or ["separators/000-model-0.html"]
    page = api.get(f"/leaderboard/{link[0]}").text
    assert "model-0" in page
    for text in (pages.text, page, api.get("/leaderboard/methodology.html").text):
        assert '<a href="/">Dashboard</a>' in text
    assert '<a href="/leaderboard/">Leaderboard</a>' in api.get("/").text
    assert api.get("/leaderboard/nothing.html").status_code == 404
    assert api.get("/leaderboard/..%2f..%2fruns%2frun-1%2freport%2fsummary.json").status_code in (404, 422)


def test_the_files_of_the_leaderboard_follow_quick_saves_and_end_with_the_service(
    workspace: Path, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    file = workspace / "runs" / "one" / "report" / "summary.json"
    file.parent.mkdir(parents=True)
    with in_this_process(create_app(settings_of(workspace), redis_url)) as api:
        for name in ("first-model", "other-model"):  # the same size and time
            model = SeparatorSummary(name, "x", "", "model", "available")
            write_json(file, asdict(Summary(SUMMARY_OF_RUN, StatisticsSummary(), [], [], [model], [])))
            os.utime(file, (1, 1))
            assert name in api.get(f"/leaderboard/separators/000-{name}.html").text
        assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_leaderboard_that_cannot_be_written_leaves_no_files(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    summary = asdict(Summary(SUMMARY_OF_RUN, StatisticsSummary(), [], [], [], []))
    for name in ("one", "copy"):  # two reports of the same run are refused
        folder = workspace / "runs" / name / "report"
        folder.mkdir(parents=True)
        write_json(folder / "summary.json", summary)
    site = LeaderboardSite(Workspace(workspace))
    with pytest.raises(BadInput, match="are the same run"):
        site.file("index.html")
    assert list((tmp_path / "temporary").iterdir()) == []
