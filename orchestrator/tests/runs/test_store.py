"""Run directories: records, outcomes and tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell, RunRecord, SeparatorRecord, TrackRecord
from mssbench.runs.results import result_columns, result_rows, write_csv
from mssbench.runs.store import RunStore, Workspace
from mssbench_service.stems import STEMS
from mssbench_service.wire import Expectation

CELL = Cell("stereo", "good", "Señor & Co's [Live]")


@pytest.fixture
def record() -> RunRecord:
    return RunRecord(
        id="mine",
        created="2026-01-01T00:00:00+00:00",
        command="mssbench run",
        config=RunConfig(dataset="music", conditions=["stereo"]),
        tracks=[TrackRecord(CELL.title, 88200, 44100, "music/test/x", {"stereo": "music/test/x"})],
        separators=[
            SeparatorRecord("good", "", expected=[Expectation("SSR", 80.0, None)], service="s"),
            SeparatorRecord("gone", "", service="g", status="unavailable", reason="no weights"),
        ],
        hrir=None,
        versions={},
        machine={},
    )


@pytest.fixture
def store(tmp_path: Path, record: RunRecord) -> RunStore:
    store = Workspace(tmp_path).run("mine")
    store.save(record)
    return store


def test_a_record_comes_back_as_it_was_saved(store: RunStore, record: RunRecord) -> None:
    assert store.load() == record


def test_an_unavailable_separator_has_no_cells(record: RunRecord) -> None:
    assert record.cells() == [CELL]


def test_a_result_replaces_an_error_and_is_not_replaced_by_one(store: RunStore) -> None:
    store.save_error(CELL, "separate", "busy", "was busy")
    assert (store.ended(CELL), store.failed(CELL), store.succeeded(CELL)) == (True, True, False)
    store.save_result(CELL, {"rows": []})
    assert (store.failed(CELL), store.succeeded(CELL)) == (False, True)
    store.save_error(CELL, "evaluate", "late", "a second worker failed later")
    assert (store.failed(CELL), store.succeeded(CELL)) == (False, True)


def test_a_result_with_nan_is_never_written(store: RunStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.save_result(CELL, {"rows": [{"SSR": float("nan")}]})
    assert not store.ended(CELL)
    assert not list(store.folder.rglob(".tmp-*"))


def test_every_cell_has_four_rows(store: RunStore, record: RunRecord) -> None:
    pending = result_rows(store, record)
    assert [row["status"] for row in pending] == ["pending"] * 4
    root = store.folder.parent.parent
    store.save_error(
        CELL, "render", "bad-input", f"{root}/data/drums.wav is missing", trace=f"in {root}/data"
    )
    assert str(root) not in store.layout.error(CELL).read_text(), "tables and reports are published"
    failed = result_rows(store, record)
    assert [row["status"] for row in failed] == ["failed"] * 4
    assert {row["reason"] for row in failed} == {"render: data/drums.wav is missing"}
    assert [row["source"] for row in failed] == ["vocals", "drums", "bass", "other"]


def test_paths_in_messages_of_earlier_versions_are_shown_relative_to_the_data_root(
    store: RunStore, record: RunRecord
) -> None:
    root = store.folder.parent.parent
    store.save_error(CELL, "render", "bad-input", "…", trace="…")
    error = store.layout.error(CELL)
    error.write_text(error.read_text(encoding="utf-8").replace("…", f"{root}/data/drums.wav is missing"))
    assert {row["reason"] for row in result_rows(store, record)} == {"render: data/drums.wav is missing"}
    assert (store.outcome(CELL) or {})["log"] == "data/drums.wav is missing"
    store.save_result(
        CELL,
        {"rows": [{"source": stem, "status": "failed", "reason": f"{root}/x is silent"} for stem in STEMS]},
    )
    assert {row["reason"] for row in result_rows(store, record)} == {"x is silent"}


def test_undefined_values_are_empty_fields_and_matrices_json(tmp_path: Path) -> None:
    row = {"title": "a, b", "SSR": None, "paper_scale": [[1.0, 0.5], [0.0, 1.0]], "extra": 1}
    write_csv(tmp_path / "x.csv", [row], result_columns())
    header, line = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()
    assert header.split(",")[:4] == ["condition", "separator", "title", "source"]
    assert '"a, b"' in line
    assert json.loads(line.split('"')[3]) == [[1.0, 0.5], [0.0, 1.0]]
    assert "None" not in line


def test_runs_are_listed_newest_first_without_other_files(tmp_path: Path, record: RunRecord) -> None:
    workspace = Workspace(tmp_path)
    for number, name in enumerate(("first", "second")):
        workspace.run(name).save(record)
        os.utime(workspace.run(name).layout.record, (number, number))
    (tmp_path / "runs/stray").mkdir()
    (tmp_path / "runs/file").write_text("")
    assert workspace.run_ids() == ["second", "first"]


def test_a_run_that_is_deleted_during_the_listing_is_left_out(
    tmp_path: Path, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace(tmp_path).run("kept").save(record)
    found = [tmp_path / "runs" / name / "run.json" for name in ("deleted", "kept")]
    monkeypatch.setattr(Path, "glob", lambda *_: iter(found))
    assert Workspace(tmp_path).run_ids() == ["kept"]
