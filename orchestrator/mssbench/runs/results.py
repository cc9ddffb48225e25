"""Result table of a run: one row for each condition, separator, title and source."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

from binaural_metrics.registry import columns, metrics
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_file

from .records import Cell, RunRecord
from .store import RunStore

Row = dict[str, Any]


def score_columns() -> tuple[str, ...]:
    """Columns of a table of scores."""
    return ("title", *columns())


def result_columns() -> tuple[str, ...]:
    """Columns of the results of a run."""
    return ("condition", "separator", *score_columns())


def result_rows(store: RunStore, record: RunRecord) -> list[Row]:
    """A row for every target that a cell's separator offers: scores, or ``failed`` with the reason, or ``pending``."""
    return [
        row
        for cell in record.cells()
        for row in _rows_of(store, cell, record.offered(cell.separator, cell.title))
    ]


def _rows_of(store: RunStore, cell: Cell, offered: Sequence[str]) -> list[Row]:
    key = {"condition": cell.condition, "separator": cell.separator, "title": cell.title}
    outcome = store.outcome(cell)
    if outcome is None:
        return [key | {"source": stem, "status": "pending", "reason": "not done yet"} for stem in offered]
    if "rows" in outcome:
        if [row["source"] for row in outcome["rows"]] != list(offered):
            path = store.layout.result(cell)
            raise BadInput(f"{path} is not the outcome of a cell; remove it to repeat the cell")
        return [row | key for row in outcome["rows"]]
    reason = f"{outcome['step']}: {outcome['detail']}"
    return [key | {"source": stem, "status": "failed", "reason": reason} for stem in offered]


def column_kind(name: str) -> Literal["text", "matrix", "count", "number"]:
    """Type of the values of a column in every table."""
    found = next((metric for metric in metrics() if metric.column == name), None)
    if found is None:
        return "text"
    return "matrix" if found.matrix else "count" if name.endswith("_frames") else "number"


def guarded(text: str) -> str:
    """Return `text` with an apostrophe before it if a spreadsheet would compute it, or if it begins with one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "'")) else text


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write `rows` as CSV. An undefined value is an empty field, a matrix is JSON, and text is :func:`guarded`."""
    with (
        atomic_file(path, record=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        print_csv(file, rows, columns)


def print_csv(file: TextIO, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Like :func:`write_csv`, to an open file."""
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: csv_field(row.get(name)) for name in columns})


def csv_field(value: object) -> object:
    """Return a value as :func:`write_csv` writes it."""
    if isinstance(value, list | dict):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, str):
        return guarded(value)
    return "" if value is None else value
