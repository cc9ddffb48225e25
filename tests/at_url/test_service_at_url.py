"""The orchestrator service on a data root in a bucket: its machine may die, it may have a twin, the bucket be away."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from comparing import assert_equal_tables
from hosts import URL, Bucket, Host, results, running, wait_until
from mssbench.config import RunConfig
from mssbench.embedded import embedded_redis
from mssbench.inline import run_inline
from mssbench.launch import prepare
from mssbench.results import RESULT_COLUMNS, result_rows, write_csv
from mssbench.runtime import make_runtime
from mssbench.store import Workspace

SEPARATORS = ["oracle-identity", "oracle-irm"]
RUN = {"dataset": "music", "separators": SEPARATORS, "conditions": ["binaural"], "bsseval": False}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def serving(host: Host, *, gently: bool = False, ready: bool = True) -> Iterator[httpx.Client]:
    """``mssbench serve`` on that machine, ready or at least there; killed at the end, or `gently` told to end."""
    port = free_port()
    with (
        running(host, "serve", "--port", str(port)) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
    ):
        wait_until(lambda: healthy(client) or (not ready and there(client)), "the service is ready", process)
        yield client
        if gently:
            process.terminate()
            process.communicate(timeout=60)


def there(client: httpx.Client) -> bool:
    try:
        return client.get("/health").json()["detail"] != "the service is still starting"
    except httpx.TransportError:
        return False


def healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def last_event(client: httpx.Client, run_id: str, begun: threading.Event | None = None) -> tuple[str, dict]:
    """Follow the run to its end; `begun` is set as soon as something is known of it."""
    name, status = "", {}
    with client.stream("GET", f"/runs/{run_id}/events", timeout=600) as answer:
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            name = value if field == "event" else name
            status = json.loads(value) if field == "data" else status
            if begun is not None and status:
                begun.set()
    return name, status


def told(place: Path, aws: dict[str, str], redis: str) -> dict[str, str]:
    (place / "redis-url").write_text(redis)
    return aws | {"MSSBENCH_DATA_URL": URL, "MSSBENCH_REDIS_URL_FILE": str(place / "redis-url")}


@contextlib.contextmanager
def working_beside(service: str, queue: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """A machine with a service and a worker that sends its steps there: all they share is the worker's cache."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    host = Host(folder, MSSBENCH_DATA_ROOT=str(folder / "cache"))
    command = (f"{service}_service.app:app", "--host", "127.0.0.1", "--port", str(port))
    with running(host, *command, module="uvicorn"):  # knows of no URL
        host.environment |= environment | {
            f"MSSBENCH_URL_{service.upper()}": url,
            "MSSBENCH_TRANSPORT": "http",
        }
        with running(host, "worker", queue):
            yield url


