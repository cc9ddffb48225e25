"""The page ``/docs``: Swagger UI for the service's own description, ``/openapi.json``.

The page of the framework loads its scripts from a public server, which a laboratory's machine may not reach, and whose
scripts would run in a page that contains a token. Here they are files of the package ``fastapi-offline``, and the
content security policy of the page allows requests to this service only.
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
# No other origin and no inline scripts; the icons are in the style sheet.
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
    """Add the page and its files to `app`. Its links are relative, so that it works behind a proxy."""
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
            raise NotFound(f"the page /docs has no file {name!r:.200}")
        return FileResponse(folder / name, media_type=_FILES[name], headers=_HEADERS)
