"""``mssbench gc`` finds what killed processes left, and removes nothing that others made or that a run needs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mssbench.execution.embedded import _temporary_folder
from mssbench.execution.gc import Removable, find_removable, temporary_folders
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.services.runtime import make_runtime

CONFIG = RunConfig(dataset="music", separators=["oracle-identity"], tracks=1, conditions=["binaural"])


@pytest.fixture
def found(workspace: Path) -> Callable[[], list[Removable]]:
    return lambda: find_removable(make_runtime(workspace))


def _rendering(workspace: Path, reference: str) -> Path:
    folder = workspace / reference
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text("{}")
    return folder


def test_a_rendering_that_a_run_needs_meanwhile_is_kept(
    workspace: Path, found: Callable[[], list[Removable]]
) -> None:
    record = prepare(CONFIG, make_runtime(workspace), run_id="first").record
    rendering = _rendering(workspace, record.tracks[0].folders["binaural"])
    shutil.rmtree(workspace / "runs/first")
    (item,) = found()
    prepare(CONFIG, make_runtime(workspace), run_id="second")
    item.remove()
    assert rendering.is_dir()
    shutil.rmtree(workspace / "runs/second")
    (item,) = found()
    item.remove()
    assert not rendering.parent.exists()


def test_folders_that_were_linked_or_put_there_are_kept(
    workspace: Path, found: Callable[[], list[Removable]]
) -> None:
    _rendering(workspace, "other/key/Song")
    rendered = workspace / "data/rendered"
    (rendered / "mine/Song").mkdir(parents=True)
    (rendered / "mine/Song/vocals.wav").write_bytes(b"")
    (rendered / "00ff").symlink_to(workspace / "music/test")
    (rendered / "00fe").symlink_to(workspace / "other/key")
    assert found() == []


def test_estimates_of_a_removed_run_are_found(workspace: Path, found: Callable[[], list[Removable]]) -> None:
    folder = workspace / "runs/gone/estimates/stereo/oracle-identity/Song"
    folder.mkdir(parents=True)
    (folder / "separation.json").write_text("{}")
    (item,) = found()
    assert item.reference == "runs/gone/estimates"
    item.remove()
    assert not (workspace / "runs/gone").exists()


def test_a_folder_that_disappears_during_the_search_is_ignored(
    workspace: Path, found: Callable[[], list[Removable]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that runs renames its temporary folders."""
    folder = workspace / "runs/mine/estimates/.tmp-x"
    folder.mkdir(parents=True)
    scandir = os.scandir

    def scan(path: str) -> object:
        if Path(path) == folder.parent and folder.exists():
            folder.rmdir()
            folder.parent.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert found() == []


def test_folders_of_killed_launchers_are_found(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(workspace / "tmp"))
    dead = workspace / "tmp/mssbench-dead"
    dead.mkdir(parents=True)
    (workspace / "tmp/mssbench-data/music").mkdir(parents=True)
    with _temporary_folder():
        (item,) = temporary_folders()
        item.remove()
    assert not dead.exists()
    assert (workspace / "tmp/mssbench-data/music").is_dir()
