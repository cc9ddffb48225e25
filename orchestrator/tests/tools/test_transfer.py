"""``push`` and ``pull``: to memory, to a folder, and to a real server of the S3 protocol."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from mssbench.runs.store import Workspace
from mssbench.tools import copying
from mssbench.tools.manifest import MANIFEST
from mssbench.tools.object_store import ObjectStore, open_store
from mssbench.tools.transfer import pull, push
from mssbench_service.errors import BadInput, BadOutput, Conflict, NotFound, Unreachable

Content = dict[str, bytes]


def content(folder: Path) -> Content:
    """All files of a folder but locks, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "Ünder & over [live]"
    for name in ("test/A song/mixture.wav", "test/A song/vocals.wav", "licence.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
        os.utime(path, ns=(10**18 + 123, 10**18 + 123))
    (folder / ".DS_Store").touch()
    (folder / "test/.tmp-123.wav").touch()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A complete run that an earlier version wrote, in the data root ``here``."""
    earlier_run = min((Path(__file__).parents[3] / "tests/data/earlier").glob("**/run.json")).parent
    folder: Path = tmp_path / "here" / "runs" / json.loads((earlier_run / "run.json").read_text())["id"]
    shutil.copytree(earlier_run, folder)
    for path in folder.rglob("error.json"):
        path.unlink()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    """Another data root."""
    return Workspace(tmp_path / "there")


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://lab/copy" if request.param == "memory" else f"file://{tmp_path}/mount/copy"


def change(url: str, name: str, to: bytes) -> None:
    """Replace the content of a file at a URL, bypassing push."""
    store = open_store(url)
    with store.filesystem.open(f"{store.root}/{name}", "wb") as file:
        file.write(to)


def changed_manifest(url: str, **fields: Any) -> None:
    store = open_store(url)
    manifest = json.loads(b"".join(store.blocks(MANIFEST)))
    change(url, MANIFEST, json.dumps(manifest | fields).encode())


def test_a_pulled_dataset_equals_the_one_that_was_pushed(dataset: Path, there: Workspace, url: str) -> None:
    pushed = push(dataset, url)
    assert (pushed.kind, pushed.copied, pushed.kept) == ("dataset", 3, 0)
    pulled = pull(url, there)
    folder = there.root / "data" / dataset.name
    assert pulled.place == str(folder)
    expected = {name: data for name, data in content(dataset).items() if "/." not in f"/{name}"}
    assert content(folder) == expected
    times = {(folder / name).stat().st_mtime_ns for name in expected}
    assert times == {10**18 + 123}, "runs name their data by its times"
    assert [path.name for path in folder.parent.iterdir()] == [dataset.name]


def test_a_pulled_run_equals_the_one_that_was_pushed(run: Path, there: Workspace, url: str) -> None:
    (run / "launched-by-api").touch()
    push(run, url)
    pull(url, there)
    assert content(there.runs / run.name) == {
        name: data for name, data in content(run).items() if name != "launched-by-api"
    }
    assert there.run_ids() == [run.name]
    assert there.run(run.name).load().id == run.name


def test_estimates_are_left_out_on_request(run: Path, there: Workspace, url: str, tmp_path: Path) -> None:
    (run / "estimates").mkdir(exist_ok=True)
    (run / "estimates/a.wav").write_bytes(b"sound")
    push(run, url)
    pull(url, there, estimates=False)
    assert not (there.runs / run.name / "estimates").exists()
    push(run, f"{url}-without", estimates=False)
    pull(f"{url}-without", Workspace(tmp_path / "third"))
    assert content(tmp_path / "third/runs" / run.name) == content(there.runs / run.name)


def test_nothing_is_copied_twice(dataset: Path, there: Workspace, url: str) -> None:
    push(dataset, url)
    assert (push(dataset, url).copied, pull(url, there).copied) == (0, 3)
    folder = there.root / "data" / dataset.name
    before = {path: path.stat().st_ino for path in folder.rglob("*.wav")}
    again = pull(url, there)
    assert (again.copied, again.kept) == (0, 3)
    assert {path: path.stat().st_ino for path in folder.rglob("*.wav")} == before


class Stopped(Exception):
    """Stands for a process that ends in the middle."""


def test_a_push_that_was_stopped_is_incomplete_until_it_is_repeated(
    dataset: Path, there: Workspace, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ObjectStore.upload

    def stopped(self: ObjectStore, name: str, source: Path, count: Any) -> None:
        if name.endswith("vocals.wav"):
            change(url, name, source.read_bytes()[:-1])  # a backend that left a part under the name
            raise Stopped
        upload(self, name, source, count)

    monkeypatch.setattr(copying, "PARALLEL", 1)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "upload", stopped)
        with pytest.raises(Stopped):
            push(dataset, url)
    with pytest.raises(Conflict, match="is incomplete; repeat mssbench push"):
        pull(url, there)
    assert not there.root.exists()
    done = push(dataset, url)
    assert done.copied == 1, "only the file that was not whole"
    assert pull(url, there).copied == 3


def test_a_pull_that_was_stopped_leaves_no_folder_and_continues(
    run: Path, there: Workspace, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(run, url)
    blocks = ObjectStore.blocks

    def stopped(self: ObjectStore, name: str) -> Iterator[bytes]:
        for block in blocks(self, name):
            yield block[:100]
            if name == "run.json":
                raise Stopped
            yield block[100:]

    monkeypatch.setattr(copying, "PARALLEL", 1)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "blocks", stopped)
        with pytest.raises(Stopped):
            pull(url, there)
    assert there.run_ids() == []
    assert not (there.runs / run.name).exists()
    (staging,) = there.runs.iterdir()
    received = content(staging)
    assert received == {name: data for name, data in content(run).items() if name != "run.json"}
    (staging / "stray.json").touch()  # such as one that an earlier push had
    assert pull(url, there).copied == 1
    assert content(there.runs / run.name) == content(run)
    assert not staging.exists()


def test_a_damaged_object_is_refused_and_push_repairs_it(dataset: Path, there: Workspace, url: str) -> None:
    push(dataset, url)
    good = (dataset / "test/A song/vocals.wav").read_bytes()
    for bad in (b"x" + good[1:], good[:-1], good + b"x"):
        change(url, "test/A song/vocals.wav", bad)
        with pytest.raises(BadInput, match=r"vocals\.wav is (damaged|longer).*push it again"):
            pull(url, there)
        assert not (there.root / "data" / dataset.name).exists()
    assert push(dataset, url).copied == 1
    pull(url, there)
    assert (there.root / "data" / dataset.name / "test/A song/vocals.wav").read_bytes() == good


def test_what_is_read_back_must_be_what_was_written(
    dataset: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ObjectStore.upload

    def damaged(self: ObjectStore, name: str, source: Path, count: Any) -> None:
        upload(self, name, source, count)
        change(url, name, b"x" * source.stat().st_size)

    monkeypatch.setattr(ObjectStore, "upload", damaged)
    with pytest.raises(BadOutput, match="is not what was written"):
        push(dataset, url)


def test_a_target_that_holds_something_else_is_refused(
    dataset: Path, run: Path, there: Workspace, url: str
) -> None:
    push(run, url)
    with pytest.raises(Conflict, match=f"holds the run {run.name} of .*, not the dataset"):
        push(dataset, url)
    other = run.with_name("other")
    shutil.copytree(run, other)
    with pytest.raises(Conflict, match=f"holds the run {run.name} of .*, not the run other"):
        push(other, url)
    change("memory://lab/foreign", "notes.txt", b"mine")
    with pytest.raises(Conflict, match="holds 1 files that mssbench push did not write"):
        push(run, "memory://lab/foreign")
    (there.runs / run.name).mkdir(parents=True)
    (there.runs / run.name / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="holds something other than"):
        pull(url, there)
    assert (there.runs / run.name / "notes.txt").read_text() == "mine"
    assert [path.name for path in there.runs.iterdir()] == [run.name]


def test_a_dataset_with_other_content_is_refused(dataset: Path, there: Workspace, url: str) -> None:
    push(dataset, url)
    pull(url, there)
    (dataset / "licence.txt").write_bytes(b"another")
    with pytest.raises(Conflict, match=r"licence\.txt has other content"):
        push(dataset, url)
    (there.root / "data" / dataset.name / "licence.txt").write_bytes(b"another")
    with pytest.raises(Conflict, match="holds something other than"):
        pull(url, there)


def test_a_run_that_went_on_is_updated_at_both_ends(run: Path, there: Workspace, url: str) -> None:
    (first, *_) = run.rglob("result.json")
    kept = first.read_bytes()
    first.unlink()
    push(run, url)
    pull(url, there)
    first.write_bytes(kept)
    (run / "results.csv").write_text("new")
    assert push(run, url).copied == 2
    assert pull(url, there).copied == 2
    assert content(there.runs / run.name) == content(run)
    first.unlink()
    with pytest.raises(Conflict, match="has 1 results that run"):
        push(run, url)
    extra = there.runs / run.name / "cells/stereo/mine/A song/result.json"
    extra.parent.mkdir(parents=True)
    extra.touch()
    first.write_bytes(kept)
    (run / "results.csv").write_text("newer")
    push(run, url)
    with pytest.raises(Conflict, match="has 1 files that the copy lacks, such as cells/stereo/mine"):
        pull(url, there)


def test_a_run_that_is_running_is_refused(run: Path, url: str) -> None:
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="is running"):
            push(run, url)
    push(run, url)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "a\0b", ".lock", "a/.tmp-x", "", "a//b", "./a", "a/", "\ud800"]
)
def test_a_manifest_cannot_name_a_file_outside_the_folder(
    dataset: Path, there: Workspace, url: str, name: str
) -> None:
    push(dataset, url)
    files = [{"path": name, "size": 1, "sha256": "0" * 64, "mtime_ns": 0}]
    changed_manifest(url, files=files)
    with pytest.raises(BadInput):
        pull(url, there)
    changed_manifest(url, files=[], name=name)
    with pytest.raises(BadInput):
        pull(url, there)
    assert not there.root.exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "not readable JSON"),
        (b"\xff", "not readable JSON"),
        (b"[]", "expected an object"),
        (b'{"version": 99}', "newer version"),
        (b'{"version": 1, "kind": "model", "name": "x"}', "is not a manifest: kind"),
        (b'{"version": 1, "kind": "dataset", "name": "x", "files": [{"path": "a"}]}', "is not a manifest"),
    ],
)
def test_a_damaged_manifest_is_named(there: Workspace, text: bytes, says: str) -> None:
    change("memory://lab/copy", MANIFEST, text)
    with pytest.raises(BadInput, match=says):
        pull("memory://lab/copy", there)


def test_a_link_that_leads_outside_is_refused(
    dataset: Path, there: Workspace, tmp_path: Path, url: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (dataset / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is a link to a folder"):
        push(dataset, url)
    (dataset / "more").unlink()
    push(dataset, url)
    staging = there.root / "data" / f".tmp-pull-{dataset.name}"
    staging.mkdir(parents=True)
    (staging / "test").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="leads outside"):
        pull(url, there)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_progress_ends_at_the_total_of_each_stage(dataset: Path, there: Workspace, url: str) -> None:
    seen: list[tuple[str, int, int | None]] = []
    push(dataset, url, progress=lambda *call: seen.append(call))
    pull(url, there, progress=lambda *call: seen.append(call))
    total = sum(path.stat().st_size for path in dataset.rglob("*") if path.is_file())
    for stage in ("read", "push", "verify", "pull"):
        done = [call for call in seen if call[0] == stage]
        assert done[-1][1:] == (total, total), stage
        assert [call[1] for call in done] == sorted(call[1] for call in done)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/mnt/bucket", "is not a URL"),
        ("s3:/bucket", "is not a URL"),
        ("memory://", "names no folder"),
        ("nonsense://me:secret@bucket/x", "nonsense://bucket/x cannot be opened"),
        ("gs://bucket/x", "gs:// needs the package gcsfs: pip install gcsfs"),
    ],
)
def test_a_url_that_cannot_be_opened_is_named(dataset: Path, url: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        push(dataset, url)
    assert "secret" not in str(caught.value)


def test_the_absence_of_a_copy_is_named(dataset: Path, there: Workspace, url: str) -> None:
    with pytest.raises(NotFound, match="there is no run or dataset at"):
        pull(url, there)
    with pytest.raises(NotFound, match="is not a folder"):
        push(dataset / "nothing", url)
    (dataset / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no files"):
        push(dataset / "empty", url)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (PermissionError(13, "Forbidden"), BadInput, "access denied: Forbidden"),
        (FileNotFoundError(2, "The specified bucket does not exist"), NotFound, "bucket does not exist"),
        (ConnectionError("refused by s3://me:secret@host"), Unreachable, "cannot be reached.*refused"),
        (OSError(36, "File name too long"), BadInput, "File name too long"),
        (RuntimeError("unforeseen\nin two lines"), Unreachable, "RuntimeError: unforeseen in two lines"),
    ],
)
def test_errors_of_a_backend_become_one_line(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], says: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    memory = type(fsspec.filesystem("memory"))
    monkeypatch.setattr(memory, "pipe_file", fails)
    with pytest.raises(kind, match=says) as caught:
        push(dataset, "memory://lab/copy")
    assert "secret" not in str(caught.value)
