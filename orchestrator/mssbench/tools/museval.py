"""Scores in the JSON files of museval, one for each track: ``<folder>/<split>/<title>.json``.

They hold SDR, SIR, ISR and SAR of each window of one second, as ``museval.EvalStore`` reads and writes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from binaural_metrics.layouts import Estimates, composed
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_file
from mssbench_service.stems import canonical

from .batch import FolderEstimates, Row, of_another_tool, reference_stems

METRICS = ("SDR", "SIR", "ISR", "SAR")

Windows = dict[str, list[float]]
"""Values of each window by metric; NaN where there is none."""

_VERSION = "0.4.1"  # of the format


def write_scores(path: Path, frames: Path) -> None:
    """Write one track's scores, from its table of frames (``frames.parquet``).

    Raises
    ------
    BadInput
        The table has no values of BSS Eval.
    """
    scores = _windows(frames)
    if not scores:
        raise BadInput(f"{frames} has no values of BSS Eval; score with --bsseval and the corrected metrics")
    targets = [
        {
            "name": target,
            "frames": [
                {
                    "time": float(second),
                    "duration": 1.0,
                    "metrics": {name: round(windows[name][second], 5) for name in METRICS},
                }
                for second in range(len(windows["SDR"]))
            ],
        }
        for target, windows in scores.items()
    ]
    with atomic_file(path) as temporary:
        # With NaN for a silent window, as museval has it.
        temporary.write_text(
            json.dumps({"targets": targets, "museval_version": _VERSION}, indent=2), encoding="utf-8"
        )


def _windows(frames: Path) -> dict[str, Windows]:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise BadInput("scores of windows are read with pyarrow: pip install pyarrow") from None
    table = pq.read_table(frames, columns=["source", "metric", "start_s", "value", "total_frames"])
    found: dict[str, Windows] = {}
    for row in table.to_pylist():
        if row["metric"] in METRICS:
            empty = {name: [math.nan] * row["total_frames"] for name in METRICS}
            found.setdefault(row["source"], empty)[row["metric"]][round(row["start_s"])] = row["value"]
    return found


def find_scores(folder: Path, titles: Sequence[str]) -> dict[str, dict[str, Windows]]:
    """Read the scores of `titles` in a folder: by title, then by target. A title without a file is left out.

    Raises
    ------
    BadInput
        There is no file of any title, two files of one, or a file is not one of museval.
    """
    names = {composed(title): title for title in titles}
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json")):
        title = names.get(composed(path.stem))
        if title is None:
            continue
        if title in found:
            raise BadInput(f"{found[title]} and {path} are of the same title; expected one file")
        found[title] = path
    if not found:
        raise BadInput(f"{folder} holds no scores of {titles[0]!r}; expected <split>/<title>.json by museval")
    return {title: read_scores(path) for title, path in found.items()}


def read_scores(path: Path) -> dict[str, Windows]:
    """Read the scores of a track by target. The accompaniment may have another of its names.

    Raises
    ------
    BadInput
        The file is not one of museval.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scores: dict[str, Windows] = {}
        for target in content["targets"]:
            name = canonical(target["name"])
            if name in scores:
                raise BadInput(f"{path} has two targets called {name!r}")
            scores[name] = {
                metric: [_number(frame["metrics"][metric]) for frame in target["frames"]]
                for metric in METRICS
            }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path} holds no scores of museval: {type(error).__name__}: {error}") from None
    return scores


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is not a number")
    return float(value) if math.isfinite(value) else math.nan


def find_folder_scores(
    references: Path, folder: Path, targets: Sequence[str] = (), name: str = "the scores"
) -> tuple[FolderEstimates, dict[str, dict[str, Windows]]]:
    """Read the scores of the titles of `references`, which museval wrote to `folder`.

    Raises
    ------
    BadInput
        As :func:`find_scores`, there is no reference, or a target cannot be scored.
    """
    sets = reference_stems(references, folder)
    scores = find_scores(folder, list(sets))
    found = {title: Estimates(folder) for title in sets}
    offered = set().union(*scores.values())
    return of_another_tool(references, sets, offered, found, targets, name), scores


def rows_of(
    estimates: FolderEstimates, scores: Mapping[str, Mapping[str, Windows]], aggregate: str
) -> dict[str, list[Row]]:
    """The rows of each title in a table of scores, aggregated over the windows that have a value."""
    return {
        title: [
            _row(title, target, scores.get(title, {}).get(target), aggregate)
            for target in estimates.offered(title)
        ]
        for title in estimates.sets
        if estimates.offered(title)
    }


def _row(title: str, target: str, windows: Windows | None, aggregate: str) -> Row:
    row: Row = {"title": title, "source": target, "status": "ok", "reason": ""}
    if windows is None:
        return row | {"status": "failed", "reason": f"museval has no scores of {target}"}
    combine = np.median if aggregate == "median" else np.mean
    for metric, values in windows.items():
        finite = [value for value in values if not math.isnan(value)]
        row[metric] = float(combine(finite)) if finite else None
    row["bsseval_frames"] = sum(not math.isnan(value) for value in windows["SDR"])
    if missing := [metric for metric in METRICS if row[metric] is None]:
        row |= {"status": "undefined", "reason": f"{', '.join(missing)}: no window has a value"}
    return row
