"""Damage to what a run keeps on disk is named and made again: no score changes. Each damage is one test."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mssbench.datasets.demo import write_demo
from mssbench.execution.control import clear_damaged
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell
from mssbench.runs.results import result_rows
from mssbench.runs.run import Run, open_run
from mssbench.runs.store import Workspace
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import BadOutput
from mssbench_service.files import read_json, write_json

CONFIG = RunConfig(
    dataset="music",
    separators=["oracle-identity", "oracle-mixture"],
    tracks=1,
    bsseval=False,
    metrics="corrected",
    keep_estimates="all",
)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a complete run ``mine``."""
    root = tmp_path_factory.mktemp("complete")
    write_demo(root / "music", tracks=1, seconds=1.0)
    run = prepare(CONFIG, make_runtime(root), run_id="mine")
    run_inline(run, lambda: None)
    return root


@pytest.fixture
def run(complete: Path, tmp_path: Path) -> Run:
    root = tmp_path / "root"
    shutil.copytree(complete, root, copy_function=shutil.copy2)
    return open_run(Workspace(root).run("mine"), make_runtime(root))


def cell(run: Run, condition: str = "binaural", separator: str = "oracle-identity") -> Cell:
    return Cell(condition, separator, run.record.tracks[0].title)


def estimates(run: Run, **of: str) -> Path:
    return run.estimates(cell(run, **of))


def rendering(run: Run) -> Path:
    return run.rendering(run.record.tracks[0].title, "binaural")


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def zero_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(read_json(path) | values), encoding="utf-8")


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)


