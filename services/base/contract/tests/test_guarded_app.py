"""The guard that keeps a service under test from using the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("socket.socket().connect(('192.0.2.1', 80))", "socket.connect"),
        ("urllib.request.urlopen('http://models.invalid/weights')", "socket.getaddrinfo"),
    ],
)
def test_use_of_the_network_is_refused_and_recorded(tmp_path: Path, statement: str, event: str) -> None:
    record = tmp_path / "network"
    program = f"""
import pathlib, socket, urllib.request
from mssbench_contract.app import refuse_network
refuse_network(pathlib.Path({str(record)!r}))
try:
    {statement}
except OSError as error:
    print(error)
"""
    no_proxy = {"PATH": "/usr/bin:/bin"}  # a proxy would be connected to instead
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=no_proxy)
    assert "the network may not be used" in result.stdout, result.stderr
    assert record.read_text().startswith(event)
