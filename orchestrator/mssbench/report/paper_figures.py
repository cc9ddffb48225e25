"""Figures for a paper: PDF and SVG at column width, drawn by Matplotlib. The same input gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..text import shortened
from .data import ALL_STEMS, FloatArray, RunData, source_name
from .metrics import Metric
from .scores import ScoreTable

COLUMN = 3.4
"""Column width of a two-column paper, inches."""

INK, MUTED, GRID, PAPER = "#1b1f24", "#59626d", "#dde1e6", "#fffffe"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#b4579a"
"""Colours of the Okabe-Ito palette for colour-blind readers (purple is darker, for contrast on white)."""

_MARKS = ((BLUE, "o"), (ORANGE, "D"), (GREEN, "s"), (PURPLE, "^"), (INK, "X"), (MUTED, "v"))

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text: selectable and small
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


def marks(conditions: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each condition."""
    return {condition: _MARKS[i % len(_MARKS)] for i, condition in enumerate(conditions)}


def draw_medians(axes: Axes, data: RunData, table: ScoreTable, metric: Metric, source: str) -> None:
    """Draw medians with intervals per separator and condition; for one stem also a tick per track."""
    _rows(axes, data)
    seen: list[float] = []
    for i, (condition, (colour, marker)) in enumerate(marks(data.conditions).items()):
        for row, separator in enumerate(data.listed):
            y = row + (i - (len(data.conditions) - 1) / 2) * 0.4
            estimate = table.get(condition, separator.name, source, metric).estimate
            if estimate.n == 0:
                continue
            seen += [estimate.value, estimate.low, estimate.high]
            if source != ALL_STEMS:
                cube = data.track_values(metric, condition, separator.name, source)
                tracks = cube[~np.isnan(cube)]
                seen += list(tracks)
                _ticks(axes, tracks, y - 0.14, y + 0.14, colour)
            axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.7, zorder=3,
                      solid_capstyle="butt")  # fmt: skip
            axes.plot([estimate.value], [y], marker, color=colour, markersize=4.4, markeredgecolor=PAPER,
                      markeredgewidth=0.6, zorder=4)  # fmt: skip
    _limits(axes, metric, seen)


def _rows(axes: Axes, data: RunData) -> None:
    names = [shortened(one.name) for one in data.listed]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    for i in range(1, len(names)):
        axes.axhline(i - 0.5, color=GRID, linewidth=0.5, zorder=0)


def _ticks(axes: Axes, values: FloatArray, top: float, bottom: float, colour: str) -> None:
    """Draw a tick at each value. They are one path with gaps, a tenth of the size of separate paths."""
    gap = np.full(len(values), np.nan)
    x, y = np.column_stack([values, values, gap]).ravel(), np.tile([top, bottom, np.nan], len(values))
    axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.5, zorder=2)


def _limits(axes: Axes, metric: Metric, seen: Sequence[float]) -> None:
    """Set limits that show all values; the axis of an error starts at 0."""
    axes.set_xlabel(metric.title)
    found = [value for value in seen if value == value]
    if not found:
        axes.set_xlim(0, 1)
        return
    low, high = min(found), max(found)
    pad = 0.04 * (high - low) or max(0.5, 0.05 * abs(high))
    if metric.better == "lower" and low >= 0:
        # A margin left of 0, so that the marker of a median of 0 is not cut.
        low = 0.0
        pad = 0.04 * high or 0.05
    axes.set_xlim(low - pad, high + pad)


def _height(data: RunData) -> float:
    return 0.6 + len(data.compared) * (0.12 + 0.14 * len(data.conditions))


def save_for_paper(data: RunData, table: ScoreTable, folder: Path) -> list[str]:
    """Write the main figures as PDF and SVG at column width; return their names without suffix.

    ``overview`` has all headline metrics over all stems, ``by-stem`` the first of them with a tick per track.
    """
    if not data.compared or not data.headline:
        return []
    first = data.headline[0]
    figures: dict[str, list[tuple[Metric, str, str]]] = {
        "overview": [(metric, ALL_STEMS, metric.label) for metric in data.headline],
        "by-stem": [(first, stem, source_name(stem)) for stem in data.targets],
    }
    names = []
    for name, panels in figures.items():
        with style():
            rows = math.ceil(len(panels) / 2)
            figure = Figure(figsize=(COLUMN, 0.35 + rows * _height(data)), layout="constrained")
            FigureCanvasAgg(figure)
            grid = figure.subplots(rows, 2, sharey=True, squeeze=False)
            for axes, (metric, source, title) in used(grid, panels):
                draw_medians(axes, data, table, metric, source)
                axes.set_title(title, fontsize=8, loc="left")
            if name == "by-stem":
                _common_limits([axes for axes, _ in used(grid, panels)])
            else:
                figure.suptitle(f"Medians, {data.scope}", x=0.01, ha="left", fontsize=7.5)
            _legend(figure, data)
            names.append(save(figure, folder / name))
    return names


def _common_limits(grid: Sequence[Axes]) -> None:
    spans = [axes.dataLim for axes in grid if np.isfinite(axes.dataLim.x0)]
    if spans:
        low, high = min(s.x0 for s in spans), max(s.x1 for s in spans)
        pad = 0.05 * (high - low) or 0.5
        for axes in grid:
            axes.set_xlim(low - pad, high + pad)


def _legend(figure: Figure, data: RunData) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.4, label=condition)
        for condition, (colour, marker) in marks(data.conditions).items()
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=7.5)


def save(figure: Figure, stem: Path) -> str:
    """Write ``<stem>.svg`` and ``<stem>.pdf``; return the name without suffix."""
    with style():
        # Lay out once: the layout engine would draw the figure again for each file.
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
        figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Creator": "mssbench"})
    return stem.name


def used(grid: Any, shown: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the first axes with what each shows; the others are hidden."""
    for axes in grid.ravel()[len(shown) :]:
        axes.set_axis_off()
    yield from zip(grid.ravel(), shown, strict=False)
