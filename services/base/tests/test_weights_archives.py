"""Weights in archives: unpacked, verified, and refused if malicious."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from pathlib import Path

import pytest
from mssbench_service import archives
from mssbench_service.errors import BadInput
from mssbench_service.weights import verify

from .conftest import Pins, Server, fetch_quickly


def archive(*members: tuple[str, bytes | str], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = kind, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_verified(server: Server, pins: Pins, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "content",
    [
        archive(("../escaped", b"x")),
        archive(("a/../../escaped", b"x")),
        archive(("/tmp/escaped", b"x")),
        archive(("link", "/etc"), kind=tarfile.SYMTYPE),
        archive(("link", ".."), ("link/escaped", b"x"), kind=tarfile.SYMTYPE),
        archive(("link", "../../weights.toml"), kind=tarfile.LNKTYPE),
        archive(("pipe", ""), kind=tarfile.FIFOTYPE),
        archive(("cut off", random.Random(0).randbytes(5000)))[:3000],
        b"not an archive",
    ],
    # By themselves the names would hold the archives' times, and every worker of a run in parallel others.
    ids=[
        "up",
        "further up",
        "absolute",
        "link",
        "through a link",
        "hard link",
        "pipe",
        "cut off",
        "no archive",
    ],
)
def test_malicious_and_damaged_archives_are_refused(
    server: Server, pins: Pins, tmp_path: Path, content: bytes
) -> None:
    server.content = content
    dest = tmp_path / "dest"
    path = pins(sha256="", unpack="folder")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput):
        fetch_quickly(path, dest)
    assert not (dest / "demo" / "folder").exists()
    assert not Path("/tmp/escaped").exists()
    outside = [entry for entry in tmp_path.rglob("*") if not entry.is_relative_to(dest)]
    assert sorted(outside) == before
    assert not list(dest.rglob(".tmp-*"))
    assert not list(dest.rglob("*.part"))


def test_an_empty_archive_is_refused(server: Server, pins: Pins, tmp_path: Path) -> None:
    server.content = archive()
    with pytest.raises(BadInput, match="holds no files"):
        fetch_quickly(pins(sha256="", unpack="folder"), tmp_path)


def test_an_archive_cannot_provide_its_own_record(server: Server, pins: Pins, tmp_path: Path) -> None:
    server.content = archive((".unpacked.json", b"{}"), ("checkpoint", b"model"))
    path = pins(sha256="", unpack="folder")
    fetch_quickly(path, tmp_path)
    assert verify(path, tmp_path) == {}
    (tmp_path / "demo/folder/checkpoint").write_bytes(b"mode1")
    assert "checkpoint has changed" in verify(path, tmp_path)["model.th"]


def test_an_archive_that_unpacks_to_too_much_is_refused(
    server: Server, pins: Pins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 5_000)
    server.content = archive(("zeros", bytes(1_000_000)))
    with pytest.raises(BadInput, match="unpacks to more than 5000 bytes"):
        fetch_quickly(pins(sha256="", unpack="folder"), tmp_path)
    assert not (tmp_path / "demo" / "folder").exists()
