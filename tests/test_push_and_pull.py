"""``mssbench push`` and ``pull`` as commands, against a real server of the S3 protocol in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import boto3
import pytest
from command import Command, killed_when
from comparing import assert_equal_tables
from mssbench.report import build_report

RUN = [
    *(
        "run",
        "--dataset",
        "music",
        "--separators",
        "oracle-irm",
        "--no-bsseval",
        "--inline",
        "--run-id",
        "mine",
    ),
    *("--conditions", "stereo", "--keep-estimates", "all"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """URL of an S3 server."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"Running on (http://[\d.]+:\d+)", line):
                break
        else:
            raise AssertionError("the S3 server did not start")
        # Its log goes through a pipe that must not fill up.
        with subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL) as sink:
            yield found[1]
            server.terminate()
            server.wait()
            sink.wait()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server, which has the bucket ``lab``; the environment has the credentials."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(boto3.client("s3")) as client:
        client.create_bucket(Bucket="lab")
        yield client


def names(bucket: Any) -> list[str]:
    return [found["Key"] for found in bucket.list_objects_v2(Bucket="lab").get("Contents", [])]


@pytest.fixture
def command(mssbench: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``mssbench …`` in a folder."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        return mssbench(*arguments)

    return run


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.usefixtures("without_report")
def test_a_run_and_its_dataset_move_to_another_machine_through_s3(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, bucket: Any, command: Command
) -> None:
    other = tmp_path_factory.mktemp("other")
    assert command(workspace, *RUN).returncode == 0
    run, copy = workspace / "runs/mine", other / "runs/mine"
    (result, *_) = sorted(run.glob("cells/**/result.json"))
    result.unlink()  # an incomplete run

    push = ("push", "mine", "s3://lab/mine")
    while (code := killed_when(lambda: len(names(bucket)) >= 5, workspace, *push)) != -SIGKILL:
        assert code == 0  # it ended before it was killed
        for name in names(bucket):
            bucket.delete_object(Bucket="lab", Key=name)
    refused = command(other, "pull", "s3://lab/mine")
    assert refused.returncode == 2
    assert "is incomplete; repeat mssbench push" in refused.stderr
    done = command(workspace, *push)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("run: s3://lab/mine (")
    assert " 0 were there" not in done.stdout, "the first files were kept"

    (wav, *_) = [name for name in names(bucket) if name.endswith("vocals.wav")]
    good = bucket.get_object(Bucket="lab", Key=wav)["Body"].read()
    bucket.put_object(Bucket="lab", Key=wav, Body=good[:-1] + b"x")
    refused = command(other, "pull", "s3://lab/mine")
    assert refused.returncode == 2
    assert "vocals.wav is damaged" in refused.stderr
    assert not copy.exists()
    bucket.put_object(Bucket="lab", Key=wav, Body=good)

    staging = other / "runs/.tmp-pull-mine"
    for path in staging.rglob("*.wav"):
        path.unlink()
    pull = ("pull", "s3://lab/mine")
    while (code := killed_when(lambda: any(staging.rglob("vocals.wav")), other, *pull)) != -SIGKILL:
        assert code == 0  # it ended before it was killed
        shutil.rmtree(copy)
    assert not copy.exists()
    done = command(other, *pull)
    assert done.returncode == 0, done.stderr
    assert content(copy) == content(run)

    assert build_report(copy, audio=False).is_file()

    assert command(workspace, "push", "music", "s3://lab/music").returncode == 0
    assert command(other, "pull", "s3://lab/music", "music").returncode == 0
    resumed = command(other, "resume", "mine", "--inline")
    assert resumed.returncode == 0, resumed.stderr
    assert command(workspace, "resume", "mine", "--inline").returncode == 0
    assert_equal_tables(copy / "results.csv", run / "results.csv")
    again = command(other, *RUN)
    assert again.returncode == 0, "the pulled dataset is the one that the run was planned for"

    for missing in ("s3://lab/nothing", "s3://no-such-bucket/mine"):
        refused = command(other, "pull", missing)
        assert refused.returncode == 2
        assert refused.stderr.splitlines()[-1].startswith(
            f"mssbench: there is no run or dataset at {missing}"
        )


def test_an_absent_server_is_one_line_without_credentials(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, bucket: Any, command: Command
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refused = command(workspace, "push", "music", "s3://lab/music")
    assert refused.returncode == 2
    assert "s3://lab/music cannot be reached" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in refused.stderr


def test_a_url_is_not_a_dataset(workspace: Path, command: Command) -> None:
    refused = command(workspace, "run", "--dataset", "s3://lab/music", "--separators", "oracle")
    assert refused.returncode == 2
    assert "copy it with mssbench pull" in refused.stderr
