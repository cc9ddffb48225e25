"""The contract suite's own means: what it forbids the services that it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("asks", "event"),
    [
        ("socket.socket().connect(('192.0.2.1', 80))", "socket.connect"),
        ("urllib.request.urlopen('http://models.invalid/weights')", "socket.getaddrinfo"),
    ],
)
def test_a_service_that_asks_for_the_network_is_refused_and_found_out(
    tmp_path: Path, asks: str, event: str
) -> None:
    note = tmp_path / "network"
    program = f"""
import pathlib, socket, urllib.request
from mssbench_service.contract import _refuse_the_network
_refuse_the_network(pathlib.Path({str(note)!r}))
try:
    {asks}
except OSError as error:
    print(error)
"""
    clean = {"PATH": "/usr/bin:/bin"}  # no proxy, which would be asked instead
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean)
    assert "there is no network here" in result.stdout, result.stderr
    assert note.read_text().startswith(event)
