"""A data root at a URL: the cache is never trusted over it, folders are whole or absent, errors are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile as sf
from mssbench.config import RunConfig
from mssbench.control import cancel, delete, retry_failed
from mssbench.housekeeping import find_litter
from mssbench.inline import run_inline
from mssbench.launch import execute_inline, open_run, prepare
from mssbench.progress import progress_of
from mssbench.remote import MANIFEST, RemoteMirror, default_cache, open_workspace
from mssbench.runtime import make_runtime
from mssbench.secret import secret
from mssbench.steps import Run, Task, perform_patiently
from mssbench.store import Workspace
from mssbench_service.audio_headers import header_error
from mssbench_service.errors import BadInput, Conflict, NotFound, StorageUnavailable

URL = "memory://lab/bench"


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    """The file system behind :data:`URL`, with nothing in it."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield memory
    memory.store.clear()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSBENCH_PAUSES", "0.01")
    monkeypatch.setattr("mssbench.remote._AGAIN_SECONDS", (0.0, 0.0))


def host(folder: Path) -> RemoteMirror:
    """A machine with a cache of its own."""
    return RemoteMirror(URL, folder)


def put(bucket: fsspec.AbstractFileSystem, name: str, content: bytes) -> None:
    bucket.pipe_file(f"/lab/bench/{name}", content)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- fetching ------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched_as_it_is_now_and_only_what_changed(bucket, tmp_path) -> None:
    mirror, here = host(tmp_path / "a"), tmp_path / "a/music/One [live]? #1"
    put(bucket, "music/One [live]? #1/mixture.wav", b"one")
    put(bucket, "music/One [live]? #1/bass.wav", b"low")
    put(bucket, "music/One [live]? #10/bass.wav", b"of another track")
    mirror.fetch("music/One [live]? #1")
    assert contents(here) == {"mixture.wav": b"one", "bass.wav": b"low"}
    kept = (here / "bass.wav").stat().st_ino
    put(bucket, "music/One [live]? #1/mixture.wav", b"two")  # as long as before
    mirror.fetch("music/One [live]? #1")
    assert contents(here) == {"mixture.wav": b"two", "bass.wav": b"low"}
    assert (here / "bass.wav").stat().st_ino == kept
    (here / "bass.wav").write_bytes(b"LOW")  # somebody changed the cache
    (here / "stale.wav").write_bytes(b"x")
    mirror.fetch("music/One [live]? #1")
    assert contents(here) == {"mixture.wav": b"two", "bass.wav": b"low"}


def test_two_caches_give_a_file_the_same_time_which_is_part_of_a_runs_name(bucket, tmp_path) -> None:
    put(bucket, "x.wav", b"one")
    times = []
    for name in "ab":
        host(tmp_path / name).fetch("x.wav")
        times.append((tmp_path / name / "x.wav").stat().st_mtime_ns)
    assert times[0] == times[1]


def test_what_is_not_there_is_not_found_and_nothing_leads_outside(bucket, tmp_path) -> None:
    mirror = host(tmp_path / "a")
    with pytest.raises(NotFound, match="nothing at memory://lab/bench/music"):
        mirror.fetch("music")
    for reference in ("../other", "/etc", "music/../../other"):
        with pytest.raises(BadInput, match="outside the data root"):
            mirror.fetch(reference)


@pytest.mark.parametrize(
    ("value", "inside"),
    [
        ("music", "music"),
        ("data/music/", "data/music"),
        (f"{URL}/music", "music"),
        ("./hrir/x.sofa", "hrir/x.sofa"),
    ],
)
def test_people_name_what_is_at_the_url_by_url_or_relative_to_it(bucket, tmp_path, value, inside) -> None:
    assert host(tmp_path / "a").named(value) == inside