def test_a_run_outlives_the_machine_of_its_service(
    bucket: Bucket, aws: dict[str, str], workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Workers elsewhere, each beside its service; another orchestrator takes up what was left, from an empty cache."""
    place = tmp_path_factory.mktemp("hosts")
    with embedded_redis() as redis, contextlib.ExitStack() as stack:
        environment = told(place, aws, redis)
        urls = {
            queue: stack.enter_context(working_beside(service, queue, place / queue, environment))
            for queue, service in (
                ("render", "synth"),
                ("separate-oracle", "oracle"),
                ("evaluate", "evaluator"),
            )
        }
        environment["MSSBENCH_URL_ORACLE"] = urls[
            "separate-oracle"
        ]  # whoever starts runs asks what it offers
        with serving(Host(place / "first", **environment)) as first:
            begun = first.post("/runs", json=RUN)
            assert begun.status_code == 202, begun.text
            run_id = begun.json()["id"]
            assert begun.json()["state"] == "running"
            wait_until(lambda: results(bucket()), "a first result is in the bucket")
        # The first one was killed. Both of these see the run in the bucket, and one of them ends it.
        second, third = (
            stack.enter_context(serving(Host(place / name, **environment))) for name in ("second", "third")
        )
        for service in (second, third):
            name, status = last_event(service, run_id)
            assert (name, status["state"], status["progress"]["failed"]) == ("end", "complete", 0)
            assert status["problem"] == ""
            table = service.get(status["links"]["results.csv"])
            assert table.content == bucket.get(f"runs/{run_id}/results.csv")
            assert len(list(csv.DictReader(table.text.splitlines()))) == 2 * 2 * 4
            page = service.get(status["links"]["report/index.html"])
            assert page.content == bucket.get(f"runs/{run_id}/report/index.html")
            for linked in set(re.findall(r'(?:href|src)="((?:audio|tables)/[^"]+)"', page.text)):
                assert service.get(f"/runs/{run_id}/report/{linked}").is_success, linked
            assert service.get(f"/runs/{run_id}/report/nothing.html").status_code == 404
            assert {row["status"] for row in service.get(f"/runs/{run_id}/results").json()} == {"ok"}
            assert [run["id"] for run in service.get("/runs").json()] == [run_id]
            assert run_id in service.get("/").text
        for queue, jobs in (("render", 2), ("separate-oracle", 4), ("evaluate", 4)):
            measured = httpx.get(f"{urls[queue]}/metrics").text.splitlines()
            stage = queue.partition("-")[0]
            assert f'mssbench_jobs_total{{outcome="done",stage="{stage}"}} {jobs}.0' in measured
        names = bucket()
        assert len(results(names)) == 4
        assert not [name for name in names if name.endswith(("followed", "launched-by-api"))]
        assert not [name for name in names if ".tmp-" in name]

        config = RunConfig("music", separators=SEPARATORS, conditions=["binaural"], bsseval=False)
        here = prepare(config, Workspace(workspace), make_runtime(workspace), run_id="here")
        run_inline(here, lambda: None)
        write_csv(here.store.results_csv, result_rows(here.store, here.record), RESULT_COLUMNS)
        (place / "there.csv").write_bytes(bucket.get(f"runs/{run_id}/results.csv"))
        assert_equal_tables(here.store.results_csv, place / "there.csv")

        assert third.delete(f"/runs/{run_id}").status_code == 204
        assert not [name for name in bucket() if name.startswith("runs/")]
        wait_until(
            lambda: second.get(f"/runs/{run_id}").status_code == 404, "the other knows that it is gone"
        )
        wait_until(lambda: second.get("/runs").json() == [], "the other lists it no longer")


class Way:
    """The way to the bucket: a port that passes everything on, and can be closed."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._to, self._port = (host, int(port)), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._open: list[socket.socket] = []

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._open = [listener]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._to)
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)
        for one in (source, target):
            one.close()


