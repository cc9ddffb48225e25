"""A run that is continued keeps its separators and their weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.run import Run
from mssbench.runs.store import RunStore
from mssbench.services.runtime import Runtime, make_runtime
from mssbench_service.errors import BadInput, BenchError, NotReady


class AlteredTransport:
    """The transport of this process, with other answers of ``info``."""

    def __init__(self, inner: Any, answers: dict[str, BenchError | list[dict[str, str]]]) -> None:
        self.inner, self.answers = inner, answers

    def call(self, *arguments: Any) -> Any:
        return self.inner.call(*arguments)

    def info(self, service: Any) -> dict[str, Any]:
        answers = self.answers.get(service.name)
        if isinstance(answers, BenchError):
            raise answers
        if answers is None:
            return dict(self.inner.info(service))
        details = {"details": {"model": "m", "weights": answers}, "device": "cpu"}
        return {"version": "1", "separators": [{"name": service.name, "description": "d", **details}]}

    def close(self) -> None:
        self.inner.close()


def begin(workspace: Path, **answers: BenchError | list[dict[str, str]]) -> Run:
    runtime = make_runtime(workspace)
    runtime = Runtime(AlteredTransport(runtime.transport, answers), runtime.registry, runtime.root)
    config = RunConfig(dataset="music", separators=["oracle-irm", "demucs"], tracks=1)
    return prepare(config, runtime, run_id="mine")


def stored(run: Run) -> dict[str, Any]:
    record = RunStore(run.store.folder).load()
    return {separator.name: separator for separator in record.separators}


FIRST = [{"file": "a.th", "sha256": "a" * 64}]


def test_a_separator_that_is_unavailable_now_keeps_its_cells(workspace: Path) -> None:
    before = stored(begin(workspace, demucs=FIRST))
    for gone in ({"demucs": NotReady("a.th is missing")}, {"demucs": FIRST, "oracle": NotReady("down")}):
        after = begin(workspace, **gone)
        assert stored(after) == before
        assert {cell.separator for cell in after.record.cells()} == {"oracle-irm", "demucs"}


def test_a_separator_that_has_become_available_gets_cells(workspace: Path) -> None:
    assert stored(begin(workspace, demucs=NotReady("a.th is missing")))["demucs"].status == "unavailable"
    after = begin(workspace, demucs=FIRST)
    assert stored(after)["demucs"].details["weights"] == FIRST
    assert {cell.separator for cell in after.record.cells()} == {"oracle-irm", "demucs"}


def test_other_weights_are_refused(workspace: Path) -> None:
    before = stored(begin(workspace, demucs=FIRST))
    other = copy.deepcopy(FIRST)
    other[0]["sha256"] = "b" * 64
    with pytest.raises(BadInput, match="run mine was created with other weights of demucs"):
        begin(workspace, demucs=other)
    assert stored(begin(workspace, demucs=FIRST)) == before


def test_a_record_without_fingerprints_is_continued_and_gets_them(workspace: Path) -> None:
    run = begin(workspace)
    path = run.store.layout.record
    with_hash = path.read_text(encoding="utf-8")
    (track,) = run.record.tracks
    path.write_text(with_hash.replace(track.files, ""), encoding="utf-8")
    assert begin(workspace).record.tracks == [track]
    assert path.read_text(encoding="utf-8").count(track.files) == 1
    path.write_text(with_hash.replace(track.files, "0" * len(track.files)), encoding="utf-8")
    with pytest.raises(BadInput, match="other files"):
        begin(workspace)
