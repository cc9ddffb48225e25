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
  syntaxHighlight: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""
# A contrast of at least 4.5:1, and no text that can be scrolled with the mouse only.
_STYLE = """\
.swagger-ui .info .title small { background: #5b6270; }
.swagger-ui .info .title small.version-stamp { background: #3f6b00; }
.swagger-ui .info .url { color: #1f5fae; }
.swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1b5fa8; }
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1c7549; }
.swagger-ui .opblock.opblock-delete .opblock-summary-method { background: #b3261e; }
.swagger-ui .json-schema-2020-12-expand-deep-button { color: #505050; }
.swagger-ui .parameter__in { color: #505050; }
.swagger-ui .btn.authorize { color: #1c7549; }
.swagger-ui pre.microlight { max-height: none !important; overflow: visible !important; white-space: pre-wrap; }
"""
_OWN_FILES = {"start.js": (_SCRIPT, "text/javascript"), "docs.css": (_STYLE, "text/css")}
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
<link rel="stylesheet" href="docs/docs.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<main id="api"><p>The API is described in <a href="openapi.json">openapi.json</a>.</p></main>
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
        if name in _OWN_FILES:
            content, media_type = _OWN_FILES[name]
            return Response(content, media_type=media_type, headers=_HEADERS)
        if name not in _FILES:
            raise NotFound(f"the page /docs has no file {name!r:.200}")
        return FileResponse(folder / name, media_type=_FILES[name], headers=_HEADERS)
