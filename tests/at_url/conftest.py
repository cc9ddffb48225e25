"""A real server of the S3 protocol, and a bucket in it that is a data root."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hosts import Bucket


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
def aws(endpoint: str) -> dict[str, str]:
    """What the environment says of the server, on every machine."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "not-much-of-one",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def bucket(endpoint: str, aws: dict[str, str], workspace: Path) -> Iterator[Bucket]:
    """The data root, which holds the dataset ``music`` alone at first."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=aws["AWS_DEFAULT_REGION"],
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
    with contextlib.closing(client):
        client.create_bucket(Bucket="lab")
        found = Bucket(client)
        for path in (workspace / "music").rglob("*.wav"):
            found.put(path.relative_to(workspace).as_posix(), path.read_bytes())
        yield found
        found.clear()
