"""Write run directories of any size without separating anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from binaural_metrics.registry import columns
from mssbench.runs.config import RunConfig
from mssbench.runs.records import Cell, RunRecord, SeparatorRecord, TrackRecord
from mssbench.runs.store import RunStore, Workspace
from mssbench_service.musdb import STEMS

RATE = 44100
SCORES = {"status": "ok", "reason": "", **dict.fromkeys(columns()[3:], 1.234567890123)}
"""Scores of a target, as many as those of a real run."""
REASON = "the separator returned stems of 88,199 samples; expected 88,200"


def write_run(
    root: Path, run_id: str, tracks: int, separators: int, *, ended: float = 1.0, fail_every: int = 0
) -> RunStore:
    """Write a run of ``tracks × separators × 2`` cells into the data root `root`.

    Parameters
    ----------
    ended : float
        Fraction of the cells that have ended.
    fail_every : int
        Every n-th cell failed; 0: none.
    """
    titles = [f"The Procedurals - Study No. {number}" for number in range(1, tracks + 1)]
    record = RunRecord(
        id=run_id,
        created="2026-05-01T14:38:00+00:00",
        command=f"mssbench run --dataset data/music --run-id {run_id}",
        config=RunConfig("data/music"),
        tracks=[
            TrackRecord(
                title,
                180 * RATE,
                RATE,
                f"data/music/test/{title}",
                {
                    "stereo": f"data/music/test/{title}",
                    "binaural": f"data/rendered/{run_id}/{title}",
                },
            )
            for title in titles
        ],
        separators=[
            SeparatorRecord(f"separator-{number}", "", service="sleeper")
            for number in range(1, separators + 1)
        ],
        hrir=None,
        versions={},
        machine={},
    )
    store = Workspace(root).run(run_id)
    store.folder.mkdir(parents=True)
    cells = record.cells()
    for place, cell in enumerate(cells[: round(ended * len(cells))]):
        _end(store, cell, failed=bool(fail_every) and place % fail_every == fail_every - 1)
    for title in titles[: round(ended * len(titles))]:
        _touch(Workspace(root).rendered(run_id, title) / "metadata.json")
    store.save(record)
    return store


def _end(store: RunStore, cell: Cell, failed: bool) -> None:
    _touch(store.layout.estimates(cell) / "separation.json")
    error = {"step": "separate", "code": "bad-output", "detail": REASON}
    outcome = asdict(cell) | (error if failed else {"rows": [SCORES | {"source": stem} for stem in STEMS]})
    path = store.layout.cell(cell) / ("error.json" if failed else "result.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(outcome), encoding="utf-8")


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
