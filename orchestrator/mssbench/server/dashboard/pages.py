"""Templates, assets and formats of the dashboard."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from fastapi.responses import HTMLResponse, Response
from mssbench_service.errors import NotFound
from mssbench_service.wire import SeparatorInfo

from ...services.cards import card_line
from ...text import number, templates

# No external and no inline content: markup in a title has no effect even if it were not escaped.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Asset:
    """A file that pages load. Its URL holds its version, so that browsers can cache it permanently."""

    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:12]


def _read(path: str, media_type: str) -> Asset:
    return Asset((resources.files("mssbench") / path).read_bytes(), media_type)


_ASSETS = {
    "report.css": _read(
        "report/assets/report.css", "text/css"
    ),  # its palette, type and tables are used here too
    "dashboard.css": _read("server/dashboard/assets/dashboard.css", "text/css"),
    "dashboard.js": _read("server/dashboard/assets/dashboard.js", "text/javascript"),
    "icon.svg": _read("server/dashboard/assets/icon.svg", "image/svg+xml"),
}


def asset(name: str) -> Response:
    """The response with a file that pages load. Raises NotFound."""
    if name not in _ASSETS:
        raise NotFound(f"the dashboard has no file {name!r}")
    headers = {"Cache-Control": "max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(_ASSETS[name].content, headers=headers, media_type=_ASSETS[name].media_type)


@functools.cache
def _templates() -> jinja2.Environment:
    found = templates("mssbench.server.dashboard")
    found.globals |= {"asset": lambda name: f"/ui/assets/{name}?v={_ASSETS[name].version}"}
    found.filters |= {"number": number, "card": card_of}
    return found


def render(template: str, context: Mapping[str, Any], status: int = 200) -> Response:
    """The response with a page."""
    return HTMLResponse(_templates().get_template(template).render(context), status, _HEADERS)


def card_of(separator: SeparatorInfo) -> str:
    """The model card in one line; empty if there is none, or if the separator has no parameters."""
    return "" if separator.card.parameters == 0 else card_line(separator.card, separator.stems)
