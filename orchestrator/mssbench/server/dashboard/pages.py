"""Templates of the dashboard, and how values are written in them."""

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

# Nothing from elsewhere, nothing inline: a title with markup in it could do nothing even if it were not escaped.
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

# The report's style sheet is the house's: palette, type and tables are said there, once.
_ASSETS = {
    "report.css": ("report/assets/report.css", "text/css"),
    "dashboard.css": ("server/dashboard/assets/dashboard.css", "text/css"),
    "dashboard.js": ("server/dashboard/assets/dashboard.js", "text/javascript"),
    "icon.svg": ("server/dashboard/assets/icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True)
class Asset:
    """A file that pages load. Its version is in its URL, so that a browser may keep it for ever."""

    content: bytes
    media_type: str

    @property
    def version(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:12]

    def response(self) -> Response:
        headers = {"Cache-Control": "max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(self.content, headers=headers, media_type=self.media_type)


class Pages:
    """Renders pages and hands out the files that they load."""

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
        self._templates.filters |= {"duration": duration, "when": when, "plural": plural, "number": number}

    def _asset_url(self, name: str) -> str:
        return f"/ui/assets/{name}?v={self._assets[name].version}"

    def asset(self, name: str) -> Response:
        if name not in self._assets:
            raise NotFound(f"the dashboard has no file {name!r}")
        return self._assets[name].response()

    def render(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(context), status, _HEADERS)


def duration(seconds: float | None) -> str:
    """``40 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    hours = minutes // 60
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def when(created: str) -> str:
    """A time of :attr:`RunRecord.created` for people: ``2026-05-01 14:38 UTC``."""
    try:
        moment = datetime.datetime.fromisoformat(created).astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # not a time, or none that UTC has
        return created
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def plural(count: int, noun: str) -> str:
    """``1 cell``, ``12,000 cells``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float, digits: int = 2) -> str:
    """So many significant digits, never in powers of ten."""
    return f"{float(f'{value:.{digits}g}'):,.10f}".rstrip("0").rstrip(".")
