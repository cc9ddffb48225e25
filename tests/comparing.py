"""Comparing two tables of results."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

KEY = ("condition", "separator", "title", "source")


def read_table(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """Read rows by key. A duplicate key is an error."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = {tuple(row[name] for name in KEY): row for row in rows}
    assert len(table) == len(rows), "duplicate row"
    return table


def assert_equal_tables(one: Path, other: Path, tolerance: float = 1e-9) -> None:
    """Check for the same rows, equal text, and numbers within `tolerance`."""
    left, right = read_table(one), read_table(other)
    assert left.keys() == right.keys()
    for key, row in left.items():
        assert row.keys() == right[key].keys()
        for column, value in row.items():
            assert _same(_value(value), _value(right[key][column]), tolerance), (key, column, value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return bool(np.allclose(one, other, rtol=0, atol=tolerance))