@pytest.mark.parametrize(
    "value", ["/music", "..", "../music", "s3://other/music", "memory://lab/bench2/music", "."]
)
def test_what_is_not_under_the_url_is_refused(bucket, tmp_path, value) -> None:
    with pytest.raises(BadInput, match="not under the data root"):
        host(tmp_path / "a").named(value)


def test_planning_reads_only_the_ends_of_the_tracks_asked_for(bucket, tmp_path, monkeypatch) -> None:
    sound = tmp_path / "x.wav"
    sf.write(sound, np.random.default_rng(0).uniform(-1, 1, (200_000, 2)), 44100, subtype="PCM_16")
    content = sound.read_bytes()
    for title in "ABC":
        put(bucket, f"music/test/{title}/mixture.wav", content)
    put(bucket, "music/test/A/cover.jpg", b"x")
    put(bucket, "music/test/notes/readme.txt", b"x")
    mirror = host(tmp_path / "a")
    read: list[int] = []
    real = mirror.objects.read
    monkeypatch.setattr(
        mirror.objects, "read", lambda *of: (read.append(len(real(*of) or b"")), real(*of))[1]
    )
    folder = mirror.outlines("music", "test", 2)
    assert sorted(contents(folder)) == ["test/A/mixture.wav", "test/B/mixture.wav"]
    assert sum(read) == 2 * 2 * 64 * 1024 < len(content)
    outline, here = folder / "test/A/mixture.wav", tmp_path / "a/music/test/A/mixture.wav"
    assert sf.info(outline).frames == 200_000
    assert header_error(outline) == ""
    mirror.fetch("music/test/A")
    assert here.read_bytes() == content
    assert here.stat().st_size == outline.stat().st_size
    assert here.stat().st_mtime_ns == outline.stat().st_mtime_ns, "or it would be another run"
    bucket.rm("/lab/bench/music/test/A", recursive=True)
    read.clear()
    mirror.outlines("music", "test", 2)
    assert sorted(contents(folder)) == ["test/B/mixture.wav", "test/C/mixture.wav"]
    assert len(read) == 2, "one of them was known"
    with pytest.raises(BadInput, match=r"MUSDB18-HQ layout; expected train/<title>"):
        mirror.outlines("music", "train", None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no sound",
        b"no sound" * 30_000,
        b"RIFF\0\0\0\0WAVEJUNK" + (150_000).to_bytes(4, "little") + bytes(200_000) + b"data\4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEdata" + (100_000).to_bytes(4, "little") + b"abcd" * 50_000,
    ],
    ids=["empty", "short", "no WAV", "late samples", "much behind them"],
)
def test_what_has_no_outline_is_read_whole(bucket, tmp_path, content) -> None:
    put(bucket, "music/test/A/mixture.wav", content)
    folder = host(tmp_path / "a").outlines("music", "test", None)
    assert contents(folder) == {"test/A/mixture.wav": content}


# -- folders that steps make ---------------------------------------------------------------------------------


def make(mirror: RemoteMirror, content: bytes, reference: str = "data/rendered/k/T") -> None:
    with mirror.writing(reference, "metadata.json") as out:
        folder = mirror.root / out
        folder.mkdir(parents=True)
        (folder / "bass.wav").write_bytes(content)
        (folder / "drums.wav").write_bytes(content)
        (folder / "metadata.json").write_bytes(b"{}")


def test_what_a_step_made_is_sent_marker_last_and_stays_here(bucket, tmp_path, monkeypatch) -> None:
    mirror, sent = host(tmp_path / "a"), []
    real = mirror.objects.put
    monkeypatch.setattr(mirror.objects, "put", lambda name, source: (sent.append(name), real(name, source)))
    make(mirror, b"sound")
    assert [Path(name).name for name in sent] == ["bass.wav", "drums.wav", MANIFEST, "metadata.json"]
    assert contents(tmp_path / "a/data") == {
        "rendered/k/T/bass.wav": b"sound",
        "rendered/k/T/drums.wav": b"sound",
        "rendered/k/T/metadata.json": b"{}",
    }
    kept = (tmp_path / "a/data/rendered/k/T/bass.wav").stat().st_ino
    mirror.fetch("data/rendered/k/T")
    assert (tmp_path / "a/data/rendered/k/T/bass.wav").stat().st_ino == kept, "what it made needs no fetching"
    other = host(tmp_path / "b")
    other.fetch("data/rendered/k/T")
    assert contents(tmp_path / "b/data") == contents(tmp_path / "a/data")


