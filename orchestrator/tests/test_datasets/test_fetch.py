"""Whatever the server does, a dataset is there whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from mssbench.datasets import fetch as module
from mssbench.datasets.fetch import SEPARATION_FILE, accept_angles, accept_musdb18hq, fetch
from mssbench.datasets.pins import Source, load_pins
from mssbench_service.errors import BadInput, NotFound, TooLarge, Unreachable
from mssbench_service.musdb import SPLITS, STEMS

from .conftest import Server, zipped

MEMBERS = {"set/a.wav": bytes(range(256)) * 800, "set/b & c [é].txt": b"text"}
ARCHIVE = zipped(MEMBERS)


@pytest.fixture
def source(server: Server) -> Source:
    server.content = ARCHIVE
    return pinned(server)


def pinned(server: Server, **changes: object) -> Source:
    digest = hashlib.sha256(server.content).hexdigest()
    entry = {"name": "set", "url": server.url, "sha256": digest, "largest": 1_000_000} | changes
    return Source(**entry)  # type: ignore[arg-type]


def quickly(source: Source, out: Path, **options: object) -> bool:
    return fetch(source, out, pause=0.001, **options)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found.pop(SEPARATION_FILE)
    return found


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_an_archive_is_fetched_verified_and_unpacked_once(
    server: Server, source: Source, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int | None]] = []
    assert quickly(source, tmp_path / "set", progress=lambda *call: told.append(call))
    assert contents(tmp_path / "set") == MEMBERS
    assert json.loads((tmp_path / "set" / SEPARATION_FILE).read_text()) == {
        "url": source.url,
        "sha256": source.sha256,
    }
    assert ("set", len(ARCHIVE), len(ARCHIVE)) in told
    total = sum(map(len, MEMBERS.values()))
    assert told[-1] == ("set: unpacking", total, total)
    assert not quickly(source, tmp_path / "set")
    assert len(server.asked) == 1
    assert left_over(tmp_path) == {"set"}


def faulty(server: Server, fault: str) -> None:
    third = len(ARCHIVE) // 3
    settings: dict[str, dict[str, object]] = {
        "cuts connections": {"cut_after": third},
        "cuts one connection and ignores ranges": {"cut_after": third, "cuts": 1, "ranges": False},
        "redirects": {"redirects": 2},
        "is not well at first": {"statuses": [500, 503, 429]},
    }
    for name, value in settings[fault].items():
        setattr(server, name, value)


@pytest.mark.parametrize(
    "fault",
    ["cuts connections", "cuts one connection and ignores ranges", "redirects", "is not well at first"],
)
def test_it_arrives_from_a_server_that(server: Server, source: Source, tmp_path: Path, fault: str) -> None:
    faulty(server, fault)
    assert quickly(source, tmp_path / "set")
    assert contents(tmp_path / "set") == MEMBERS
    assert left_over(tmp_path) == {"set"}


def test_the_next_call_goes_on_where_the_last_one_gave_up(
    server: Server, source: Source, tmp_path: Path
) -> None:
    (tmp_path / "set.part").write_bytes(ARCHIVE[:400])
    quickly(source, tmp_path / "set")
    assert server.asked == ["bytes=400-"]
    assert contents(tmp_path / "set") == MEMBERS


@pytest.mark.parametrize("error", [5000, -300])
def test_a_lie_about_the_length_leaves_nothing_in_place(
    server: Server, source: Source, tmp_path: Path, error: int
) -> None:
    server.length_error = error
    with pytest.raises((Unreachable, BadInput)):
        quickly(source, tmp_path / "set")
    assert left_over(tmp_path) <= {"set.part"}


def test_a_damaged_file_is_refused_and_deleted(server: Server, source: Source, tmp_path: Path) -> None:
    server.content = ARCHIVE[:100] + b"?" + ARCHIVE[101:]
    with pytest.raises(BadInput, match=r"is damaged: its SHA-256 is .*; expected"):
        quickly(source, tmp_path / "set")
    assert left_over(tmp_path) == set()


def test_a_server_that_sends_without_end_is_cut_off(server: Server, tmp_path: Path) -> None:
    server.content = bytes(100_000)
    with pytest.raises(BadInput, match="sends more than the 1000 bytes expected"):
        quickly(pinned(server, largest=1000), tmp_path / "set")
    assert left_over(tmp_path) == set()


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (403, NotFound), (500, Unreachable)])
def test_a_refusal_is_said(server: Server, source: Source, tmp_path: Path, status: int, kind: type) -> None:
    server.statuses = [status] * 99
    with pytest.raises(kind, match=str(status)):
        quickly(source, tmp_path / "set")
    assert left_over(tmp_path) == set()


def test_no_server_is_said(source: Source, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        quickly(Source(name="set", url="http://127.0.0.1:9/x", largest=1), tmp_path / "set")


def test_what_is_not_what_was_asked_for_gets_no_name(server: Server, source: Source, tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        assert contents_without_record(folder) == MEMBERS
        raise BadInput("that is something else")

    with pytest.raises(BadInput, match="something else"):
        quickly(pinned(server, sha256=""), tmp_path / "set", accept=refuse)
    assert left_over(tmp_path) == set()


def contents_without_record(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_verified_archive_is_not_fetched_again_after_the_disk_was_full(
    server: Server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise BadInput("no room")

    with monkeypatch.context() as patch:
        patch.setattr(module, "unzip", full)
        with pytest.raises(BadInput, match="no room"):
            quickly(source, tmp_path / "set")
    assert left_over(tmp_path) == {"set.part"}
    assert quickly(source, tmp_path / "set")
    assert len(server.asked) == 1
    assert contents(tmp_path / "set") == MEMBERS


def test_what_is_in_the_way_is_kept(source: Source, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "diary.txt").write_text("mine")
    with pytest.raises(BadInput, match="exists and is not what would be fetched"):
        quickly(source, tmp_path / "set")
    assert (tmp_path / "set" / "diary.txt").read_text() == "mine"


def test_another_version_that_is_there_is_said(server: Server, source: Source, tmp_path: Path) -> None:
    quickly(source, tmp_path / "set")
    with pytest.raises(BadInput, match=f"from another archive; expected SHA-256 {'0' * 64}"):
        quickly(pinned(server, sha256="0" * 64), tmp_path / "set")


def test_a_single_file_is_placed_as_it_is(server: Server, tmp_path: Path) -> None:
    table = {split: {"A": dict.fromkeys(STEMS, 10)} for split in SPLITS}
    server.content = json.dumps(table).encode()
    source = pinned(server, unpack=False)
    assert quickly(source, tmp_path / "angles.json", accept=accept_angles)
    assert json.loads((tmp_path / "angles.json").read_text()) == table
    assert not quickly(source, tmp_path / "angles.json", accept=accept_angles)
    (tmp_path / "angles.json").write_text("{}")
    with pytest.raises(BadInput, match="is not what would be fetched"):
        quickly(source, tmp_path / "angles.json")


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", b"[]", b'{"train": {}}', b'{"train": 1, "test": 2}']
)
def test_a_page_instead_of_a_table_is_refused(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(BadInput):
        quickly(pinned(server, unpack=False, sha256=""), tmp_path / "angles.json", accept=accept_angles)
    assert left_over(tmp_path) == set()


def test_musdb18hq_is_known_by_its_layout(tmp_path: Path) -> None:
    for split in SPLITS:
        (tmp_path / split / "A - B").mkdir(parents=True)
        (tmp_path / split / "A - B" / "mixture.wav").touch()
    accept_musdb18hq(tmp_path, {"train": 1, "test": 1})
    with pytest.raises(BadInput, match="the archive has 1 train tracks; expected 100"):
        accept_musdb18hq(tmp_path)
    with pytest.raises(BadInput, match="no readable folder 'train'"):
        accept_musdb18hq(tmp_path / "test")


def test_the_pins_name_their_sources_and_terms() -> None:
    pins = load_pins()
    assert set(pins) == {"musdb18hq", "sadie-d1", "sadie-d1-wav", "angles"}
    for source in pins.values():
        assert source.url.startswith("https://")
        assert len(source.sha256) in (0, 64)
        assert re.search(r"Terms:\s+https://", source.licence)
        assert source.largest > 0
    assert "3338373" in pins["musdb18hq"].url
    assert pins["musdb18hq"].sha256
    assert pins["angles"].kept_as == "angles.json"


# --- archives ---------------------------------------------------------------------------------------------


def with_mode(name: str, mode: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "/etc/passwd")
    return file.getvalue()


def twice(first: str, second: str) -> bytes:
    return zipped({first: b"1", second: b"2"})


def lying(claimed: int) -> bytes:
    """An archive whose member claims another size than it has, in both of its headers."""
    archive = zipped({"a": bytes(50_000)})
    size = (50_000).to_bytes(4, "little")
    assert archive.count(size) == 2
    return archive.replace(size, claimed.to_bytes(4, "little"))


def encrypted() -> bytes:
    archive = bytearray(zipped({"a": b"secret"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + flags] |= 1
    return bytes(archive)


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (zipped({"../outside": b"x"}), "a path that leads outside"),
        (zipped({"a/../../outside": b"x"}), "a path that leads outside"),
        (zipped({"/outside": b"x"}), "a path that leads outside"),
        (zipped({"..\\outside": b"x"}), "a path that leads outside"),
        (zipped({"C:/outside": b"x"}), "a path that leads outside"),
        (with_mode("link", 0o120777), "not a plain file"),
        (with_mode("pipe", 0o010644), "not a plain file"),
        (with_mode("disk", 0o060644), "not a plain file"),
        (twice("A.wav", "a.wav"), "twice"),
        (twice("a", "a/b"), "cannot be unpacked"),
        (lying(1000), "cannot be unpacked"),
        (lying(60_000), "cannot be unpacked"),
        (encrypted(), "is encrypted"),
        (ARCHIVE[:-30], "cannot be unpacked"),
        (b"not a zip archive", "cannot be unpacked"),
        (b"", "cannot be unpacked"),
    ],
)
def test_a_hostile_archive_writes_nothing_anywhere(
    server: Server, tmp_path: Path, archive: bytes, says: str
) -> None:
    server.content = archive
    (tmp_path / "data").mkdir()
    with pytest.raises(BadInput, match=says):
        quickly(pinned(server, sha256=""), tmp_path / "data" / "set")
    assert left_over(tmp_path) == {"data"}
    assert left_over(tmp_path / "data") == set()


@pytest.mark.parametrize("archive", [zipped({"zeros": bytes(3_000_000)}), lying(2**32 - 2)])
def test_a_bomb_is_refused_before_it_goes_off(server: Server, tmp_path: Path, archive: bytes) -> None:
    server.content = archive
    with pytest.raises(TooLarge, match="at most 1000000 were expected"):
        quickly(pinned(server, sha256=""), tmp_path / "set")
    assert left_over(tmp_path) == set()


def test_an_archive_that_the_disk_has_no_room_for_is_refused_beforehand(
    server: Server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("mssbench.datasets.unpack.shutil.disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match=r"has 10 bytes free; set\.part unpacks to"):
        quickly(source, tmp_path / "set")


def test_what_a_mac_packs_beside_the_files_is_left_out(server: Server, tmp_path: Path) -> None:
    server.content = zipped({"a/b.wav": b"1", "__MACOSX/a/._b.wav": b"2"})
    quickly(pinned(server), tmp_path / "set")
    assert contents(tmp_path / "set") == {"a/b.wav": b"1"}
