"""Fetching a dataset: it is complete and verified, or not written.

Faulty servers are in the tests of ``mssbench_service.download``, most hostile archives in ``tests/bad_input``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from mssbench.datasets import fetch as module
from mssbench.datasets.catalog import RemoteDataset, load_catalog
from mssbench.datasets.fetch import (
    FETCH_RECORD,
    accept_angles,
    accept_musdb18hq,
    accept_splits,
    fetch,
    fetched_sha256,
)
from mssbench_contract.files import FileServer
from mssbench_service.errors import BadInput, Unreachable
from mssbench_service.musdb import SPLITS, STEMS, check_track

from .conftest import zipped

MEMBERS = {"set/a.wav": bytes(range(256)) * 800, "set/b & c [é].txt": b"text"}
ARCHIVE = zipped(MEMBERS)


@pytest.fixture
def source(server: FileServer) -> RemoteDataset:
    server.content = ARCHIVE
    return pinned(server)


def pinned(server: FileServer, **changes: object) -> RemoteDataset:
    digest = hashlib.sha256(server.content).hexdigest()
    entry = {"name": "set", "url": server.url, "sha256": digest, "largest": 1_000_000} | changes
    return RemoteDataset(**entry)  # type: ignore[arg-type]


def fetch_fast(source: RemoteDataset, out: Path, **options: object) -> bool:
    return fetch(source, out, pause=0.001, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found.pop(FETCH_RECORD, None)
    return found


def remaining(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_an_archive_is_fetched_verified_and_unpacked_once(
    server: FileServer, source: RemoteDataset, tmp_path: Path
) -> None:
    progress: list[tuple[str, int, int | None]] = []
    assert fetch_fast(source, tmp_path / "set", progress=lambda *call: progress.append(call))
    assert contents(tmp_path / "set") == MEMBERS
    assert json.loads((tmp_path / "set" / FETCH_RECORD).read_text()) == {
        "url": source.url,
        "sha256": source.sha256,
    }
    assert ("set", len(ARCHIVE), len(ARCHIVE)) in progress
    total = sum(map(len, MEMBERS.values()))
    assert progress[-1] == ("set: unpacking", total, total)
    assert not fetch_fast(source, tmp_path / "set")
    assert len(server.requests) == 1
    assert remaining(tmp_path) == {"set"}


def test_redirects_are_followed(server: FileServer, source: RemoteDataset, tmp_path: Path) -> None:
    server.statuses = [302, 302]
    assert fetch_fast(source, tmp_path / "set")
    assert contents(tmp_path / "set") == MEMBERS


def test_a_download_larger_than_the_limit_is_stopped(server: FileServer, tmp_path: Path) -> None:
    server.content = bytes(100_000)
    with pytest.raises(BadInput, match="sends more than the 1000 bytes expected"):
        fetch_fast(pinned(server, largest=1000), tmp_path / "set")
    assert remaining(tmp_path) == set()


def test_content_that_is_not_accepted_is_deleted(
    server: FileServer, source: RemoteDataset, tmp_path: Path
) -> None:
    def refuse(folder: Path) -> None:
        assert contents(folder) == MEMBERS
        raise BadInput("this is something else")

    with pytest.raises(BadInput, match="something else"):
        fetch_fast(pinned(server, sha256=""), tmp_path / "set", accept=refuse)
    assert remaining(tmp_path) == set()


def test_a_verified_archive_is_kept_when_unpacking_fails(
    server: FileServer, source: RemoteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise BadInput("no room")

    with monkeypatch.context() as patch:
        patch.setattr(module, "unzip", full)
        with pytest.raises(BadInput, match="no room"):
            fetch_fast(source, tmp_path / "set")
    assert remaining(tmp_path) == {"set.part"}
    assert fetch_fast(source, tmp_path / "set")
    assert len(server.requests) == 1
    assert contents(tmp_path / "set") == MEMBERS


def test_an_existing_folder_is_kept(source: RemoteDataset, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "diary.txt").write_text("mine")
    with pytest.raises(BadInput, match="exists and is not this dataset"):
        fetch_fast(source, tmp_path / "set")
    assert (tmp_path / "set" / "diary.txt").read_text() == "mine"


def test_another_version_of_the_dataset_is_refused(
    server: FileServer, source: RemoteDataset, tmp_path: Path
) -> None:
    fetch_fast(source, tmp_path / "set")
    with pytest.raises(BadInput, match=f"from another archive; expected SHA-256 {'0' * 64}"):
        fetch_fast(pinned(server, sha256="0" * 64), tmp_path / "set")


def test_a_single_file_is_fetched_as_it_is(server: FileServer, tmp_path: Path) -> None:
    table = {split: {"A": dict.fromkeys(STEMS, 10)} for split in SPLITS}
    server.content = json.dumps(table).encode()
    source = pinned(server, unpack=False)
    assert fetch_fast(source, tmp_path / "angles.json", accept=accept_angles)
    assert json.loads((tmp_path / "angles.json").read_text()) == table
    assert not fetch_fast(source, tmp_path / "angles.json", accept=accept_angles)
    (tmp_path / "angles.json").write_text("{}")
    with pytest.raises(BadInput, match="is not this dataset"):
        fetch_fast(source, tmp_path / "angles.json")


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", b"[]", b'{"train": {}}', b'{"train": 1, "test": 2}']
)
def test_a_page_instead_of_a_table_is_refused(server: FileServer, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(BadInput):
        fetch_fast(pinned(server, unpack=False, sha256=""), tmp_path / "angles.json", accept=accept_angles)
    assert remaining(tmp_path) == set()


def test_musdb18hq_is_accepted_by_layout_and_number_of_tracks(tmp_path: Path) -> None:
    for split in SPLITS:
        (tmp_path / split / "A - B").mkdir(parents=True)
        (tmp_path / split / "A - B" / "mixture.wav").touch()
    accept_musdb18hq(tmp_path, {"train": 1, "test": 1})
    with pytest.raises(BadInput, match="the archive has 1 train tracks; expected 100"):
        accept_musdb18hq(tmp_path)
    with pytest.raises(BadInput, match="no readable folder 'train'"):
        accept_musdb18hq(tmp_path / "test")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive like MUSDB18-7: one coded track in each split."""
    pytest.importorskip("av")
    from .test_convert import write_stems

    names = ("train/A.stem.mp4", "test/B.stem.mp4")
    files = [write_stems(tmp_path_factory.mktemp("coded") / name, (3000,) * 5) for name in names]
    return zipped({name: file.read_bytes() for name, file in zip(names, files, strict=True)})


