"""A data root in a bucket: machines that share nothing but it and a Redis, against a real server of the S3 protocol."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from comparing import assert_equal_tables
from mssbench.config import RunConfig
from mssbench.embedded import embedded_redis
from mssbench.inline import run_inline
from mssbench.launch import prepare
from mssbench.results import RESULT_COLUMNS, result_rows, write_csv
from mssbench.runtime import make_runtime
from mssbench.store import Workspace

SEPARATORS = ["oracle-identity", "oracle-irm"]
RUN = ["run", "--dataset", "music", "--separators", ",".join(SEPARATORS)]
RUN += ["--conditions", "binaural", "--no-bsseval"]
URL = "s3://lab/bench"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """URL of an S3 server of its own process."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"Running on (http://[\d.]+:\d+)", line):
                break
        else:
            raise AssertionError("the S3 server did not start")
        # Whatever it goes on to say must not fill the pipe.
        with subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL) as sink:
            yield found[1]
            server.terminate()
            server.wait()
            sink.wait()


@pytest.fixture
def aws(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the environment says of the server, on every machine."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-much-of-one",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def bucket(endpoint: str, aws: dict[str, str], workspace: Path) -> Iterator[Callable[[], set[str]]]:
    """Lists the names under the data root, which holds the dataset ``music`` alone at first."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
    with contextlib.closing(client):
        client.create_bucket(Bucket="lab")
        for path in (workspace / "music").rglob("*.wav"):
            client.put_object(
                Bucket="lab", Key=f"bench/{path.relative_to(workspace).as_posix()}", Body=path.read_bytes()
            )

        def names() -> set[str]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket="lab", Prefix="bench/")
            return {
                found["Key"].removeprefix("bench/") for page in pages for found in page.get("Contents", [])
            }

        yield names


class Host:
    """A machine: an empty folder, a cache of its own, and what it was told."""

    def __init__(self, folder: Path, **told: str) -> None:
        (folder / "home").mkdir(parents=True)
        self.folder = folder
        cleared = {
            name: value for name, value in os.environ.items() if not name.startswith(("MSSBENCH_", "AWS_"))
        }
        quick = {"MSSBENCH_HEARTBEAT_SECONDS": "1", "MSSBENCH_SILENCE_SECONDS": "6", "MSSBENCH_LOG": "text"}
        self.environment = (
            cleared | quick | {"OPENBLAS_NUM_THREADS": "1", "HOME": str(folder / "home")} | told
        )
        self.environment.pop("XDG_CACHE_HOME", None)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mssbench", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mssbench", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def cached(self, name: str) -> Path:
        (found,) = (self.folder / "home/.cache/mssbench").glob(f"*/{name}")
        return found


def wait_until(true: Callable[[], Any], what: str, process: subprocess.Popen[str] | None = None) -> None:
    for _ in range(3000):
        if true():
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended before {what}: {process.communicate()[0][-3000:]}")
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


@contextlib.contextmanager
def running(host: Host, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = host.start(*arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def results(names: set[str]) -> list[str]:
    return [name for name in names if name.endswith("/result.json")]


def test_machines_that_share_a_bucket_and_a_redis_give_what_one_machine_gives(
    bucket, aws, workspace, tmp_path_factory
) -> None:
    """A worker and the launcher are killed midway; other machines, with nothing of theirs, finish the run."""
    place = tmp_path_factory.mktemp("hosts")
    with embedded_redis() as redis, contextlib.ExitStack() as stack:
        (place / "redis-url").write_text(redis)
        told = aws | {"MSSBENCH_DATA_URL": URL, "MSSBENCH_REDIS_URL_FILE": str(place / "redis-url")}
        for queue in ("render", "separate-oracle"):
            stack.enter_context(running(Host(place / queue, **told), "worker", queue))
        desk = Host(place / "desk", **told)
        with (
            running(Host(place / "first", **told), "worker", "evaluate") as evaluator,
            running(desk, *RUN, "--run-id", "there") as launcher,
        ):
            wait_until(lambda: results(bucket()), "a first result is in the bucket", launcher)
            evaluator.kill()
            launcher.kill()
        stack.enter_context(running(Host(place / "second", **told), "worker", "evaluate"))
        done = desk.run("resume", "there")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].endswith("/runs/there/report/index.html")

        names = bucket()
        assert {"runs/there/run.json", "runs/there/results.csv", "runs/there/report/index.html"} <= names
        assert len(results(names)) == 4
        assert not [name for name in names if ".tmp-" in name or name.endswith("followed")]

        # Whoever comes later needs the URL alone.
        visitor = Host(place / "visitor", **aws, MSSBENCH_DATA_URL=URL)
        assert visitor.run("status", "there").stdout.startswith(
            "there: complete, 4/4 cells ended, 0 failed, 2/2"
        )
        removed = visitor.run("delete", "there")
        assert removed.returncode == 0, removed.stderr
        assert not [name for name in bucket() if name.startswith("runs/")]

    config = RunConfig("music", separators=SEPARATORS, conditions=["binaural"], bsseval=False)
    here = prepare(config, Workspace(workspace), make_runtime(workspace), run_id="here")
    run_inline(here, lambda: None)
    write_csv(here.store.results_csv, result_rows(here.store, here.record), RESULT_COLUMNS)
    assert_equal_tables(here.store.results_csv, desk.cached("runs/there/results.csv"))


@pytest.mark.parametrize(
    ("arguments", "told", "message"),
    [
        (RUN, {"MSSBENCH_DATA_URL": "s3://nobodys/bench"}, "The specified bucket does not exist"),
        (RUN, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://lab/bench does not answer"),
        (RUN, {"MSSBENCH_DATA_URL": "lab/bench"}, "MSSBENCH_DATA_URL=lab/bench is not a URL"),
        ([*RUN[:2], "nothing"], {}, "s3://lab/bench/nothing is no dataset in the MUSDB18-HQ layout"),
        (["gc"], {}, "mssbench gc does not work on a data root at a URL"),
        (["serve"], {}, "mssbench serve does not work on a data root at a URL"),
        (["status", "none"], {}, "there is no run 'none'"),
        (["list"], {"MSSBENCH_DATA_ROOT": str(Path(__file__).parent)}, "holds files of its own"),
    ],
)
def test_what_is_wrong_with_the_url_is_one_line(
    bucket, aws, tmp_path_factory, arguments, told, message
) -> None:
    host = Host(tmp_path_factory.mktemp("host") / "one", **aws | {"MSSBENCH_DATA_URL": URL} | told)
    done = host.run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("mssbench: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_keys_that_nobody_knows_are_one_line(bucket, endpoint, aws, tmp_path_factory) -> None:
    def let_in_without_keys(actions: str) -> None:
        request = urllib.request.Request(
            f"{endpoint}/moto-api/reset-auth", actions.encode(), {"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(request):
            pass

    told = aws | {"MSSBENCH_DATA_URL": URL}
    let_in_without_keys("0")
    try:
        with embedded_redis() as redis:
            for number, arguments in enumerate((["list"], ["worker", "render", "--redis", redis])):
                done = Host(tmp_path_factory.mktemp("host") / str(number), **told).run(*arguments)
                assert done.returncode == 2, done.stderr
                assert len(done.stderr.splitlines()) == 1
                assert "mssbench: s3://lab/bench does not let this in: " in done.stderr
    finally:
        let_in_without_keys("inf")
