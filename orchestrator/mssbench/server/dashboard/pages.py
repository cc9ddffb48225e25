"""Templates, assets and formats of the dashboard."""

from __future__ import annotations

import datetime
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
from ...text import number, plural

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

# The dashboard uses the report's style sheet for palette, type and tables.
_ASSETS = {
    "report.css": ("report/assets/report.css", "text/css"),
    "dashboard.css": ("server/dashboard/assets/dashboard.css", "text/css"),
    "dashboard.js": ("server/dashboard/assets/dashboard.js", "text/javascript"),
    "icon.svg": ("server/dashboard/assets/icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True)
class Asset:
    """A file that pages load. Its URL holds its version, so that browsers can cache it permanently."""

    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:12]

    def response(self) -> Response:
        headers = {"Cache-Control": "max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(self.content, headers=headers, media_type=self.media_type)


class Pages:
    """Renders pages and serves the files that they load."""

    def __init__(self) -> None:
        package = resources.files("mssbench")
        self._assets = {
            name: Asset((package / path).read_bytes(), kind) for name, (path, kind) in _ASSETS.items()
        }
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("mssbench.server.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"asset": self._asset_url}
        self._templates.filters |= {"time": utc_time, "plural": plural, "number": number, "card": card_of}

    def _asset_url(self, name: str) -> str:
        return f"/ui/assets/{name}?v={self._assets[name].version}"

    def asset(self, name: str) -> Response:
        if name not in self._assets:
            raise NotFound(f"the dashboard has no file {name!r}")
        return self._assets[name].response()

    def render(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(context), status, _HEADERS)


def utc_time(created: str) -> str:
    """Format :attr:`RunRecord.created` as ``2026-05-01 14:38 UTC``."""
    try:
        moment = datetime.datetime.fromisoformat(created).astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # not a time, or outside the range of UTC
        return created
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def card_of(separator: SeparatorInfo) -> str:
    """The model card in one line; empty if there is none, or if the separator has no parameters."""
    return "" if separator.card.parameters == 0 else card_line(separator.card, separator.stems)
