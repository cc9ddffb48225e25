"""Matplotlib figures for the page (SVG with CSS variables) and for a paper (PDF and SVG at column width).

A figure is drawn in light colours. For the page, each colour is replaced by a CSS variable, so that the SVG follows
the light or dark theme. The same input gives the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN = 3.4
"""Column width of a two-column paper, inches."""

PANEL = 2.9
"""Width of a panel on the page, inches: four fit on a desktop screen, one on a phone."""

INK, MUTED, GRID, PAPER = "#1b1f24", "#59626d", "#dde1e6", "#fffffe"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#b4579a"
"""Colours of the Okabe-Ito palette for colour-blind readers (purple is darker, for contrast on white)."""

_VARIABLES = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text: selectable, in the browser's font, small
    "svg.hashsalt": "mssbench",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "text.parse_math": False,  # a dollar sign in a name is not math
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 8,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "path.simplify": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Context with the style of the report, independent of the caller's Matplotlib settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) with constrained layout."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@functools.lru_cache(maxsize=8)
def width_of_labels(labels: tuple[str, ...]) -> float:
    """Return the width of the longest label of the y axis, inches."""
    with style():
        figure = new_figure(PANEL, 1.0)
        drawn = [figure.text(0, 0, label, fontsize=_STYLE["ytick.labelsize"]) for label in labels]
        return max((text.get_window_extent().width for text in drawn), default=0.0) / figure.dpi


def _lay_out(figure: Figure) -> None:
    """Apply the layout once and remove the layout engine, because it would draw the figure twice on saving."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def _svg(figure: Figure) -> str:
    _lay_out(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue().decode("utf-8")


def inline(figure: Figure, description: str) -> Markup:
    """Return the figure as an SVG element for the page, with `description` as its accessible name."""
    with style():
        text = _svg(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # Matplotlib's style applies to all elements ("*") of the page; report.css has it for figures only.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)  # two decimals of a point are enough
    # Different figures use the same ids: add a prefix.
    prefix = hashlib.sha256((description + text).encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    head = re.match(r"<svg[^>]*>", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert head
    assert box
    opening = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box.group()} role="img" '
        f'aria-label="{escape(description)}" class="figure">'
    )
    return Markup(opening + text[head.end() :])


def save(figure: Figure, stem: Path) -> None:
    """Write ``<stem>.svg`` and ``<stem>.pdf`` for a paper."""
    with style():
        stem.with_suffix(".svg").write_text(_svg(figure), encoding="utf-8")
        figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Creator": "mssbench"})


def used(grid: Any, shown: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the first axes with what each shows; the others are hidden."""
    for axes in grid.ravel()[len(shown) :]:
        axes.set_axis_off()
    yield from zip(grid.ravel(), shown, strict=False)
