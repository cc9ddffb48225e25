"""The template's service; ``uvicorn template_service.app:app``. Change only the names."""

from __future__ import annotations

from mssbench_service.separator_app import create_separator_app

from . import SEPARATORS, __version__

app = create_separator_app("template", __version__, SEPARATORS)
