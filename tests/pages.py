"""Pages of the documentation whose commands and code are tests."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Page:
    """One page of ``docs/``."""

    def __init__(self, name: str) -> None:
        self._text = (DOCS / name).read_text(encoding="utf-8")

    def blocks(self, kind: str, under: str = "") -> list[str]:
        """Its code blocks marked with `kind`, such as ``sh``, in order; only those under one heading, if given."""
        text = self._text
        if under:
            text = re.split(r"^## ", text.split(f"\n## {under}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