def test_while_the_bucket_is_away_requests_say_so_and_then_the_run_goes_on(
    bucket: Bucket, aws: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place, way = tmp_path_factory.mktemp("hosts"), Way(aws["AWS_ENDPOINT_URL"])
    with embedded_redis() as redis, contextlib.ExitStack() as stack:
        stack.callback(way.close)
        environment = told(place, aws, redis)
        desk = Host(place / "desk", **environment | {"AWS_ENDPOINT_URL": way.url, "AWS_MAX_ATTEMPTS": "2"})
        service = stack.enter_context(serving(desk, ready=False))
        assert service.get("/health").json()["detail"].startswith("s3://lab/bench does not answer: ")
        assert service.post("/runs", json=RUN).status_code == 503
        way.open()
        wait_until(lambda: healthy(service), "the service is ready")
        run_id = service.post("/runs", json=RUN | {"tracks": 1}).json()["id"]
        begun = threading.Event()
        follower = stack.enter_context(ThreadPoolExecutor(1)).submit(last_event, service, run_id, begun)
        assert begun.wait(60)
        way.close()
        time.sleep(3)  # until what was seen before is no answer any more
        for method, path in (
            ("GET", "/runs"),
            ("GET", f"/runs/{run_id}"),
            ("GET", f"/runs/{run_id}/results"),
            ("GET", f"/runs/{run_id}/results.csv"),
            ("GET", f"/runs/{run_id}/report/index.html"),
            ("GET", f"/runs/{run_id}/events"),
            ("POST", "/runs"),
            ("POST", f"/runs/{run_id}/cancel"),
            ("POST", f"/runs/{run_id}/resume"),
            ("POST", f"/runs/{run_id}/retry"),
            ("DELETE", f"/runs/{run_id}"),
        ):
            answer = service.request(method, path, json=RUN if path == "/runs" and method == "POST" else None)
            assert answer.status_code == 503, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith("s3://lab/bench does not answer: ")
        for path in ("/", f"/ui/runs/{run_id}"):
            page = service.get(path)
            assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
            assert "s3://lab/bench does not answer" in page.text
        assert "mssbench_redis_up 1.0" in service.get("/metrics").text
        assert service.get("/health").is_success
        way.open()
        for queue in ("render", "separate-oracle", "evaluate"):
            stack.enter_context(running(Host(place / queue, **environment), "worker", queue))
        name, status = follower.result(timeout=300)
        assert (name, status["state"], status["progress"]["ended"]) == ("end", "complete", 2)
        assert service.get(status["links"]["report/index.html"]).is_success


def test_whatever_changes_a_run_can_be_asked_of_either_of_two_services(
    bucket: Bucket, aws: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("hosts")
    with embedded_redis() as redis, contextlib.ExitStack() as stack:
        environment = told(place, aws, redis)
        bucket.put("data/more/test/A song/mixture.wav", b"")
        one, other = (
            stack.enter_context(serving(Host(place / name, **environment), gently=True)) for name in "ab"
        )
        run_id = one.post("/runs", json=RUN | {"tracks": 1}).json()["id"]
        run = f"/runs/{run_id}"
        # What is in the bucket is offered, whatever is in the cache.
        wait_until(lambda: '<option value="data/more">' in one.get("/").text, "the dataset is offered")
        wait_until(lambda: f"runs/{run_id}/followed" in bucket(), "it is followed")
        assert other.get(run).json()["state"] == "running"
        assert other.delete(run).status_code == 409
        again = other.post("/runs", json=RUN | {"tracks": 1, "dataset": f"{URL}/music"})
        assert again.json()["id"] == run_id  # the same run, no second one
        assert other.post(f"{run}/cancel").json()["state"] == "cancelled"
        wait_until(lambda: one.get(run).json()["state"] == "cancelled", "the one knows that it is cancelled")
        wait_until(lambda: f"runs/{run_id}/followed" not in bucket(), "it is followed no longer")
        assert f"runs/{run_id}/launched-by-api" not in bucket()
        error = {"step": "separate", "code": "bad-output", "detail": "bass.wav holds a NaN", "version": 2}
        title = one.get(f"{run}/results").json()[0]["title"]
        failed = f"runs/{run_id}/cells/binaural/oracle-irm/{title}/error.json"
        bucket.put(failed, json.dumps(error).encode())  # as a worker elsewhere does
        assert other.post(f"{run}/resume").json()["progress"]["failed"] == 1
        wait_until(lambda: one.get(f"{run}/failures").json(), "the one shows what failed")
        assert one.post(f"{run}/retry").json()["progress"]["failed"] == 0
        assert failed not in bucket()
        wait_until(lambda: other.get(run).json()["progress"]["failed"] == 0, "the other knows that, too")
        assert other.get(run).json()["state"] == "running"
        wait_until(lambda: f"runs/{run_id}/followed" in bucket(), "it is followed again")
    # Whoever followed it was told to end, and let go of it for the next.
    assert f"runs/{run_id}/followed" not in bucket()
    assert f"runs/{run_id}/launched-by-api" in bucket()


def test_gc_removes_what_it_says_at_the_url_and_nothing_else(
    bucket: Bucket, aws: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = Host(tmp_path_factory.mktemp("hosts") / "one", **aws, MSSBENCH_DATA_URL=URL)

    def said(*arguments: str) -> list[str]:
        done = host.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def lines_there(*arguments: str) -> set[str]:
        found = [line.split(maxsplit=2)[2] for line in said("gc", *arguments)[:-1]]
        return {line for line in found if "cache" not in line}

    command = ["run", "--dataset", "music", "--separators", "oracle-identity", "--conditions", "binaural"]
    command += ["--no-bsseval", "--tracks", "1", "--inline"]
    said(*command, "--run-id", "kept")
    kept = bucket()
    said(*command, "--run-id", "gone", "--seed", "7")
    said("delete", "gone")
    bucket.put("runs/restored/cells/binaural/x/y/result.json", b"{}")  # its record comes last
    (rendering,) = {"/".join(name.split("/")[:4]) for name in bucket() - kept if name.startswith("data/")}
    assert lines_there("--dry-run") == {f"{rendering}  (a rendering that no run refers to)"}
    assert bucket() - kept != {"runs/restored/cells/binaural/x/y/result.json"}
    assert lines_there() == {f"{rendering}  (a rendering that no run refers to)"}
    assert bucket() - kept == {"runs/restored/cells/binaural/x/y/result.json"}
    assert kept - bucket() == set()
    assert not host.cached("data/rendered").joinpath(*rendering.split("/")[2:]).exists()
    assert lines_there("--estimates") == {"runs/kept/estimates  (estimates of the complete run kept)"}
    assert kept - bucket() == {name for name in kept if name.startswith("runs/kept/estimates/")}
    assert said("gc", "--estimates") == ["0 B in 0 places removed"]
    assert said("status", "kept")[0].startswith("kept: complete, 1/1 cells ended")
