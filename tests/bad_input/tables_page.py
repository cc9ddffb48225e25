"""The tables in ``docs/bad-input.md``: the outcome of every input at every entry point.

The tests compare them with the observed outcomes. ``make bad-input`` writes them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "bad-input.md"
UPDATE = bool(os.environ.get("WRITE_BAD_INPUT"))
MESSAGE = "Message"


@dataclass
class Table:
    """Rows are inputs, columns are entry points. The last column is the message of the first refusal."""

    title: str
    row_heading: str
    entry_points: list[str]
    rows: dict[str, list[str]] = field(default_factory=dict)

    def cell(self, name: str, entry_point: str) -> str:
        return self.rows[name][self.entry_points.index(entry_point)]


def read() -> dict[str, Table]:
    """Read the tables of the page, by title."""
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
    """Write the tables after the introduction (everything before the first ``##``), which is kept."""
    introduction = PAGE.read_text(encoding="utf-8").partition("\n## ")[0].rstrip() + "\n"
    parts = [introduction]
    for title, table in tables.items():
        lines = [
            f"\n## {title}\n",
            introductions[title] + "\n",
            _line([table.row_heading, *table.entry_points]),
        ]
        lines.append("|" + "---|" * (1 + len(table.entry_points)))
        lines += [_line([name, *cells]) for name, cells in table.rows.items()]
        parts.append("\n".join(lines) + "\n")
    PAGE.write_text("".join(parts), encoding="utf-8")


def shown(message: str) -> str:
    """A message as shown in the tables: without random names and control characters, and shortened."""
    message = re.sub(r"\.tmp-[0-9a-f]{16}", ".tmp-…", message)
    message = re.sub(r"cell-[0-9a-f]{8}", "…", message)
    message = re.sub(r"(.)\1{30,}", r"\1\1…", message)
    message = "".join(character if character.isprintable() else "�" for character in message)
    return message.strip() if len(message) <= 160 else message[:160].strip() + "…"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _plain(cell: str) -> str:
    return cell.strip().replace(r"\|", "|")