def test_a_step_that_fails_sends_nothing_and_leaves_nothing(bucket, tmp_path) -> None:
    mirror = host(tmp_path / "a")

    def fail() -> None:
        with mirror.writing("data/rendered/k/T", "metadata.json") as out:
            (mirror.root / out).mkdir(parents=True)
            (mirror.root / out / "bass.wav").write_bytes(b"half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert not bucket.find("/lab/bench")
    assert contents(tmp_path / "a/data") == {}


def test_the_first_of_two_that_made_the_same_stands(bucket, tmp_path) -> None:
    first, second = host(tmp_path / "a"), host(tmp_path / "b")
    make(first, b"first")
    make(second, b"second")
    second.fetch("data/rendered/k/T")
    assert (tmp_path / "b/data/rendered/k/T/bass.wav").read_bytes() == b"first"


def test_a_mixture_of_two_is_never_used_and_is_made_again(bucket, tmp_path) -> None:
    """Two machines sent the same folder at once, and one of them died before it had sent all."""
    first, second = host(tmp_path / "a"), host(tmp_path / "b")
    make(first, b"first")
    put(bucket, "data/rendered/k/T/bass.wav", b"other")  # as long as the first one's
    second.look("data/rendered/k/T/metadata.json")
    assert (tmp_path / "b/data/rendered/k/T/metadata.json").exists()
    with pytest.raises(StorageUnavailable, match=r"not whole \(bass.wav\); it has to be made again"):
        second.fetch("data/rendered/k/T")
    assert not (tmp_path / "b/data/rendered/k/T/metadata.json").exists()
    second.look("data/rendered/k/T/metadata.json")
    assert not (tmp_path / "b/data/rendered/k/T/metadata.json").exists()
    make(second, b"second")
    first.fetch("data/rendered/k/T")
    assert (tmp_path / "a/data/rendered/k/T/bass.wav").read_bytes() == b"second"


def test_a_file_that_changes_while_it_is_fetched_is_fetched_again(bucket, tmp_path, monkeypatch) -> None:
    put(bucket, "music/a.wav", b"one")
    mirror = host(tmp_path / "a")
    real, calls = mirror.objects.version, []

    def changed_meanwhile(reference: str) -> object:
        calls.append(reference)
        if len(calls) == 1:
            put(bucket, "music/a.wav", b"two")
        return real(reference)

    monkeypatch.setattr(mirror.objects, "version", changed_meanwhile)
    mirror.fetch("music")
    assert (tmp_path / "a/music/a.wav").read_bytes() == b"two"
    assert len(calls) == 2


# -- the cache -----------------------------------------------------------------------------------------------


def test_a_cache_is_of_one_url_and_of_nothing_else(bucket, tmp_path) -> None:
    host(tmp_path / "a")
    host(tmp_path / "a")
    with pytest.raises(BadInput, match=r"is a cache of memory://lab/bench, not of memory://lab/other"):
        RemoteMirror("memory://lab/other", tmp_path / "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds files of its own"):
        host(tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("bucket/prefix", "is not a URL"),
        ("s3://", "is not a URL"),
        ("pigeon://coop/one", "Protocol not known"),
    ],
)
def test_a_url_that_is_none_is_named(tmp_path, url, message) -> None:
    with pytest.raises(BadInput, match=message):
        RemoteMirror(url, tmp_path / "a")


