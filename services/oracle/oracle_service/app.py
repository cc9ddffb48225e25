"""The oracle service; ``uvicorn oracle_service.app:app``."""

from __future__ import annotations

from mssbench_service.separator_app import create_separator_app

from . import SEPARATORS

app = create_separator_app("oracle", SEPARATORS)

__all__ = ["SEPARATORS", "app"]
