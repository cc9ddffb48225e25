"""The page ``/docs``, which describes the API."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

import pytest

from .conftest import Serve, app_of, problem_of


def test_the_page_and_all_its_files_are_served_by_the_service(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    page = server.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    kinds = {}
    for path in re.findall(r'(?:src|href)="([^"]*)"', page.body.decode()):
        answer = server.get(urllib.parse.urljoin("/docs", path))
        assert answer.status == 200, path
        kinds[path] = answer.headers["content-type"].partition(";")[0]
    assert kinds == {
        "docs/swagger-ui.css": "text/css",
        "docs/docs.css": "text/css",
        "docs/favicon.png": "image/png",
        "openapi.json": "application/json",
        "docs/swagger-ui-bundle.js": "text/javascript",
        "docs/start.js": "text/javascript",
    }
    assert b"SwaggerUIBundle" in server.get("/docs/swagger-ui-bundle.js").body


def test_the_content_security_policy_allows_only_files_of_the_service(tmp_path: Path, serve: Serve) -> None:
    answer = serve(app_of(tmp_path)).get("/docs")
    rules = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert rules.pop("img-src") == "'self' data:"
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert set(rules.values()) <= {"'self'", "'none'"}
    assert not re.search(r"<script(?! src=)|<style|\son\w+=", answer.body.decode())


def test_the_pages_of_the_framework_are_not_served(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/redoc", "/docs/oauth2-redirect"):
        problem_of(server.get(path), 404)


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2f__init__.py", "%00", "x" * 5000, "%ff"])
def test_no_other_file_is_served(tmp_path: Path, serve: Serve, name: str) -> None:
    problem_of(serve(app_of(tmp_path)).get(f"/docs/{name}"), 404)
