"""Hooks of mkdocs: pages of the site that are outside ``docs/``, and the links to and from them.

A page that loads a script, a style, a font or a picture from another server is an error: the site is read without a
network too.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE",
    "metrics/README.md": "binaural-metrics.md",
    "orchestrator/mssbench/runs/formats.py": "formats.py",
    "orchestrator/mssbench/report/summary.schema.json": "summary.schema.json",
}
SOURCES = {page: source for source, page in OUTSIDE.items()}
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|object|embed)\b[^>]*\b(?:src|srcset|data)=["']?(?:https?:)?//[^>]*"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|icon|preconnect))[^>]*\bhref=["']?(?:https?:)?//[^>]*"""
    r"""|(?:@import|url\()[^;)]*//[^;)]*|<\w+[^>]*\bclass=["']?mermaid\b[^>]*"""
)
LINK = re.compile(r"(\]\()([^)#:\s]+)(?=[)#])")


def on_files(files: Any, config: Any) -> Any:
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make the links of the repository those of the site. A target outside both is left, and mkdocs warns of it."""
    folder = posixpath.dirname(SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        inside = target.removeprefix("docs/") if target.startswith("docs/") else match[2]
        return match[1] + OUTSIDE.get(target, inside)

    return LINK.sub(link, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse what a browser would load from elsewhere. The theme loads a script where there are Mermaid diagrams."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri}: {found[0]} is loaded from another server")
    return output
