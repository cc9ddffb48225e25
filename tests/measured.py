"""The table "Measured" of docs/security.md: how many faults and attacks the tests tried, and how many held.

Each row names its tests. ``WRITE_SECURITY=1 pytest …`` over these tests writes the numbers of the rows whose tests ran.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "security.md"
ROW = re.compile(
    r"^\| (?P<kind>[^|]+) \| (?P<tests>[^|]+) \| (?P<tried>\d+) \| (?P<held>\d+) \|$", re.MULTILINE
)
NAME = re.compile(r"`([\w./]+\.py::test_\w+)`")


def measured() -> dict[str, tuple[int, int]]:
    """The numbers tried and held of each kind, as the page has them."""
    return {
        row["kind"]: (int(row["tried"]), int(row["held"])) for row in ROW.finditer(PAGE.read_text("utf-8"))
    }


def write(reports: Iterable[Any]) -> None:
    """Write the numbers from pytest's reports. A test counts once, or as often as its property ``tried`` says."""
    counts: dict[str, list[tuple[int, bool]]] = {}
    for report in reports:
        tried = int(dict(report.user_properties).get("tried", 1))
        counts.setdefault(report.nodeid.partition("[")[0], []).append((tried, report.passed))

    def updated(row: re.Match[str]) -> str:
        names = NAME.findall(row["tests"])
        if not all(name in counts for name in names):
            return row[0]
        found = [one for name in names for one in counts[name]]
        held = sum(tried for tried, passed in found if passed)
        return f"| {row['kind']} | {row['tests']} | {sum(tried for tried, _ in found)} | {held} |"

    PAGE.write_text(ROW.sub(updated, PAGE.read_text("utf-8")), "utf-8")