def test_a_password_in_the_url_is_not_shown(tmp_path) -> None:
    with pytest.raises(BadInput) as refused:
        RemoteMirror("pigeon://me:secret@coop/one", tmp_path / "a")
    assert "secret" not in refused.value.detail


def test_the_url_and_its_cache_come_from_the_environment_or_a_file(bucket, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MSSBENCH_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.setenv("MSSBENCH_DATA_URL_FILE", str(tmp_path / "url"))
    assert secret("MSSBENCH_DATA_URL") == URL
    workspace = open_workspace()
    assert workspace.root == default_cache(URL)
    assert workspace.root.is_relative_to(tmp_path / "cache/mssbench")
    monkeypatch.setenv("MSSBENCH_DATA_URL", URL)
    with pytest.raises(BadInput, match="both MSSBENCH_DATA_URL and MSSBENCH_DATA_URL_FILE are set"):
        open_workspace()
    monkeypatch.delenv("MSSBENCH_DATA_URL_FILE")
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(tmp_path / "mine"))
    assert open_workspace().root == tmp_path / "mine"


# -- runs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def music(bucket, _demo_tracks: Path) -> None:
    """The dataset ``music`` at the URL: two tracks of 2 s."""
    for path in _demo_tracks.rglob("*.wav"):
        put(bucket, f"music/{path.relative_to(_demo_tracks).as_posix()}", path.read_bytes())


CONFIG = RunConfig("music", separators=["oracle-irm"], conditions=["binaural"], bsseval=False)


def begin(folder: Path) -> Run:
    mirror = host(folder)
    return prepare(CONFIG, Workspace(mirror.root, mirror), make_runtime(mirror.root), run_id="mine")


def join(folder: Path) -> Run:
    """The run as another machine sees it."""
    mirror = host(folder)
    return open_run(Workspace(mirror.root, mirror).run("mine"), make_runtime(mirror.root))


def test_steps_go_hand_in_hand_on_machines_that_share_nothing(bucket, music, tmp_path) -> None:
    here = begin(tmp_path / "a")
    for number in range(20):
        run = join(tmp_path / f"worker{number % 3}")
        task = next(iter(run.open_tasks()), None)
        if task is None:
            break
        perform_patiently(run, task)
    assert number == 6, "two tracks: rendered, separated, evaluated, each once"
    here.store.refresh()
    assert progress_of(here).complete
    assert progress_of(here).failed == 0
    estimates = bucket.find("/lab/bench/runs/mine/estimates")
    assert len(estimates) == 2 * (4 + 2)
    execute_inline(here, lambda status: None)
    assert bucket.exists("/lab/bench/runs/mine/report/index.html")
    assert bucket.exists("/lab/bench/runs/mine/results.csv")
    # Its report can play everything, though nothing was rendered or separated on this machine.
    assert list((tmp_path / "a/runs/mine/report/audio").iterdir())
    assert contents(tmp_path / "a/runs/mine/report").keys() == {
        name.removeprefix("/lab/bench/runs/mine/report/")
        for name in bucket.find("/lab/bench/runs/mine/report")
    }


def test_what_others_did_is_not_done_again(bucket, music, tmp_path) -> None:
    late = begin(tmp_path / "a")
    run_inline(join(tmp_path / "b"), lambda: None)
    before = {name: info["created"] for name, info in bucket.find("/lab/bench", detail=True).items()}
    for task in list(late.open_tasks()):  # its cache knows of nothing
        perform_patiently(late, task)
    for cell in late.record.cells():
        for step in ("separate", "evaluate"):
            perform_patiently(late, Task(step, cell.title, cell.condition, cell.separator))
    assert {name: info["created"] for name, info in bucket.find("/lab/bench", detail=True).items()} == before


