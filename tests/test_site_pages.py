"""tools/site_pages.py: a page of the documentation site that loads something from another server is refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

HOOKS = Path(__file__).resolve().parents[1] / "tools/site_pages.py"
PAGE = SimpleNamespace(file=SimpleNamespace(src_uri="report.md"))


class Refused(Exception):
    """Stands for the exception of mkdocs, which is in an environment of its own."""


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("mkdocs", "mkdocs.structure"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, contents in (
        ("mkdocs.exceptions", {"PluginError": Refused}),
        ("mkdocs.structure.files", {"File": object}),
    ):
        module = ModuleType(name)
        module.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("site_pages", HOOKS)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    "html",
    [
        '<script async src="https://example.org/a.js"></script>',
        "<script src=//example.org/a.js></script>",
        '<img alt="a" src="http://example.org/a.png">',
        '<source srcset="https://example.org/a.webp 2x">',
        '<iframe src="https://example.org"></iframe>',
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<link href="https://example.org/a.css" rel="stylesheet">',
        '<link rel="preconnect" href="https://example.org">',
        '<style>@import "https://example.org/a.css";</style>',
        '<div style="background: url(https://example.org/a.png)"></div>',
        '<pre class="mermaid"><code>graph</code></pre>',  # the theme loads a script for it
    ],
)
def test_a_page_that_loads_from_another_server_is_refused(hooks: ModuleType, html: str) -> None:
    with pytest.raises(Refused, match=r"report\.md: .* is loaded from another server"):
        hooks.on_post_page(f"<html><body>{html}</body></html>", PAGE)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://example.org">a link</a>',
        '<link rel="canonical" href="https://example.org/report/">',
        '<link rel="stylesheet" href="../assets/a.css"><script src="../assets/a.js"></script>',
        '<img src="../pictures/report.png">',
        '<div style="background: url(../a.png)"></div>',
        "<code>curl https://example.org</code>",
    ],
)
def test_links_and_files_of_the_site_are_kept(hooks: ModuleType, html: str) -> None:
    assert hooks.on_post_page(html, PAGE) == html


def test_links_of_the_repository_become_those_of_the_site(hooks: ModuleType) -> None:
    readme = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    text = "[a](docs/report.md#files) [b](metrics/README.md) [c](https://example.org)"
    assert hooks.on_page_markdown(text, readme) == (
        "[a](report.md#files) [b](binaural-metrics.md) [c](https://example.org)"
    )
