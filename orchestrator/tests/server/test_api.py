"""The API of the orchestrator, called by a client. Some tests use real workers and server processes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import httpx
import pytest
from mssbench.execution.embedded import embedded_workers
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell
from mssbench.runs.run import Run
from mssbench.runs.status import Failure
from mssbench.runs.store import Workspace
from mssbench.server.supervisor import Supervisor
from mssbench.services.runtime import make_runtime
from mssbench_contract.server import orchestrator, wait_for
from mssbench_service.wire import parse
from redis.exceptions import ConnectionError as RedisConnectionError

from .conftest import RUN, client_of, depth, events_of, in_this_process, problem_of

QUEUES = ("render", "evaluate", "separate-oracle")


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


def test_a_run_that_is_cancelled_before_its_turn_is_not_locked(workspace: Path, redis_url: str) -> None:
    """Otherwise it could not be deleted for a moment: the supervisor lists all runs, and then advances each."""
    run = prepare(parse(RunConfig, RUN), make_runtime(workspace))
    supervisor = Supervisor(Workspace(workspace), run.runtime, redis_url)
    run.store.markers.set_supervised(True)
    (listed,) = supervisor._launched()
    supervisor.release(run.store)
    with run.store.lock.hold():  # as another process does, to delete the run
        supervisor._advance(Workspace(workspace).run(listed), again=False)
    assert not supervisor.holds(run.store)


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
    with in_this_process(workspace, "redis://127.0.0.1:1/0") as client:
        assert "Redis" in str(problem_of(client.get("/queues"), 503)["detail"])
        assert problem_of(client.post("/runs", json=RUN), 503)["retryable"]
        assert client.get("/runs").json() == [], "a run that was refused does not exist"
        assert "mssbench_redis_up 0.0" in client.get("/metrics").text.splitlines()


def test_a_run_that_was_refused_does_not_start_later(
    workspace: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis fails after it answered: while the jobs are queued."""
    with in_this_process(workspace, redis_url) as client:
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
    with in_this_process(workspace, redis_url) as client:
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
        with in_this_process(root, redis_url) as client:
            page = client.get("/").text
            found = re.search(r'id="storage">(.*?)</p>', page)
            return found[1] if found else ""

    def restart(root: Path) -> str:
        shutil.copytree(workspace / "music", root / "music", dirs_exist_ok=True)
        return notice(root)

    other = tmp_path / "other"
    assert notice(workspace) == ""
    with in_this_process(workspace, redis_url) as client:
        client.post("/runs", json=RUN)
    assert "1 runs in another folder or volume. The present one has 0" in restart(other)
    assert "1 runs in another folder" in restart(other), "until it has a run"
    assert notice(workspace) == "", "the earlier settings are back"
    restart(other)
    with in_this_process(other, redis_url) as client:
        client.post("/runs", json=RUN)
    assert restart(other) == ""


def _redis_fails(*_: object) -> None:
    raise RedisConnectionError("Connection refused")
