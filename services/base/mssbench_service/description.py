"""The page ``/docs``: Swagger UI over the service's own description, ``/openapi.json``.

The framework's page loads its scripts from elsewhere, which a laboratory's machine may not reach, and which would
run in the page that holds a token. Here they are files of the package ``fastapi-offline``, and the page's policy
lets the browser ask nobody but this service.
"""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from .errors import NotFound

_FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""
# Nothing from elsewhere, nothing inline; the icons are in the style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="api"><p>The API is described in <a href="openapi.json">openapi.json</a>.</p></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Give `app` the page and its files. All are named relative to the page, so that it works behind a proxy."""
    folder = Path(str(resources.files("fastapi_offline"))) / "static"
    page = _PAGE.format(title=html.escape(app.title))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page, headers=_HEADERS)

    @app.get("/docs/{name}", include_in_schema=False)
    def file(name: str) -> Response:
        if name == "start.js":
            return Response(_SCRIPT, media_type="text/javascript", headers=_HEADERS)
        if name not in _FILES:
            raise NotFound(f"there is no file {name!r:.200} of the page /docs")
        return FileResponse(folder / name, media_type=_FILES[name], headers=_HEADERS)


__all__ = ["add_docs"]
