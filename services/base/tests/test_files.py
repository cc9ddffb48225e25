"""References stay inside the data root, and files and folders are written atomically."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mssbench_service import files
from mssbench_service.errors import BadInput, NotFound, StorageFull, StorageUnavailable
from mssbench_service.files import (
    DataRoot,
    atomic_file,
    atomic_folder,
    make_folder,
    read_json,
    remove_folder,
    write_json,
)

OUTSIDE = ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "//x", "\0", "a\0b", "", "\ud800"]

Writer = Callable[[Path], AbstractContextManager[Path]]


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    (tmp_path / "root").mkdir()
    return DataRoot(tmp_path / "root")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# -- the data root -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", OUTSIDE)
def test_a_reference_outside_the_root_is_refused_without_naming_the_root(
    root: DataRoot, reference: str
) -> None:
    for method in (root.resolve, root.existing):
        with pytest.raises(BadInput) as caught:
            method(reference)
        assert str(root.root) not in caught.value.detail


@pytest.mark.parametrize(
    "reference", ["a", "a/b.wav", "./a", "Ünder & over (1) [x]'/é.wav", "a//b", "..a", "."]
)
def test_a_reference_inside_the_root_is_resolved(root: DataRoot, reference: str) -> None:
    assert root.resolve(reference).is_relative_to(root.root)


def test_only_a_link_that_leaves_the_root_is_refused(root: DataRoot, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (root.root / "out").symlink_to(tmp_path / "secret")
    (root.root / "up").symlink_to("..")
    (root.root / "folder").mkdir()
    (root.root / "alias").symlink_to("folder")
    for reference in ("out", "out/x", "up", "up/secret/x", "alias/../out/x"):
        with pytest.raises(BadInput, match="outside"):
            root.resolve(reference)
    assert root.resolve("alias/x") == (root.root / "folder" / "x").resolve()


def test_the_root_may_be_a_link(root: DataRoot, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.root)
    (root.root / "x").touch()
    assert DataRoot(tmp_path / "link").existing("x").samefile(root.root / "x")


def test_a_missing_file_raises_not_found(root: DataRoot) -> None:
    with pytest.raises(NotFound, match=r"'a/b\.wav' does not exist"):
        root.existing("a/b.wav")


def test_a_misspelt_reference_gets_the_nearest_path_that_exists(root: DataRoot) -> None:
    for name in ("music/test/Song", "music/.hidden"):
        (root.root / name).mkdir(parents=True)
    for reference, says in (
        ("musci/test", "; did you mean 'music/test'?"),
        ("music/tset", "; did you mean 'music/test'?"),
        ("musci/tset", "data root"),  # two mistakes
        ("music/hidden", "data root"),
        (f"../{root.root.name}s", "expected a path relative to it"),
    ):
        with pytest.raises((BadInput, NotFound)) as caught:
            root.existing(reference)
        assert caught.value.detail.endswith(says)


def test_reference_is_the_inverse_of_resolve(root: DataRoot, tmp_path: Path) -> None:
    path = root.root / "songs" / "Zoë & I.wav"
    assert root.reference(path) == "songs/Zoë & I.wav"
    assert root.resolve(root.reference(path)) == path
    with pytest.raises(BadInput, match="outside the data root"):
        root.reference(tmp_path / "elsewhere")


def test_the_location_of_the_root_is_hidden(root: DataRoot, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root.root)
    linked = DataRoot(tmp_path / "link", trusted=True)
    for said, shown in (
        (f"{root.root}/a b.wav and '{root.root}/c' are missing", "a b.wav and 'c' are missing"),
        (f"{linked.root}/a is missing", "a is missing"),
        (f"no room in {root.root}: 1 MB", "no room in the data root: 1 MB"),
        (f"{root.root}-2/a and /mnt{root.root}/a", f"{root.root}-2/a and /mnt{root.root}/a"),
    ):
        assert linked.hide_root(said) == shown


def test_a_trusted_root_accepts_paths_outside(tmp_path: Path) -> None:
    trusted = DataRoot(tmp_path / "root", trusted=True)
    assert trusted.resolve("/etc") == Path("/etc")
    assert trusted.resolve("../x") == tmp_path / "root" / ".." / "x"
    assert trusted.reference(tmp_path / "elsewhere") == (tmp_path / "elsewhere").as_posix()
    with pytest.raises(BadInput):
        trusted.resolve("")


# -- files ---------------------------------------------------------------------------------------------------


def test_a_file_is_visible_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "x.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert names(target.parent) == ["x.txt"]


@pytest.mark.parametrize("way", [atomic_file, atomic_folder])
@pytest.mark.parametrize("error", [RuntimeError("write failed"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_content_and_leaves_no_temporary_file(
    tmp_path: Path, way: Writer, error: BaseException
) -> None:
    target = tmp_path / "x"
    target.write_text("old") if way is atomic_file else (target / "old").mkdir(parents=True)

    def fail() -> None:
        with way(target) as temporary:
            temporary.write_text("new") if way is atomic_file else (temporary / "new").touch()
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (target.read_text() if way is atomic_file else names(target)[0]) == "old"
    assert names(tmp_path) == ["x"]


def test_names_of_the_maximum_length_are_written(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 125 + ".wav")
    with atomic_file(target) as temporary:
        temporary.write_text("x")
    folder = tmp_path / ("f" * 255)
    with atomic_folder(folder) as temporary:
        (temporary / "x").touch()
    assert names(tmp_path) == sorted([target.name, folder.name])


@pytest.mark.parametrize("way", [atomic_file, atomic_folder])
def test_a_file_in_place_of_a_parent_folder_is_refused_and_kept(tmp_path: Path, way: Writer) -> None:
    (tmp_path / "file").write_text("in the way")
    for target in (tmp_path / "file" / "x", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(BadInput, match="file"), way(target):
            pytest.fail("expected an error before the first write")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_file_does_not_replace_a_folder_nor_a_folder_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="folder is a folder"), atomic_file(tmp_path / "folder") as temporary:
        temporary.touch()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(BadInput, match="file is a file"), atomic_folder(tmp_path / "file") as temporary:
        (temporary / "x").touch()
    assert (tmp_path / "file").read_text() == "kept"
    assert names(tmp_path) == ["file", "folder"]


def test_make_folder_creates_missing_parents(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    with pytest.raises(BadInput, match="cannot create the folder"):
        make_folder(Path("/proc/no/such"))


# -- folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
def test_a_complete_folder_replaces_the_old_one_if_it_may(tmp_path: Path, replace: bool) -> None:
    target = tmp_path / "out"
    for content in ("first", "second"):
        with atomic_folder(target, replace=replace) as temporary:
            (temporary / content).touch()
        assert names(target) == [content if replace else "first"]
    assert names(tmp_path) == ["out"]


def test_concurrent_writers_of_a_folder_leave_one_complete_result(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def write(number: int) -> None:
        for turn in range(15):
            with atomic_folder(target) as temporary:
                for part in range(4):
                    (temporary / str(part)).write_text(f"{number}.{turn}")

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(write, number) for number in range(4)]:
            job.result()
    assert names(target) == ["0", "1", "2", "3"]
    assert len({(target / part).read_text() for part in names(target)}) == 1
    assert names(tmp_path) == ["out"]


def test_a_folder_exists_at_all_times_while_it_is_replaced(tmp_path: Path) -> None:
    """A track may be read while it is separated again. Not all file systems can exchange folders."""
    one, other, target = (tmp_path / name for name in ("one", "other", "result"))
    for folder in (one, other):
        folder.mkdir()
    if not files._exchanged(one, other):
        pytest.skip("this file system cannot exchange folders")
    missing, ended = [], threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                (target / "stem").read_bytes()
            except OSError as error:
                missing.append(error)

    for number in range(300):
        with atomic_folder(target) as temporary:
            (temporary / "stem").write_bytes(bytes(number % 256))
        if number == 0:
            reader = threading.Thread(target=read)
            reader.start()
    ended.set()
    reader.join()
    assert not missing
    assert names(tmp_path) == ["one", "other", "result"]


def test_concurrent_writers_of_a_file_leave_one_complete_result(tmp_path: Path) -> None:
    target = tmp_path / "x.json"

    def write(number: int) -> None:
        for _ in range(25):
            write_json(target, [number] * 2000)
            assert len(set(read_json(target))) == 1

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(write, number) for number in range(4)]:
            job.result()
    assert names(tmp_path) == ["x.json"]


# -- JSON ----------------------------------------------------------------------------------------------------


def test_json_is_strict_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"title": "Zoë", "value": 1.5, "none": None})
    assert read_json(path) == {"title": "Zoë", "value": 1.5, "none": None}
    assert "Zoë" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text(encoding="utf-8"))["value"] == 1.5


def test_an_unreadable_json_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json")
    for content in (b"{", b"\xff\xfe", b"", b'{"a": ["\\ud83d"]}', b'{"\\uDFFF": 1}'):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(BadInput, match=r"x\.json is not a readable JSON file"):
            read_json(tmp_path / "x.json")
    with pytest.raises(BadInput, match="not a readable JSON"):
        read_json(tmp_path)
    (tmp_path / "x.json").write_bytes(b'"\\ud83d\\udd25"')  # a complete surrogate pair
    assert read_json(tmp_path / "x.json") == "🔥"


def test_a_folder_is_removed_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "out")
    remove_folder(tmp_path / "out")
    assert names(tmp_path) == []


# -- a full disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("way", [atomic_file, atomic_folder])
def test_a_full_disk_is_a_retryable_error_and_leaves_no_file(
    tmp_path: Path, way: Writer, number: int
) -> None:
    def fill() -> None:
        with way(tmp_path / "x.wav") as temporary:
            if way is atomic_file:
                temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(StorageFull, match="no room left to write in") as caught:
        fill()
    assert caught.value.retryable
    assert names(tmp_path) == []


def test_other_write_errors_are_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_file(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(RuntimeError, match="System error"), atomic_file(tmp_path / "x"):
        raise RuntimeError("System error")  # not caused by a full disk
    assert names(tmp_path) == []


# -- power cuts and failing storage --------------------------------------------------------------------------


def test_a_record_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> None:
        steps.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_json(tmp_path / "x.json", {"a": 1})
    assert steps == ["file", "rename", "folder"]
    steps.clear()
    written = (tmp_path / "x.json").stat()
    write_json(tmp_path / "x.json", {"a": 1})
    assert steps == []
    unchanged = (tmp_path / "x.json").stat()  # reading it to compare may move its time of access
    assert (unchanged.st_ino, unchanged.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    with atomic_file(tmp_path / "x.wav") as temporary:  # can be made again
        temporary.touch()
    assert steps == ["rename"]


def test_a_file_system_without_sync_of_folders_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _raising(errno.EINVAL))
    write_json(tmp_path / "x.json", 1)
    assert read_json(tmp_path / "x.json") == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ESTALE])
@pytest.mark.parametrize("function", ["fsync", "replace", "mkdir", "open"])
def test_a_failing_storage_is_a_retryable_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    monkeypatch.setattr(os, function, _raising(number))
    with pytest.raises(StorageUnavailable, match=r"the storage of .* is not available") as caught:
        write_json(tmp_path / "new" / "x.json", 1)
    assert caught.value.retryable
    monkeypatch.undo()
    assert not (tmp_path / "new" / "x.json").exists()
    (tmp_path / "x.json").touch()
    monkeypatch.setattr(Path, "read_text", _raising(number))
    with pytest.raises(StorageUnavailable):
        read_json(tmp_path / "x.json")


def _raising(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
