"""Pages of the documentation whose commands and code are tests."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Page:
    """One page of ``docs/``."""

    def __init__(self, name: str) -> None:
        self._text = (DOCS / name).read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        """Its code blocks marked with `kind`, such as ``sh``, in order."""
        return re.findall(rf"^```{kind}\n(.*?)^```$", self._text, re.MULTILINE | re.DOTALL)
