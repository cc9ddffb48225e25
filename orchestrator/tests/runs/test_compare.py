"""Differences between two runs and their scores."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from mssbench.runs.compare import changes, differences
from mssbench.runs.config import RunConfig
from mssbench.runs.plan import plan
from mssbench.runs.records import RunRecord
from mssbench.services.runtime import make_runtime
from mssbench_service.wire import parse

KEY = {"condition": "stereo", "separator": "x", "title": "Song", "source": "bass"}
ROW = KEY | {"SSR": 10.0, "paper_scale": [[1.0, 0.0], [0.0, 1.0]], "status": "ok", "reason": None}


@pytest.mark.parametrize(
    ("changed", "tolerance", "columns"),
    [
        ({}, 0.0, []),
        ({"SSR": 10.001}, 0.0, ["SSR"]),
        ({"SSR": 10.001}, 1e-3, []),
        ({"SSR": 10.1}, 1e-3, ["SSR"]),
        ({"SSR": None}, 1e6, ["SSR"]),
        ({"paper_scale": [[1.0, 0.0], [0.5, 1.0]]}, 1e-3, ["paper_scale"]),
        ({"paper_scale": [[1.0, 0.0]]}, 1e6, ["paper_scale"]),
        ({"status": "failed", "reason": "separate: busy"}, 1e6, ["status", "reason"]),
        ({"reason": ""}, 0.0, []),
    ],
)
def test_a_value_differs_beyond_the_tolerance(
    changed: dict[str, object], tolerance: float, columns: list[str]
) -> None:
    found = changes([ROW], [ROW | changed], tolerance)
    assert [change.column for change in found] == columns
    assert all((change.title, change.source) == ("Song", "bass") for change in found)


def test_a_row_that_one_run_lacks_is_a_difference() -> None:
    other = ROW | {"source": "drums"}
    found = changes([ROW], [other], 1e6)
    assert [(c.source, c.column, c.before, c.after) for c in found] == [
        ("bass", "", "present", "absent"),
        ("drums", "", "absent", "present"),
    ]


def copy_of(record: RunRecord) -> RunRecord:
    return parse(RunRecord, asdict(record))


def test_differences_of_two_runs_are_named(workspace: Path) -> None:
    config = RunConfig(dataset="music", separators=["oracle-irm", "oracle-mixture"], tracks=1)
    record = plan(config, make_runtime(workspace))
    assert differences(record, copy_of(record)) == []

    other = copy_of(record)
    other.id, other.created = "another", "2020-01-01T00:00:00+00:00"
    assert differences(record, other) == []
    title = record.tracks[0].title
    other.config.seed = 7
    other.versions["oracle"] = "9.9"
    other.images["oracle"] = "sha256:1"
    other.commit = "abc"
    other.tracks[0] = replace(other.tracks[0], files="changed")
    other.separators[0].details = {"weights": "sha256:2"}
    del other.separators[1]
    assert other.hrir is not None
    other.hrir.sha256 = "0" * 64
    lines = "\n".join(differences(record, other))
    for part in (
        "setting seed: 0 -> 7",
        f"version of oracle: {record.versions['oracle']} -> 9.9",
        "image of oracle: (nothing) -> sha256:1",
        "-> abc",
        f"{title}: files: {record.tracks[0].files} -> changed",
        "oracle-irm: details: {} -> {'weights': 'sha256:2'}",
        "separator oracle-mixture: present -> (nothing)",
        f"HRIR set: sha256: {record.hrir.sha256 if record.hrir else ''} -> 0000",
    ):
        assert part in lines
