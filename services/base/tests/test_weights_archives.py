"""Weights in archives: unpacked and verified. Malicious and damaged ones are in ``tests/bad_input``."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from mssbench_contract.files import FileServer
from mssbench_service import archives
from mssbench_service.errors import BadInput
from mssbench_service.weights import verify

from .conftest import Pins, fetch_quickly


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_verified(server: FileServer, pins: Pins, tmp_path: Path) -> None:
    server.content = archive(("./checkpoint", b"model"), ("./sub/model.index", b"123"))
    path = pins(sha256=hashlib.sha256(server.content).hexdigest(), unpack="4stems")
    folder = tmp_path / "demo" / "4stems"
    assert fetch_quickly(path, tmp_path) == [folder]
    assert (folder / "sub" / "model.index").read_bytes() == b"123"
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [".lock", "4stems"]
    assert verify(path, tmp_path) == {}
    fetch_quickly(path, tmp_path)
    assert len(server.requests) == 1
    (folder / "checkpoint").write_bytes(b"mode1")
    assert verify(path, tmp_path) == {"model.th": "is damaged: checkpoint has changed since it was unpacked"}
    (folder / "checkpoint").unlink()
    assert verify(path, tmp_path) == {"model.th": "is damaged: checkpoint is missing"}
    fetch_quickly(path, tmp_path)
    assert verify(path, tmp_path) == {}
    assert "another archive" in verify(pins(sha256="0" * 64, unpack="4stems"), tmp_path)["model.th"]


def test_an_archive_that_unpacks_to_too_much_is_refused(
    server: FileServer, pins: Pins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 5_000)
    server.content = archive(("zeros", bytes(1_000_000)))
    with pytest.raises(BadInput, match="unpacks to more than 5000 bytes"):
        fetch_quickly(pins(sha256="", unpack="folder"), tmp_path)
    assert not (tmp_path / "demo" / "folder").exists()