def test_errors_retries_and_cancelling_reach_everybody(bucket, music, tmp_path, monkeypatch) -> None:
    one, other = begin(tmp_path / "a"), join(tmp_path / "b")
    cell = one.record.cells()[0]
    other.store.save_error(cell, "separate", "step-failed", "it broke")
    one.store.refresh()
    assert one.store.failed(cell)
    assert retry_failed(one) == 1
    other.store.refresh()
    assert not other.store.failed(cell)
    cancel(other, None)
    assert not one.store.cancelled
    one.store.refresh()
    assert one.store.cancelled
    one.store.go_on()
    other.store.refresh()
    assert not other.store.cancelled


def test_a_stem_that_went_missing_fails_its_cells_alone_by_name(bucket, music, tmp_path) -> None:
    run = begin(tmp_path / "a")
    title = run.record.tracks[0].title
    bucket.rm_file(f"/lab/bench/music/test/{title}/bass.wav")
    run_inline(join(tmp_path / "b"), lambda: None)
    run.store.refresh()
    assert [run.store.failed(cell) for cell in run.record.cells()] == [True, False]
    assert "bass.wav" in run.store.outcome(run.record.cells()[0])["detail"]


def test_a_url_that_is_away_costs_no_cell(bucket, music, tmp_path, monkeypatch) -> None:
    run = begin(tmp_path / "a")
    task = next(iter(run.open_tasks()))

    def away(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(type(bucket), "info", away)
    with pytest.raises(
        StorageUnavailable, match="memory://lab/bench does not answer: OSError: no route to host"
    ):
        perform_patiently(run, task)
    monkeypatch.undo()
    monkeypatch.setenv("MSSBENCH_PAUSES", "0.01")
    assert progress_of(run).ended == 0
    perform_patiently(run, task)
    assert progress_of(run).rendered == 1


def test_one_machine_follows_a_run_at_a_time_and_a_dead_one_is_forgotten(bucket, music, tmp_path) -> None:
    one, other = begin(tmp_path / "a"), join(tmp_path / "b")
    with one.store.exclusive():
        other.store.refresh()
        assert other.store.held
        with pytest.raises(Conflict, match="run mine is being run by"), other.store.exclusive():
            pass
        with pytest.raises(Conflict, match="is running"):
            delete(other, None)
    other.store.refresh()
    assert not other.store.held
    put(bucket, "runs/mine/followed", b"somebody who died")
    long_ago = bucket.store["/lab/bench/runs/mine/followed"]
    long_ago.created = long_ago.created.replace(year=2000)
    with other.store.exclusive():
        pass


def test_a_deleted_run_is_gone_for_everybody(bucket, music, tmp_path) -> None:
    one, other = begin(tmp_path / "a"), join(tmp_path / "b")
    workspaces = [Workspace(run.store.folder.parent.parent, run.store.mirror) for run in (one, other)]
    assert [workspace.run_ids() for workspace in workspaces] == [["mine"], ["mine"]]
    delete(one, None)
    assert not bucket.find("/lab/bench/runs")
    assert [workspace.run_ids() for workspace in workspaces] == [[], []]
    with pytest.raises(NotFound, match="no run 'mine'"):
        join(tmp_path / "b")


# -- whoever looks often, and whoever tidies up --------------------------------------------------------------


class Requests:
    """Counts what a mirror asks of the URL."""

    def __init__(self, mirror: RemoteMirror, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for name in ("find", "files", "names", "version", "read"):
            monkeypatch.setattr(mirror.objects, name, self._counted(name, getattr(mirror.objects, name)))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *of: (self.made.append(name), real(*of))[1]

    def of(self, do: Callable[[], Any]) -> list[str]:
        self.made.clear()
        do()
        return list(self.made)


def test_however_often_somebody_looks_the_url_is_asked_little(bucket, music, tmp_path, monkeypatch) -> None:
    run = begin(tmp_path / "a")
    run_inline(run, lambda: None)
    visitor = host(tmp_path / "b")
    workspace = Workspace(visitor.root, visitor)
    store, asked = workspace.run("mine"), Requests(visitor, monkeypatch)

    def look() -> None:
        for _ in range(20):
            store.refresh(at_once=False)
            workspace.run_ids(at_once=False)

    monkeypatch.setattr("mssbench.looks.LOOK_SECONDS", 600.0)  # however slow this machine is
    assert asked.of(look).count("find") == 2, "its folder, and the renderings"
    assert store.load().id == "mine"
    assert asked.of(look) == [], "it is not time for the next look"
    monkeypatch.setattr("mssbench.looks.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("mssbench.looks.TIMES_AS_LONG", 0.0)
    assert set(asked.of(look)) == {"files", "names"}, "nothing changed, so its cells are not listed again"
    put(bucket, "runs/mine/results.csv", b"new")
    assert asked.of(look).count("find") == 2
    with run.store.exclusive():
        assert asked.of(look).count("find") >= 20, "somebody is at work on it"


def test_while_the_url_is_away_not_everybody_waits_for_it(bucket, music, tmp_path, monkeypatch) -> None:
    mirror = begin(tmp_path / "a").store.mirror
    asked = Requests(mirror, monkeypatch)
    monkeypatch.setattr(type(bucket), "find", lambda *_, **__: 1 / 0)

    def look() -> None:
        with pytest.raises(StorageUnavailable, match="does not answer: ZeroDivisionError"):
            mirror.refresh("mine", at_once=False)

    mirror._looks.clear()
    monkeypatch.setattr("mssbench.remote.LOOK_SECONDS", 600.0)
    assert asked.of(look) == ["find"]
    assert asked.of(look) == []
    monkeypatch.undo()
    mirror.refresh("mine")


def test_what_the_service_follows_is_known_everywhere(bucket, music, tmp_path) -> None:
    run = begin(tmp_path / "a")
    run.store.launch()
    late = host(tmp_path / "b")
    workspace = Workspace(late.root, late)
    late.refresh_names()
    assert workspace.launched_ids() == ["mine"]
    run.store.leave()
    late.refresh("mine")
    assert workspace.launched_ids() == []


def test_of_two_that_follow_a_run_at_once_the_earlier_one_leaves_it(
    bucket, music, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("MSSBENCH_HEARTBEAT_SECONDS", "0.05")
    one, other = begin(tmp_path / "a").store, join(tmp_path / "b").store
    monkeypatch.setattr(one.mirror._following, "_refuse_if_followed", lambda _: None)  # it saw nobody yet
    with other.exclusive():
        with one.exclusive():
            for _ in range(200):
                if not other.mirror.claimed("mine"):
                    break
                time.sleep(0.05)
            assert (other.mirror.claimed("mine"), one.mirror.claimed("mine")) == (False, True)
            assert (
                bucket.cat_file("/lab/bench/runs/mine/followed")
                .decode()
                .startswith(one.mirror._following._name)
            )
            other.refresh()
            assert other.taken_up >= one.taken_up - 1
        assert not bucket.exists("/lab/bench/runs/mine/followed")


def test_what_came_out_of_a_run_is_handed_out_as_it_is_at_the_url(bucket, music, tmp_path) -> None:
    begin(tmp_path / "a")
    other = join(tmp_path / "b").store
    page = other.report
    assert other.mirror.stamp(page) == 0
    assert not other.mirror.current(page).exists()
    for content in (b"first", b"again"):
        put(bucket, "runs/mine/report/index.html", content)
        other.refresh()
        assert other.mirror.current(page).read_bytes() == content
    assert not page.exists(), "what is in the run directory may be about to be sent"
    put(bucket, "runs/mine/report/index.html", b"third")
    other.mirror.current(page).unlink()
    assert other.mirror.current(page).read_bytes() == b"third", "it changed since the look, which is repeated"
    bucket.rm_file("/lab/bench/runs/mine/report/index.html")
    other.refresh()
    assert not other.mirror.current(page).exists()


def test_gc_leaves_alone_what_may_be_in_use_or_somebody_elses(bucket, music, tmp_path) -> None:
    run = begin(tmp_path / "a")
    title = run.record.tracks[0].title
    perform_patiently(run, Task("render", title))
    needed = run.record.tracks[0].folders["binaural"]
    old = [
        "runs/dead/estimates/binaural/x/y/bass.wav",
        "runs/dead/followed",
        "runs/mine/cells/.tmp-1/result.json",
    ]
    old += ["runs/.tmp-2", "runs/notes/thesis.txt", "music/.tmp-3", "runs/young/report/index.html"]
    for name in old:
        put(bucket, name, b"12345")
        found = bucket.store[f"/lab/bench/{name}"]
        found.created = found.created.replace(year=2000)
    put(bucket, "runs/young/results.csv", b"x")
    put(bucket, "data/rendered/k/.tmp-4/bass.wav", b"x")
    for stray in ("data/rendered/k/T/metadata.json", "data/rendered/k/T/bass.wav"):
        put(bucket, stray, b"{}")
    found = find_litter(Workspace(run.store.mirror.root, run.store.mirror), run.runtime)
    assert {litter.reference: (litter.size, litter.reason) for litter in found} == {
        "data/rendered/k/T": (4, "a rendering that no run refers to"),
        "runs/mine/cells/.tmp-1": (5, "left by a process that was killed"),
        "runs/.tmp-2": (5, "left by a process that was killed"),
        "runs/dead": (10, "what is left of a deleted run"),
    }
    before = {name.removeprefix("/lab/bench/") for name in bucket.find("/lab/bench")}
    for litter in found:
        litter.remove()
    after = {name.removeprefix("/lab/bench/") for name in bucket.find("/lab/bench")}
    assert before - after == {
        *(
            "data/rendered/k/T/metadata.json",
            "data/rendered/k/T/bass.wav",
            "runs/mine/cells/.tmp-1/result.json",
        ),
        *("runs/.tmp-2", "runs/dead/estimates/binaural/x/y/bass.wav", "runs/dead/followed"),
    }
    assert any(name.startswith(f"{needed}/") for name in after)
    put(bucket, "runs/mine/run.json", b"{")
    with pytest.raises(Conflict, match="mend or remove memory://lab/bench/runs/mine first"):
        find_litter(Workspace(run.store.mirror.root, run.store.mirror), run.runtime)


def test_gc_tidies_the_cache_of_what_is_gone_at_the_url(bucket, music, tmp_path) -> None:
    one, other = begin(tmp_path / "a"), join(tmp_path / "b")
    perform_patiently(one, Task("render", one.record.tracks[0].title))
    (rendering,) = (tmp_path / "a/data/rendered").glob("*/*")
    delete(other, None)
    found = find_litter(Workspace(one.store.mirror.root, one.store.mirror), one.runtime)
    assert {litter.reference: litter.reason.partition(",")[2] for litter in found} == {
        f"data/rendered/{rendering.parent.name}/{rendering.name}": " in this machine's cache",
        "runs/mine": " in this machine's cache",
    }
    for litter in found:
        litter.remove()
    assert not rendering.parent.exists()
    assert not one.store.folder.exists()
    assert not bucket.find("/lab/bench/data/rendered")


def test_files_at_a_file_url_appear_by_renaming(tmp_path) -> None:
    (tmp_path / "share").mkdir()
    mirror = RemoteMirror(f"file://{tmp_path}/share", tmp_path / "a")
    mirror.check(write=True)
    make(mirror, b"sound")
    other = RemoteMirror(f"file://{tmp_path}/share", tmp_path / "b")
    other.fetch("data/rendered/k/T")
    assert contents(tmp_path / "b/data") == contents(tmp_path / "a/data")
    assert not list((tmp_path / "share").rglob(".tmp-*"))
