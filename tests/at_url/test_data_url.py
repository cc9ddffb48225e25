"""A data root in a bucket: machines that share nothing but it and a Redis, against a real server of the S3 protocol."""

from __future__ import annotations

import contextlib
import urllib.request
from pathlib import Path

import pytest
from comparing import assert_equal_tables
from hosts import URL, Host, results, running, wait_until
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
        (["demo"], {}, "mssbench demo does not work on a data root at a URL"),
        (["serve"], {"MSSBENCH_DATA_URL": "lab/bench"}, "MSSBENCH_DATA_URL=lab/bench is not a URL"),
        (["serve"], {"MSSBENCH_DATA_ROOT": str(Path(__file__).parent)}, "holds files of its own"),
        (["gc"], {"MSSBENCH_DATA_URL": "s3://nobodys/bench"}, "The specified bucket does not exist"),
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
