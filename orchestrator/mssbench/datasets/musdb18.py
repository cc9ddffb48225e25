"""Titles and errata of MUSDB18. Not in :mod:`.check`, which imports libraries that load slowly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_KNOWN = Path(__file__).with_name("musdb18.json")


def musdb18() -> dict[str, Any]:
    """Titles of MUSDB18 by split, and its errata."""
    known: dict[str, Any] = json.loads(_KNOWN.read_text(encoding="utf-8"))
    return known
