"""What is known of MUSDB18. A module of its own, because the check of datasets imports libraries that take long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_KNOWN = Path(__file__).with_name("musdb18.json")


def musdb18() -> dict[str, Any]:
    """Titles of MUSDB18 by split, and its errata."""
    known: dict[str, Any] = json.loads(_KNOWN.read_text(encoding="utf-8"))
    return known
