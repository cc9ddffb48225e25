"""The Open-Unmix service; ``uvicorn openunmix_service.app:app``."""

from __future__ import annotations

from mssbench_service.separator_app import create_separator_app

from . import SEPARATORS, __version__

app = create_separator_app("openunmix", __version__, SEPARATORS)