def coded_source(server: FileServer, content: bytes, **changes: object) -> RemoteDataset:
    server.content = content
    md5 = hashlib.md5(content).hexdigest()
    return pinned(server, **{"sha256": "", "md5": md5, "size": len(content), "content": "stems"} | changes)


def test_coded_tracks_are_verified_by_md5_and_decoded(
    server: FileServer, coded: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = coded_source(server, coded)
    (tmp_path / "set.part").write_bytes(coded[: len(coded) // 2])  # resumed, because a checksum is known
    assert fetch_fast(source, tmp_path / "set", accept=accept_splits)
    assert [one["range"] for one in server.requests] == [f"bytes={len(coded) // 2}-"]
    assert [check_track(tmp_path / "set" / name).sample_rate for name in ("train/A", "test/B")] == [44100] * 2
    assert fetched_sha256(tmp_path / "set") == hashlib.sha256(coded).hexdigest()
    assert remaining(tmp_path) == {"set"}
    assert not fetch_fast(source, tmp_path / "set")
    with pytest.raises(BadInput, match="fetched from another archive; expected MD5"):
        fetch_fast(replace(source, md5="0" * 32), tmp_path / "set")
    with pytest.raises(BadInput, match="fetched from another archive; expected SHA-256"):
        fetch_fast(replace(source, sha256="0" * 64, md5=""), tmp_path / "set")
    monkeypatch.setattr("mssbench.datasets.convert.importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install"):
        fetch_fast(source, tmp_path / "other")
    assert remaining(tmp_path) == {"set"}


@pytest.mark.parametrize("fault", ["cut", "other", "no test split", "not audio"])
def test_a_bad_archive_of_coded_tracks_leaves_nothing(
    server: FileServer, coded: bytes, tmp_path: Path, fault: str
) -> None:
    source = coded_source(server, coded)
    if fault == "cut":
        server.content = coded[:-100]
    elif fault == "other":
        server.content = bytes(len(coded))
    else:
        name = "train/A.stem.mp4" if fault == "no test split" else "test/A.stem.mp4"
        with zipfile.ZipFile(io.BytesIO(coded)) as archive:
            content = archive.read("train/A.stem.mp4") if fault == "no test split" else b"no audio"
        source = coded_source(server, zipped({name: content}), sha256="", md5="")
    with pytest.raises((BadInput, Unreachable)):
        fetch_fast(source, tmp_path / "set", accept=accept_splits)
    assert remaining(tmp_path) <= {"set.part"}
    assert (fault == "cut") or not remaining(tmp_path)


def test_each_dataset_of_the_catalog_has_an_address_and_terms() -> None:
    catalog = load_catalog()
    assert set(catalog) == {"musdb18hq", "musdb18-7", "sadie-d1", "sadie-d1-wav", "angles"}
    for source in catalog.values():
        assert source.url.startswith("https://")
        assert len(source.sha256) in (0, 64)
        assert re.search(r"Terms:\s+https://", source.licence)
        assert source.largest > 0
    assert "3338373" in catalog["musdb18hq"].url
    assert catalog["musdb18hq"].sha256
    assert (catalog["musdb18-7"].size, len(catalog["musdb18-7"].md5)) == (147_209_385, 32)
    assert catalog["angles"].default_name == "angles.json"


# --- archives ---------------------------------------------------------------------------------------------


def with_mode(name: str, mode: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return file.getvalue()


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (zipped({"..\\outside": b"x"}), "a path that leads outside"),
        (with_mode("pipe", 0o010644), "not a plain file"),
        (with_mode("disk", 0o060644), "not a plain file"),
        (zipped({"A.wav": b"1", "a.wav": b"2"}), "twice"),
    ],
)
def test_a_hostile_archive_is_refused_and_writes_nothing(
    server: FileServer, tmp_path: Path, archive: bytes, message: str
) -> None:
    server.content = archive
    (tmp_path / "data").mkdir()
    with pytest.raises(BadInput, match=message):
        fetch_fast(pinned(server, sha256=""), tmp_path / "data" / "set")
    assert remaining(tmp_path) == {"data"}
    assert remaining(tmp_path / "data") == set()


def test_an_archive_larger_than_the_free_space_is_refused(
    server: FileServer, source: RemoteDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("mssbench.datasets.unpack.shutil.disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match=r"has 10 bytes free; set\.part unpacks to"):
        fetch_fast(source, tmp_path / "set")


def test_macos_resource_forks_are_not_unpacked(server: FileServer, tmp_path: Path) -> None:
    server.content = zipped({"a/b.wav": b"1", "__MACOSX/a/._b.wav": b"2"})
    fetch_fast(pinned(server), tmp_path / "set")
    assert contents(tmp_path / "set") == {"a/b.wav": b"1"}
