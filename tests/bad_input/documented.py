"""The tables in ``docs/bad-input.md``: what every door makes of every input.

They are read back by the tests, so that they say what was observed and cannot go stale. ``make bad-input`` writes
them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
WRITES = bool(os.environ.get("WRITE_BAD_INPUT"))
SAID = "What is said"


@dataclass
class Table:
    """Rows are inputs, columns are doors; the last column is what the first door says that refuses."""

    title: str
    corner: str
    doors: list[str]
    rows: dict[str, list[str]] = field(default_factory=dict)

    def cell(self, name: str, door: str) -> str:
        return self.rows[name][self.doors.index(door)]


def read() -> dict[str, Table]:
    """The tables of the page by their titles."""
    tables: dict[str, Table] = {}
    title = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title = line[3:]
        elif line.startswith("|") and not line.startswith("|-"):
            cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if title not in tables:
                tables[title] = Table(title, cells[0], cells[1:])
            else:
                tables[title].rows[cells[0]] = cells[1:]
    return tables


def write(tables: dict[str, Table], introductions: dict[str, str]) -> None:
    """Put the tables between what is written by hand (everything before the first ``##``)."""
    by_hand = PAGE.read_text(encoding="utf-8").partition("\n## ")[0].rstrip() + "\n"
    parts = [by_hand]
    for title, table in tables.items():
        lines = [f"\n## {title}\n", introductions[title] + "\n", _line([table.corner, *table.doors])]
        lines.append("|" + "---|" * (1 + len(table.doors)))
        lines += [_line([name, *cells]) for name, cells in table.rows.items()]
        parts.append("\n".join(lines) + "\n")
    PAGE.write_text("".join(parts), encoding="utf-8")


def shown(said: str) -> str:
    """A message as the tables have it: without names of its own, control characters and great length."""
    said = re.sub(r"\.tmp-[0-9a-f]{16}", ".tmp-…", said)
    said = re.sub(r"cell-[0-9a-f]{8}", "…", said)
    said = re.sub(r"(.)\1{30,}", r"\1\1…", said)
    said = "".join(character if character.isprintable() else "�" for character in said)
    return said.strip() if len(said) <= 160 else said[:160].strip() + "…"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _plain(cell: str) -> str:
    return cell.strip().replace(r"\|", "|")
