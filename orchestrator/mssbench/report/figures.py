"""Figures of the page, drawn from the data of a run as :mod:`.chart` panels.

Conditions have a colour and a marker where they share a panel; separators have them where a panel shows one condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ..runs.results import Row
from ..text import plural, shortened
from . import chart
from .answer import with_interval
from .chart import Chart, Key, Scale
from .data import ALL_STEMS, FloatArray, RunData, source_name
from .metrics import Metric, finite_value
from .scores import Difference, ScoreTable
from .statistics import Estimate

MOST_LINES = 8
"""Largest number of separators in a panel of lines."""

SECTOR = 30
"""Width of the sectors of azimuth and elevation, degrees."""

_BANDS = ((100, "100"), (300, "300"), (1000, "1k"), (3000, "3k"), (10000, "10k"))
_AZIMUTHS = ((180, ""), (90, "left"), (0, "front"), (-90, "right"), (-180, "back"))


@dataclass(frozen=True)
class Panel:
    """One figure on the page. `condition` is set if it shows only one."""

    title: str
    image: Markup
    condition: str = ""


@dataclass(frozen=True)
class Figure:
    """Panels with a common legend of (symbol, name)."""

    panels: list[Panel]
    legend: list[tuple[Markup, str]]
    heading: str = ""
    metric: Metric | None = None


def condition_legend(data: RunData) -> list[tuple[Markup, str]]:
    """Return the symbols of the conditions."""
    return [(chart.key_symbol(key, line=True), name) for name, key in chart.keys(data.conditions).items()]


def drawn_separators(data: RunData) -> list[str]:
    """Return the separators that panels of lines show: models first."""
    return [one.name for one in data.listed][:MOST_LINES]


def _separator_legend(names: Sequence[str]) -> list[tuple[Markup, str]]:
    return [(chart.key_symbol(key, line=True), name) for name, key in chart.keys(names).items()]


# A row for each separator -------------------------------------------------------------------------------------


def medians(
    data: RunData, table: ScoreTable, metric: Metric, source: str, title: str, width: float = chart.WIDTH
) -> Panel:
    """Return a panel of medians with intervals per separator and condition; for one stem also a tick per track."""
    estimates = {
        (condition, one.name): table.get(condition, one.name, source, metric).estimate
        for condition in data.conditions
        for one in data.listed
    }
    seen = [value for e in estimates.values() for value in (e.value, e.low, e.high)]
    tracks: dict[tuple[str, str], FloatArray] = {}
    if source != ALL_STEMS:
        tracks = {group: data.track_values(metric, *group, source).ravel() for group in estimates}
        seen += [float(value) for values in tracks.values() for value in values]
    axis = Scale(0.0, 100.0) if metric.unit == "%" else chart.scale(seen, zero=metric.better == "lower")
    found = _rows(data, metric, axis, width)
    for i, (condition, key) in enumerate(chart.keys(data.conditions).items()):
        for row, one in enumerate(data.listed):
            estimate = estimates[condition, one.name]
            if not estimate.n:
                continue
            y = _row_y(found, len(data.listed), row, i, len(data.conditions))
            for value in tracks.get((condition, one.name), ()):
                if value == value:
                    x = found.x(axis(float(value)))
                    found.line(x, y - 3, x, y + 3, key.colour, 0.6)
            found.mark(
                _interval(found, axis, estimate, y, key),
                f"{one.name}, {condition}: {with_interval(metric, estimate)}, {_number(estimate)}",
            )
    what = data.scope if source == ALL_STEMS else source_name(source).lower()
    return Panel(title, found.svg(f"{metric.title}, {what}: median of each separator"))


def differences(data: RunData, found: Sequence[Difference], metric: Metric) -> Panel:
    """Return a panel of paired differences from the baseline, with intervals and a line at zero."""
    shown = [d for d in found if d.metric == metric]
    estimates = [d.paired.difference for d in shown]
    axis = chart.scale([value for e in estimates for value in (e.value, e.low, e.high)], zero=True)
    panel = _rows(data, metric, axis, chart.WIDTH, "change of ")
    zero = panel.x(axis(0.0))
    panel.line(zero, panel.top, zero, panel.floor, "var(--muted)")
    others = [condition for condition in data.conditions if condition != data.baseline]
    keys = chart.keys(data.conditions)
    rows = [one.name for one in data.listed]
    for d in shown:
        if d.paired.difference.n:
            y = _row_y(panel, len(rows), rows.index(d.within), others.index(d.first), len(others))
            evidence = "significant" if d.p_holm < 0.05 else "not significant"
            panel.mark(
                _interval(panel, axis, d.paired.difference, y, keys[d.first]),
                f"{d.within}, {d.first} minus {d.second}: {with_interval(metric, d.paired.difference, signed=True)}, "
                f"{d.paired.test.n} tracks, {evidence} (5 %, Holm)",
            )
    return Panel(metric.label, panel.svg(f"Change of {metric.title} from {data.baseline}, by separator"))


def _rows(data: RunData, metric: Metric, axis: Scale, width: float, prefix: str = "") -> Chart:
    """Return a chart with a labelled row per separator."""
    names = [shortened(one.name) for one in data.listed]
    pitch = 9.0 + 9.0 * len(data.conditions)
    left = chart.label_width(names) + 10
    found = Chart(height=pitch * len(names) + 38, left=left, width=width)
    found.x_axis(axis.labels, prefix + _axis_title(metric, axis), chart.direction(metric.better))
    for i, name in enumerate(names):
        found.text(left - 6, found.top + (i + 0.5) * pitch + 4, name, "end")
        if i:
            y = found.top + i * pitch
            found.line(0, y, width - found.right, y, "var(--grid)", 0.6)
    return found


def _axis_title(metric: Metric, axis: Scale) -> str:
    unit = f" ({metric.unit}{', logarithmic' if axis.logarithmic else ''})" if metric.unit else ""
    return metric.label + unit


def _row_y(panel: Chart, rows: int, row: int, index: int, count: int) -> float:
    pitch = (panel.floor - panel.top) / rows
    return panel.top + (row + 0.5) * pitch + (index - (count - 1) / 2) * 9.0


def _interval(panel: Chart, axis: Scale, estimate: Estimate, y: float, key: Key) -> list[str]:
    x = panel.x(axis(estimate.value))
    drawn = []
    if estimate.low == estimate.low:
        low, high = panel.x(axis(estimate.low)), panel.x(axis(estimate.high))
        drawn.append(chart.segment(low, y, high, y, key.colour, 1.8))
    return [*drawn, chart.marker(key.marker, x, y, 3.6, key.colour)]


def _number(estimate: Estimate) -> str:
    return f"{plural(estimate.n, 'stem')} of {plural(estimate.tracks, 'track')}"


# Lines, one for each separator --------------------------------------------------------------------------------


def by_band(data: RunData) -> Figure | None:
    """Return `in_place` by frequency: a panel per condition over all stems, or None without this metric."""
    names = drawn_separators(data)
    panels = []
    for condition in data.conditions:
        curves = {name: band_curve(data, condition, name) for name in names}
        if any(curves.values()):
            panels.append(Panel(f"By frequency, {condition}", _band_panel(curves, condition), condition))
    return Figure(panels, _separator_legend(names)) if panels else None


def band_curve(data: RunData, condition: str, separator: str) -> list[tuple[float, float]]:
    """Return (centre in Hz, share in place in %) over all stems; a band counts by its share of the loudness."""
    sums: dict[float, list[float]] = {}
    for row in _rows_of(data, condition, separator):
        for band in row.get("in_place_bands") or ():
            centre, share, weight = (finite_value(value) for value in band)
            if share == share and weight > 0:
                total = sums.setdefault(centre, [0.0, 0.0])
                total[0] += weight * share
                total[1] += weight
    return [(centre, total / weight) for centre, (total, weight) in sorted(sums.items())]


def _rows_of(data: RunData, condition: str, separator: str) -> list[Row]:
    """Return the scored rows of the stems of the dataset, of all replicates of the condition."""
    keys = data.replicates[condition]
    return [
        row
        for row in data.rows
        if row["condition"] in keys
        and row["separator"] == separator
        and row["status"] in ("ok", "undefined")
        and row["source"] in data.record.stems
    ]


def _band_panel(curves: dict[str, list[tuple[float, float]]], condition: str) -> Markup:
    panel = Chart(height=200, left=28, top=22, width=chart.WIDE)
    low, high = np.log(90), np.log(17000)

    def x(frequency: float) -> float:
        return float((np.log(frequency) - low) / (high - low))

    shares = [(share / 100, str(share)) for share in (0, 25, 50, 75, 100)]
    panel.y_axis(shares, "In place (%)", chart.direction("higher", vertical=True))
    panel.x_axis([(x(value), label) for value, label in _BANDS], "frequency (Hz)")
    for name, key in chart.keys(list(curves)).items():
        points = [(panel.x(x(centre)), panel.y(share / 100)) for centre, share in curves[name]]
        panel.path(points, key)
        for (px, py), (centre, share) in zip(points, curves[name], strict=True):
            panel.mark(
                [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.2" fill="{key.colour}"/>'],
                f"{name}, {condition}, {centre:.0f} Hz: {share:.0f} %",
            )
    return panel.svg(f"Share in place by frequency, {condition}, a line per separator")


def by_angle(data: RunData, metric: Metric, angle: str = "azimuth") -> list[Panel]:
    """Return a panel per condition of medians in sectors of the true azimuth or elevation; none without angles."""
    found = {}
    for condition in data.conditions:
        curves = {name: _sectors(data, metric, condition, name, angle) for name in drawn_separators(data)}
        if len({middle for curve in curves.values() for middle, _, _ in curve}) > 1:
            found[condition] = curves
    values = [value for curves in found.values() for curve in curves.values() for _, value, _ in curve]
    if not values:
        return []
    axis = Scale(0.0, 100.0) if metric.unit == "%" else chart.scale(values, zero=metric.better == "lower")
    return [
        Panel(
            f"{metric.label} by {angle}, {condition}",
            _angle_panel(curves, metric, axis, angle, condition),
            condition,
        )
        for condition, curves in found.items()
    ]


def _sectors(
    data: RunData, metric: Metric, condition: str, separator: str, angle: str
) -> list[tuple[int, float, int]]:
    """Return (middle of the sector in degrees, median, number of stems)."""
    sectors: dict[int, list[float]] = {}
    for row in _rows_of(data, condition, separator):
        true = data.direction(row["title"], row["source"], row["condition"])
        value = finite_value(row.get(metric.column))
        if true is not None and value == value:
            signed = (true[angle == "elevation"] + 180) % 360 - 180
            middle = round(signed / SECTOR) * SECTOR
            sectors.setdefault(180 if middle == -180 else middle, []).append(value)
    return [(middle, float(np.median(found)), len(found)) for middle, found in sorted(sectors.items())]


def _angle_panel(
    curves: dict[str, list[tuple[int, float, int]]], metric: Metric, axis: Scale, angle: str, condition: str
) -> Markup:
    panel = Chart(height=200, left=34, top=22, width=chart.WIDE)
    panel.y_axis(axis.labels, _axis_title(metric, axis), chart.direction(metric.better, vertical=True))
    if angle == "azimuth":  # left is left
        frontal = all(abs(middle) <= 90 for curve in curves.values() for middle, _, _ in curve)
        across = Scale(-100.0, 100.0) if frontal else Scale(-190.0, 190.0)
        ticks = [(1 - across(v), label) for v, label in _AZIMUTHS if abs(v) <= across.high and label]
    else:
        across = Scale(-100.0, 100.0)
        ticks = [(across(v), f"{v}°".replace("-", "−")) for v in (-90, -45, 0, 45, 90)]
    panel.x_axis(ticks, f"true {angle}")
    for name, key in chart.keys(list(curves)).items():
        points = [
            (panel.x(1 - across(middle) if angle == "azimuth" else across(middle)), panel.y(axis(value)))
            for middle, value, _ in curves[name]
        ]
        panel.path(points, key, 1.2)
        for (x, y), (middle, value, n) in zip(points, curves[name], strict=True):
            panel.mark(
                [chart.marker(key.marker, x, y, 3.0, key.colour)],
                f"{name}, {condition}, {angle} {middle}° ± {SECTOR // 2}°: {metric.format(value)} {metric.unit} "
                f"({plural(n, 'stem')})".replace("-", "−"),
            )
    return panel.svg(f"{metric.title} against the true {angle}, {condition}, a line per separator")


def trade_off(data: RunData, table: ScoreTable) -> Figure | None:
    """Return SSR against SRR: a panel per condition with the median of each separator, or None without both."""
    pair = [metric for metric in data.headline if metric.role in ("spatial", "residual")]
    if len(pair) != 2:
        return None
    x_metric, y_metric = pair
    names = [one.name for one in data.listed]
    points = {
        (condition, name): [table.get(condition, name, ALL_STEMS, metric).estimate.value for metric in pair]
        for condition in data.conditions
        for name in names
    }
    x_axis, y_axis = (chart.scale([point[i] for point in points.values()]) for i in (0, 1))
    panels = []
    for condition in data.conditions:
        panel = Chart(height=200, left=34, top=22, width=chart.WIDE)
        panel.y_axis(y_axis.labels, y_metric.title, chart.direction("higher", vertical=True))
        panel.x_axis(x_axis.labels, x_metric.title, chart.direction("higher"))
        for name, key in chart.keys(names).items():
            x, y = points[condition, name]
            if x == x and y == y:
                panel.mark(
                    [chart.marker(key.marker, panel.x(x_axis(x)), panel.y(y_axis(y)), 4.2, key.colour)],
                    f"{name}, {condition}: {x_metric.label} {x_metric.format(x)}, "
                    f"{y_metric.label} {y_metric.format(y)} dB",
                )
        image = panel.svg(f"{y_metric.label} against {x_metric.label}, {condition}")
        panels.append(Panel(f"SSR and SRR, {condition}", image))
    return Figure(panels, _separator_legend(names))