DAMAGES: dict[str, Callable[[Run], object]] = {
    "a bit of an estimate": lambda run: flip(estimates(run) / "vocals.wav"),
    "the last bit of an estimate": lambda run: flip(estimates(run) / "other.wav", 1.0),
    "a bit of the header of an estimate": lambda run: flip(estimates(run) / "drums.wav", 0.0),
    "a zeroed page of an estimate": lambda run: zero_page(estimates(run) / "bass.wav"),
    "an empty estimate": lambda run: (estimates(run) / "bass.wav").write_bytes(b""),
    "a missing estimate": lambda run: (estimates(run) / "bass.wav").unlink(),
    "two exchanged stems": lambda run: swap(estimates(run) / "bass.wav", estimates(run) / "drums.wav"),
    "a file of another separator": lambda run: shutil.copy(
        estimates(run, separator="oracle-mixture") / "bass.wav", estimates(run) / "bass.wav"
    ),
    "the folder of another separator": lambda run: swap(
        estimates(run), estimates(run, separator="oracle-mixture")
    ),
    "the folder of another condition": lambda run: swap(estimates(run), estimates(run, condition="stereo")),
    "an empty separation.json": lambda run: (estimates(run) / "separation.json").write_bytes(b""),
    "a missing separation.json": lambda run: (estimates(run) / "separation.json").unlink(),
    "a missing metadata.json": lambda run: (rendering(run) / "metadata.json").unlink(),
    "a changed separation.json": lambda run: edit(estimates(run) / "separation.json", notes=["none"]),
    "a bit of a rendered stem": lambda run: flip(rendering(run) / "vocals.wav"),
    "a zeroed page of a rendered stem": lambda run: zero_page(rendering(run) / "drums.wav"),
    "a missing rendered stem": lambda run: (rendering(run) / "drums.wav").unlink(),
    "a truncated rendered stem": lambda run: (rendering(run) / "drums.wav").write_bytes(b"RIFF"),
    "a bit of the HRIR set": lambda run: flip(rendering(run) / "hrir.npz"),
    "a missing HRIR set": lambda run: (rendering(run) / "hrir.npz").unlink(),
    "an edited mixture_gain": lambda run: edit(rendering(run) / "metadata.json", mixture_gain=0.5),
    "an edited mixture_gain with another checksum": lambda run: edit(
        rendering(run) / "metadata.json", checksum="0" * 16, mixture_gain=0.5
    ),
    "an empty metadata.json": lambda run: (rendering(run) / "metadata.json").write_bytes(b""),
    "edited angles": lambda run: edit(rendering(run) / "metadata.json", angles={}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_made_again(
    run: Run, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("mssbench"), "disabled", False)  # other libraries disable loggers
    before = result_rows(run.store, run.record)
    DAMAGES[damage](run)
    for one in run.record.cells():
        run.store.clear_outcome(one)
    with caplog.at_level(logging.WARNING, "mssbench"):
        run_inline(run, lambda: None)
    assert result_rows(run.store, run.record) == before
    assert "again" in caplog.text
    assert not list(run.store.folder.rglob("damaged.txt"))


def test_files_without_a_record_are_kept_beside_those_that_are_made(run: Run) -> None:
    for folder, record in ((estimates(run), "separation.json"), (rendering(run), "metadata.json")):
        (folder / record).rename(folder / "notes.txt")
    run.store.clear_outcome(cell(run))
    run_inline(run, lambda: None)
    assert run.store.succeeded(cell(run))
    for folder in (estimates(run), rendering(run)):
        (kept,) = folder.parent.glob("unknown-*")
        assert {"notes.txt", "vocals.wav"} <= {path.name for path in kept.iterdir()}


def test_a_damaged_rendering_is_not_separated(run: Run) -> None:
    shutil.rmtree(run.store.folder / "estimates")
    before = result_rows(run.store, run.record)
    flip(rendering(run) / "mixture.wav")
    for one in run.record.cells():
        run.store.clear_outcome(one)
    run_inline(run, lambda: None)
    assert result_rows(run.store, run.record) == before


def test_storage_that_damages_estimates_each_time_ends_the_cell(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.store.clear_outcome(cell(run))
    flip(estimates(run) / "vocals.wav")
    separate = run.runtime.separate

    def damaging(*arguments: Any) -> Any:
        found = separate(*arguments)
        flip(estimates(run) / "vocals.wav")
        return found

    monkeypatch.setattr(run.runtime, "separate", damaging)
    run_inline(run, lambda: None)
    outcome = run.store.outcome(cell(run))
    assert outcome is not None
    assert (outcome["code"], "check the storage" in outcome["detail"]) == (BadOutput.code, True)


OTHER_ROWS: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "a row less": lambda rows: rows.pop(),
    "a row twice": lambda rows: rows.append(rows[0]),
    "exchanged rows": lambda rows: rows.reverse(),
    "a row of another track": lambda rows: rows[0].update(title="another"),
    "another score": lambda rows: rows[0].update(SSR=1.0),
}


@pytest.mark.parametrize("change", ["separator", "title", "condition", *OTHER_ROWS, "no checksum"])
def test_a_result_that_is_not_of_its_cell_is_redone(run: Run, change: str) -> None:
    path = run.store.layout.result(cell(run))
    before, found = result_rows(run.store, run.record), read_json(path)
    if change in OTHER_ROWS:
        OTHER_ROWS[change](found["rows"])
    elif change == "no checksum":  # what earlier versions wrote is kept
        del found["checksum"]
    else:
        found[change] = "another"
    write_json(path, found)
    assert clear_damaged(run) == (change != "no checksum")
    run_inline(run, lambda: None)
    assert result_rows(run.store, run.record) == before


def test_records_of_earlier_versions_without_checksums_are_used(run: Run) -> None:
    calls = []
    for path in (rendering(run) / "metadata.json", *run.store.folder.rglob("separation.json")):
        found = read_json(path)
        for name in ("checksum", "checksums", "mixture_checksum", "service_version"):
            found.pop(name, None)
        write_json(path, found)
    before = result_rows(run.store, run.record)
    for one in run.record.cells():
        run.store.clear_outcome(one)
    run_inline(run, lambda: calls.append(1))
    assert result_rows(run.store, run.record) == before
    assert len(calls) == len(run.record.cells()), "nothing is made again"


def test_each_result_records_what_made_it(run: Run) -> None:
    outcome = run.store.outcome(cell(run))
    assert outcome is not None
    assert outcome["made_by"] == {
        "separator_version": run.record.versions["oracle"],
        "weights": [],
        "evaluator_version": run.record.versions["evaluator"],
        "accepted_changes": [],
    }
