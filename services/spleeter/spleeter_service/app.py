"""The Spleeter service; ``uvicorn spleeter_service.app:app``."""

from __future__ import annotations

from mssbench_service.separator_app import create_separator_app

from . import SEPARATORS, __version__

app = create_separator_app("spleeter", __version__, SEPARATORS)
