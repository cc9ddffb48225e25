"""What is kept of estimates: the scores do not change, removal is no damage, and the space is as estimated."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from mssbench.execution.control import clear_damaged
from mssbench.execution.inline import run_inline
from mssbench.execution.integrity import estimates_problem
from mssbench.execution.keeping import estimates_removed, keep_at_end
from mssbench.execution.prepare import clear_scores, prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.estimates import kept_file, read_stored, remove_audio, separated_files, store_as_flac
from mssbench.runs.results import result_rows
from mssbench.runs.run import Run
from mssbench.runs.space import bytes_needed
from mssbench.services.runtime import make_runtime
from mssbench_service.audio import write_wav
from mssbench_service.checksums import checksums_of
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import write_json
from mssbench_service.formats import SEPARATION_FORMAT
from mssbench_service.wire import parse
from synth_service.blocks import KeptBlocks

CONFIG = RunConfig(
    "music",
    separators=["oracle-irm"],
    tracks=1,
    excerpt="1",
    conditions=["stereo"],
    bsseval=False,
    metrics="corrected",
)


def prepared(root: Path, **settings: Any) -> Run:
    return prepare(replace(CONFIG, **settings), make_runtime(root))


def audio_files(run: Run) -> list[str]:
    return sorted({path.suffix for path in run.store.folder.glob("estimates/**/*") if path.is_file()})


def rescored(run: Run) -> int:
    """Score `run` again; return the number of cells that are separated again."""
    again = clear_scores(run, "corrected", False, "median")[1]
    run_inline(run, lambda: None)
    return again


def largest_change(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> float:
    pairs = [
        (row[name], other[name])
        for row, other in zip(before, after, strict=True)
        for name in row
        # Shares of bins, and their medians, change by whole bins.
        if isinstance(row[name], float) and not name.startswith(("in_place", "missing", "cue_error"))
    ]
    assert len(pairs) > 30
    return float(max(abs(one - other) for one, other in pairs))


def test_what_is_kept_changes_no_score_and_rescoring_flac_changes_none_that_is_seen(workspace: Path) -> None:
    run = prepared(workspace, keep_estimates="all")
    run_inline(run, lambda: None)
    keep_at_end(run)
    scores = result_rows(run.store, run.record)
    assert audio_files(run) == [".json", ".wav"]
    # The same run: it is continued with another setting, which replaces the files.
    run = prepared(workspace)
    keep_at_end(run)
    (cell,) = run.record.cells()
    assert audio_files(run) == [".flac", ".json"]
    assert result_rows(run.store, run.record) == scores
    assert rescored(run) == 0
    assert largest_change(scores, result_rows(run.store, run.record)) < 1e-4
    # A flipped bit is damage; the track is separated again, which gives the scores of the float samples.
    flac = run.store.layout.estimates(cell) / "bass.flac"
    flac.write_bytes(flac.read_bytes()[:-1] + b"\0")
    assert "bass.flac is not as it was written" in estimates_problem(run, cell)
    rescored(run)
    assert result_rows(run.store, run.record) == scores
    # A damaged result is repeated from the separation on.
    run.store.layout.result(cell).write_bytes(b"")
    assert clear_damaged(run) == 1
    run_inline(run, lambda: None)
    assert result_rows(run.store, run.record) == scores


def test_removed_estimates_are_no_damage_and_are_made_again_to_be_rescored(workspace: Path) -> None:
    run = prepared(workspace, keep_estimates="none")
    run_inline(run, lambda: None)
    scores = result_rows(run.store, run.record)
    (cell,) = run.record.cells()
    assert audio_files(run) == [".json"]
    assert estimates_removed(run, cell)
    assert not estimates_problem(run, cell)
    assert list(run.open_tasks()) == []
    with pytest.raises(NotFound, match="were removed"):
        kept_file(run.store.layout.estimates(cell), "vocals")
    assert rescored(run) == 1
    assert result_rows(run.store, run.record) == scores
    assert audio_files(run) == [".json"]


def test_the_estimates_of_the_listening_section_are_kept(workspace: Path) -> None:
    run = prepared(workspace, tracks=None, separators=["oracle-mixture"], keep_estimates="worst")
    run_inline(run, lambda: None)
    assert audio_files(run) == [".flac", ".json"]
    keep_at_end(run)
    from mssbench.report.data import load
    from mssbench.report.excerpts import choose

    heard = {choice.title for choice in choose(load(run.store.folder))}
    assert heard
    assert {cell.title for cell in run.record.cells() if not estimates_removed(run, cell)} == heard


@pytest.mark.parametrize("keep", ["all", "scored"])
def test_the_space_is_estimated_within_a_factor_of_three_and_required_before_the_run(
    workspace: Path, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["oracle-mixture", "oracle-identity", "oracle-irm"]
    settings: dict[str, Any] = {"separators": names, "conditions": ["stereo", "binaural"], "excerpt": ""}
    usage = shutil.disk_usage(workspace)
    with monkeypatch.context() as full:
        full.setattr("mssbench.runs.space.shutil.disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(BadInput, match=r"needs about 0\.0 GB .* 0\.0 GB free; make room, or .*--excerpt"):
            prepared(workspace, keep_estimates=keep, **settings)
    assert not [path for path in workspace.glob("runs/*") if path.is_dir() and any(path.glob("run.json"))]
    run = prepared(workspace, keep_estimates=keep, **settings)
    estimated = bytes_needed(run)
    run_inline(run, lambda: None)
    folders = (run.store.folder, workspace / "data/rendered")
    real = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    assert real / 2 < estimated < 3 * real  # of a small run, the cells that wait for scores are a large part
    assert bytes_needed(run) == 0


@pytest.mark.parametrize(
    "condition",
    [
        "binaural",
        {"name": "room", "room": {"size": [6.0, 4.0, 3.0], "rt60": 0.1, "position": [2.0, 2.0, 1.5]}},
    ],
    ids=["binaural", "room"],
)
def test_the_space_for_renderings_includes_the_temporary_file_of_one(
    workspace: Path, condition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []

    class Measured(KeptBlocks):
        def __exit__(self, *error: object) -> None:
            if self._file is not None:
                kept.append(os.fstat(self._file.fileno()).st_size)
            super().__exit__(*error)

    monkeypatch.setattr("synth_service.render.KeptBlocks", Measured)
    run = prepare(
        parse(RunConfig, asdict(CONFIG) | {"tracks": 2, "excerpt": "", "conditions": [condition]}),
        make_runtime(workspace),
    )
    estimated = bytes_needed(run)
    run_inline(run, lambda: None)
    rendered = sum(path.stat().st_size for path in workspace.glob("data/rendered/**/*.wav"))
    assert len(kept) == 2
    for steps in ("estimates", "cells"):  # open again, with the renderings in place
        shutil.rmtree(run.store.folder / steps)
    assert estimated - bytes_needed(run) == pytest.approx(rendered + max(kept), rel=0.25)


def written(folder: Path, estimate: np.ndarray) -> Path:
    folder.mkdir()
    write_wav(folder / "vocals.wav", estimate.T, 8000)
    record = {
        "separator": "x",
        "stems": ["vocals"],
        "sample_rate": 8000,
        "samples": len(estimate),
        "device": "cpu",
        "seconds": 1.0,
        "checksums": checksums_of(folder),
    }
    write_json(folder / "separation.json", SEPARATION_FORMAT.stamped(record))
    return folder


@pytest.mark.parametrize("peak", [0.0, 1e-30, 1e-6, 0.3, 1.0, 1.0 - 2**-24, 1.5, 2.0, 3e5])
def test_samples_of_any_level_are_stored_without_clipping(tmp_path: Path, peak: float) -> None:
    estimate = np.random.default_rng(1).uniform(-1, 1, (3000, 2))
    estimate[7] = [1.0, -1.0]
    estimate = (peak * estimate).astype(np.float32)
    folder = written(tmp_path / "x", estimate)
    store_as_flac(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["separation.json", "stored.json", "vocals.flac"]
    with separated_files(folder) as unpacked:
        found, _ = sf.read(unpacked / "vocals.wav", dtype="float32")
    assert np.max(np.abs(found.astype(float) - estimate)) <= 1.001 * 2.0**-23 * peak
    file, factor = kept_file(folder, "vocals")
    assert np.array_equal((sf.read(file)[0] * factor).astype(np.float32), found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_a_conversion_that_was_stopped_is_completed(tmp_path: Path) -> None:
    estimate = np.full((500, 2), 0.25, dtype=np.float32)
    states: list[dict[str, bytes]] = []
    for number in itertools.count():
        folder = written(tmp_path / str(number), estimate)
        kept = (folder / "vocals.wav").read_bytes()
        if number == 0:  # stopped before the record: a FLAC file that is not complete
            (folder / "vocals.flac").write_bytes(b"fLaC")
        store_as_flac(folder)
        if number == 1:  # stopped after it: the separator's file is still there
            (folder / "vocals.wav").write_bytes(kept)
            store_as_flac(folder)
        states.append({path.name: path.read_bytes() for path in folder.iterdir()})
        if number == 2:
            break
    assert states[0] == states[1] == states[2]
    remove_audio(folder)
    stored = read_stored(folder)
    assert stored is not None
    assert stored.removed
    (folder / "stored.json").write_text("{}")
    with pytest.raises(BadInput, match="exponents"):
        read_stored(folder)
