"""Figures of the report. Each axis has its unit, and colours are always combined with marker shapes.

The first functions draw into given axes. The functions below them combine panels for the page (where they flow
with its width) and for a paper (one file per figure, at column width).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator

from . import svg
from .data import ALL_STEMS, FloatArray, RunData, source_name
from .marks import mark_of
from .metrics import Metric
from .scores import ScoreTable
from .statistics import track_medians


@dataclass(frozen=True)
class Panel:
    """One figure on the page."""

    title: str
    image: Markup


# Drawing ----------------------------------------------------------------------------------------------------


def draw_medians(axes: Axes, data: RunData, table: ScoreTable, metric: Metric, source: str) -> None:
    """Draw medians with intervals per separator and condition; for one stem also a tick per track."""
    _rows(axes, data)
    seen: list[float] = []
    for i, condition in enumerate(data.conditions):
        for row, separator in enumerate(data.compared):
            y = row + _offset(i, len(data.conditions))
            estimate = table.get(condition, separator.name, source, metric).estimate
            if estimate.n == 0:
                continue
            seen += [estimate.value, estimate.low, estimate.high]
            if source != ALL_STEMS:
                cube = data.track_values(metric, condition, separator.name, source)
                tracks = cube[~np.isnan(cube)]
                seen += list(tracks)
                _segments(axes, tracks, tracks, y - 0.14, y + 0.14, mark_of(condition).colour, 0.7)
            axes.plot([estimate.low, estimate.high], [y, y], color=mark_of(condition).colour, linewidth=1.7,
                      zorder=3, solid_capstyle="butt")  # fmt: skip
            _dot(axes, estimate.value, y, condition)
    _limits(axes, metric, seen)


def draw_pairs(axes: Axes, data: RunData, metric: Metric) -> None:
    """Draw a line per separator and track, from its stereo value (top) to its binaural value (bottom)."""
    _rows(axes, data)
    seen: list[float] = []
    for row, separator in enumerate(data.compared):
        stereo = track_medians(data.track_values(metric, "stereo", separator.name))
        binaural = track_medians(data.track_values(metric, "binaural", separator.name))
        both = ~np.isnan(stereo) & ~np.isnan(binaural)
        if not both.any():
            continue
        seen += [*stereo[both], *binaural[both]]
        top, bottom = row - 0.27, row + 0.27
        _segments(axes, stereo[both], binaural[both], top, bottom, svg.MUTED, 0.5)
        middle = float(np.median(stereo[both])), float(np.median(binaural[both]))
        axes.plot(middle, [top, bottom], color=svg.INK, linewidth=1.3, zorder=3)
        _dot(axes, middle[0], top, "stereo")
        _dot(axes, middle[1], bottom, "binaural")
    _limits(axes, metric, seen)


def draw_scatter(axes: Axes, data: RunData, x: Metric, y: Metric, separator: str) -> None:
    """Draw a point per track and stem, and a large outlined point for the medians of each condition."""
    for condition in data.conditions:
        mark = mark_of(condition)
        across = data.track_values(x, condition, separator).ravel()
        up = data.track_values(y, condition, separator).ravel()
        both = ~np.isnan(across) & ~np.isnan(up)
        if not both.any():
            continue
        axes.plot(across[both], up[both], mark.marker, color=mark.colour, markersize=2.4, alpha=0.45,
                  markeredgewidth=0, zorder=2)  # fmt: skip
        axes.plot([np.median(across[both])], [np.median(up[both])], mark.marker, color=mark.colour,
                  markersize=6.5, markeredgecolor=svg.INK, markeredgewidth=0.9, zorder=4)  # fmt: skip
    axes.set_xlabel(x.title)
    axes.set_ylabel(y.title)


def draw_polar(
    axes: PolarAxes, metric: Metric, azimuths: FloatArray, values: FloatArray, limit: float, frontal: bool
) -> None:
    """Draw the error over the true azimuth: points, and sectors of 30° filled up to their median."""
    axes.set_theta_zero_location("N")  # front is up; counter-clockwise, so that left is left
    axes.set_ylim(0, limit)
    signed = (azimuths + 180) % 360 - 180
    mark, beyond = mark_of("binaural"), values > limit
    axes.plot(np.radians(signed[~beyond]), values[~beyond], mark.marker, color=mark.colour, markersize=2.8,
              alpha=0.6, markeredgewidth=0, zorder=3, clip_on=False)  # fmt: skip
    axes.plot(np.radians(signed[beyond]), np.full(int(beyond.sum()), limit), mark.marker, color=mark.colour,
              markersize=3.4, fillstyle="none", markeredgewidth=0.7, zorder=3, clip_on=False)  # fmt: skip
    for sector in range(-180, 180, 30):
        inside = (azimuths - sector + 15) % 360 < 30
        if inside.any():
            arc = np.radians(np.linspace(sector - 14, sector + 14, 15))
            arc = arc[np.abs(arc) <= np.pi / 2] if frontal else arc
            height = np.full(len(arc), min(limit, float(np.median(values[inside]))))
            axes.fill_between(arc, 0, height, color=svg.MUTED, alpha=0.22, linewidth=0, zorder=1)
            axes.plot(arc, height, color=svg.INK, linewidth=1.4, zorder=2)
    ticks = range(-90, 91, 30) if frontal else range(0, 360, 30)
    axes.set_xticks(np.radians(list(ticks)), [f"{d % 360}°" if d % 90 == 0 else "" for d in ticks])
    # Set after the ticks, because setting the ticks changes the limits.
    axes.set_thetamin(-90 if frontal else 0)
    axes.set_thetamax(90 if frontal else 360)
    axes.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} {metric.unit}".replace(" °", "°"))
    if not frontal:
        axes.set_rlabel_position(165)
    axes.tick_params(axis="x", pad=1)
    axes.tick_params(axis="y", labelsize=6.5, labelcolor=svg.MUTED, pad=1)
    for spine in axes.spines.values():
        spine.set_color(svg.GRID)


def _rows(axes: Axes, data: RunData) -> None:
    names = [_short(one.name) for one in data.compared]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    for i in range(1, len(names)):
        axes.axhline(i - 0.5, color=svg.GRID, linewidth=0.5, zorder=0)


def _short(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _offset(index: int, count: int) -> float:
    return (index - (count - 1) / 2) * 0.4


def _segments(
    axes: Axes, start: FloatArray, end: FloatArray, top: float, bottom: float, colour: str, width: float
) -> None:
    """Draw a line per pair as a single path with gaps, a tenth of the size of separate paths."""
    gap = np.full(len(start), np.nan)
    axes.plot(
        np.column_stack([start, end, gap]).ravel(),
        np.tile([top, bottom, np.nan], len(start)),
        color=colour,
        linewidth=width,
        alpha=0.5,
        zorder=2,
    )


def _dot(axes: Axes, x: float, y: float, condition: str) -> None:
    mark = mark_of(condition)
    axes.plot([x], [y], mark.marker, color=mark.colour, markersize=4.4, markeredgecolor=svg.PAPER,
              markeredgewidth=0.6, zorder=4)  # fmt: skip


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


# Panels and files -------------------------------------------------------------------------------------------


def overview(data: RunData, table: ScoreTable) -> list[Panel]:
    """Return a panel per headline metric, over all stems."""
    return [_medians_panel(data, table, metric, ALL_STEMS, metric.label) for metric in data.headline]


def by_stem(data: RunData, table: ScoreTable, metric: Metric) -> list[Panel]:
    """Return a panel per stem."""
    return [_medians_panel(data, table, metric, stem, source_name(stem)) for stem in data.targets]


def _medians_panel(data: RunData, table: ScoreTable, metric: Metric, source: str, title: str) -> Panel:
    def median(condition: str, separator: str) -> str:
        value = table.get(condition, separator, source, metric).estimate.value
        return f"{condition} {metric.format(value)}"

    medians = "; ".join(
        f"{one.name} " + ", ".join(median(condition, one.name) for condition in data.conditions)
        for one in data.compared
    )
    return _panel(
        title,
        f"{metric.title}, {source_name(source).lower()}: medians. {medians}",
        _height(data),
        lambda axes: draw_medians(axes, data, table, metric, source),
        box=_row_box(data),
    )


def stereo_binaural(data: RunData) -> list[Panel]:
    """Return a panel per headline metric that compares stereo with binaural; none for a single condition."""
    if not {"stereo", "binaural"} <= set(data.conditions):
        return []
    return [
        _panel(
            metric.label,
            f"{metric.label} of each track, stereo against binaural, one row per separator",
            _height(data),
            lambda axes, metric=metric: draw_pairs(axes, data, metric),
            box=_row_box(data),
        )
        for metric in data.headline
    ]


def spatial_residual(data: RunData) -> list[Panel]:
    """Return a panel per separator of SSR over SRR, all with the same axes."""
    pair = [metric for metric in data.headline if metric.role in ("spatial", "residual")]
    if len(pair) != 2:
        return []
    x, y = pair
    limits = [_span(data, metric) for metric in pair]

    def draw(axes: Axes, name: str) -> None:
        draw_scatter(axes, data, x, y, name)
        axes.set_xlim(*limits[0])
        axes.set_ylim(*limits[1])

    return [
        _panel(
            separator.name,
            f"{y.label} against {x.label} of {separator.name}, one point per track and stem",
            2.3,
            lambda axes, name=separator.name: draw(axes, name),
        )
        for separator in data.compared
    ]


def _span(data: RunData, metric: Metric) -> tuple[float, float]:
    cubes = [data.track_values(metric, c, one.name).ravel() for c in data.conditions for one in data.compared]
    found = np.concatenate([*cubes, np.empty(0)])
    found = found[~np.isnan(found)]
    if found.size == 0:
        return 0.0, 1.0
    pad = 0.04 * float(np.ptp(found)) or 1.0
    return float(found.min()) - pad, float(found.max()) + pad


def against_azimuth(data: RunData, metric: Metric) -> list[Panel]:
    """Return a polar panel per separator for the binaural condition, all with the same radius."""
    if "binaural" not in data.conditions or not data.compared:
        return []
    stems = [stem for stem in data.targets if stem in data.record.stems] or data.targets
    angles = np.array(
        [[_or_nan(data.azimuth(title, stem)) for stem in stems] for title in data.titles], dtype=float
    )
    found: list[tuple[str, FloatArray, FloatArray]] = []
    for separator in data.compared:
        values = data.track_values(metric, "binaural", separator.name)
        both = ~np.isnan(values) & ~np.isnan(angles)
        found.append((separator.name, angles[both], values[both]))
    pooled = np.concatenate([values for _, _, values in found])
    if pooled.size == 0:
        return []
    # The median over separators: a few large errors (such as the mixture's) would set the radius for all others.
    spans = [float(np.quantile(values, 0.95)) for _, _, values in found if values.size]
    limit = 1.1 * float(np.median(spans)) or float(pooled.max()) or 1.0
    frontal = bool(np.all(np.cos(np.radians(angles[~np.isnan(angles)])) > -1e-6))
    return [
        _panel(
            name,
            f"{metric.label} of {name} against the true azimuth of the stem; front is up, left is left; "
            f"outermost circle {metric.format(limit)} {metric.unit}",
            1.44 if frontal else 2.6,
            lambda axes, a=azimuths, v=values: draw_polar(
                cast(PolarAxes, axes), metric, a, v, limit, frontal
            ),
            # Matplotlib centres a half disc in the square of the full disc, which is larger than this figure.
            box=(0.29, -0.41, 2.32, 2.2) if frontal else (0.35, 0.2, 2.2, 2.2),
            projection="polar",
        )
        for name, azimuths, values in found
    ]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _height(data: RunData) -> float:
    return 0.6 + len(data.compared) * (0.12 + 0.14 * len(data.conditions))


def _row_box(data: RunData) -> tuple[float, float, float, float]:
    """Return the axes of a panel with a row per separator, as the automatic layout has them, which is slow."""
    left = svg.width_of_labels(tuple(_short(one.name) for one in data.compared)) + 0.09
    bottom = 0.4
    return left, bottom, svg.PANEL - left - 0.17, _height(data) - bottom - 0.04


def _panel(
    title: str,
    description: str,
    height: float,
    draw: Callable[..., None],
    box: tuple[float, float, float, float] | None = None,
    **axes: Any,
) -> Panel:
    """Draw one panel; `box` (left, bottom, width, height in inches) replaces the automatic layout."""
    with svg.style():
        figure = svg.new_figure(svg.PANEL, height)
        if box is None:
            drawn = figure.add_subplot(**axes)
        else:
            figure.set_layout_engine(None)
            left, bottom, width, box_height = box
            rectangle = (left / svg.PANEL, bottom / height, width / svg.PANEL, box_height / height)
            drawn = figure.add_axes(rectangle, **axes)
        draw(drawn)
        return Panel(title, svg.inline(figure, description))


def save_for_paper(data: RunData, table: ScoreTable, folder: Path) -> list[str]:
    """Write the main figures as PDF and SVG at column width; return their names without suffix."""
    if not data.compared or not data.headline:
        return []
    names = []
    for metric in data.headline:
        with svg.style():
            rows = math.ceil(len(data.targets) / 2)
            figure = svg.new_figure(svg.COLUMN, 0.35 + rows * _height(data))
            grid = figure.subplots(rows, 2, sharey=True, sharex=True, squeeze=False)
            for axes, stem in svg.used(grid, data.targets):
                draw_medians(axes, data, table, metric, stem)
                axes.set_title(source_name(stem), fontsize=8, loc="left")
                axes.label_outer()
            _common_limits(list(grid.ravel()))
            _legend(figure, data)
            names.append(_save(figure, folder / f"by-stem-{metric.column}"))
    with svg.style():
        figure = svg.new_figure(svg.COLUMN, 0.35 + 2 * _height(data))
        grid = figure.subplots(2, 2, sharey=True, squeeze=False)
        for axes, metric in svg.used(grid, data.headline):
            draw_medians(axes, data, table, metric, ALL_STEMS)
        _legend(figure, data)
        names.append(_save(figure, folder / "overview"))
    return names


def _common_limits(grid: Sequence[Axes]) -> None:
    spans = [axes.dataLim for axes in grid if np.isfinite(axes.dataLim.x0)]
    if spans:
        low, high = min(s.x0 for s in spans), max(s.x1 for s in spans)
        pad = 0.05 * (high - low) or 0.5
        grid[0].set_xlim(low - pad, high + pad)


def _legend(figure: Figure, data: RunData) -> None:
    handles = [
        Line2D(
            [], [], color=mark_of(c).colour, marker=mark_of(c).marker, markersize=4, linewidth=1.4, label=c
        )
        for c in data.conditions
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False, fontsize=7.5)


def _save(figure: Figure, stem: Path) -> str:
    svg.save(figure, stem)
    return stem.name
