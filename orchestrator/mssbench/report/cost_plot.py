"""Quality against cost: the models of a table of the leaderboard by a metric, or by their mean rank, and by speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from . import chart
from .chart import Chart, Key, Scale
from .data import source_name
from .metrics import Metric
from .ranking import Row, Setting, Table

RANK = "rank"
"""Key of the plot of the mean rank; the other keys are columns of metrics."""


@dataclass(frozen=True)
class CostFigure:
    """A plot for each way to order the models, with a common legend of (symbol, name)."""

    plots: dict[str, Markup]
    legend: list[tuple[Markup, str]]


@dataclass(frozen=True)
class _Point:
    row: Row
    key: Key
    speed: float
    device: str

    @property
    def name(self) -> str:
        return self.row.entry.separator.name


def cost_figure(setting: Setting, table: Table) -> CostFigure | None:
    """Return the models of a table by speed and by each metric of the criterion; None with fewer than two of them.

    A model has the same symbol in all tables of the setting. Models without a time are left out.
    """
    models = [entry for entry in setting.entries if entry.is_model]
    keys = list(chart.keys([str(number) for number in range(len(models))]).values())
    points = [
        _Point(row, keys[models.index(row.entry)], speed.factor, speed.device)
        for row in table.models
        if (speed := row.entry.speed) is not None and speed.factor
    ]
    ranked = [(point, point.row.rank, None, None) for point in points if point.row.rank is not None]
    what = f"{source_name(table.source).lower()}, {setting.condition}"
    plots = {RANK: _plot(ranked, what)}
    for metric in setting.criterion:
        scores = [(one, one.row.entry.score(setting.condition, table.source, metric)) for one in points]
        scored = [
            (point, score.median.value, score.median.low, score.median.high)
            for point, score in scores
            if score is not None and score.median.value is not None
        ]
        plots[metric.column] = _plot(scored, what, metric)
    drawn = {order: image for order, image in plots.items() if image is not None}
    legend = [(chart.key_symbol(point.key), f"{point.name} ({point.device})") for point in points]
    return CostFigure(drawn, legend) if drawn else None


def _plot(
    found: Sequence[tuple[_Point, float, float | None, float | None]], what: str, metric: Metric | None = None
) -> Markup | None:
    """Draw values with their intervals; without `metric`, they are mean ranks. Better is up and right."""
    if len(found) < 2:
        return None
    title = metric.title if metric else "Mean rank"
    axis = chart.scale([one for _, *values in found for one in values if one is not None])
    powers = [math.log10(point.speed) for point, *_ in found]
    low = math.floor(min(powers))
    speeds = Scale(low, max(math.ceil(max(powers)), low + 1))
    panel = Chart(height=220, left=40, top=22, width=chart.WIDE)

    def y(value: float) -> float:
        return axis(value) if metric and metric.better == "higher" else 1 - axis(value)

    better = chart.direction("higher", vertical=True)
    panel.y_axis([(y(value), chart.tick_text(value)) for value in axis.ticks], title, better)
    decades = [(speeds(power), chart.tick_text(10.0**power)) for power in range(low, int(speeds.high) + 1)]
    panel.x_axis(decades, "seconds of audio per second", chart.direction("higher"))
    for (point, value, lower, upper), power in zip(found, powers, strict=True):
        x, at = panel.x(speeds(power)), panel.y(y(value))
        drawn = [chart.marker(point.key.marker, x, at, 4.2, point.key.colour)]
        text = f"mean rank {value:.1f}" if metric is None else f"{metric.format(value)} {metric.unit}"
        if metric is not None and lower is not None and upper is not None:
            ends = (panel.y(y(lower)), panel.y(y(upper)))
            drawn.insert(0, chart.segment(x, ends[0], x, ends[1], point.key.colour, 1.8))
            text += f" [{metric.format(lower)}, {metric.format(upper)}]"
        panel.mark(
            drawn, f"{point.name}: {text}, {point.speed:.3g} seconds of audio per second on {point.device}"
        )
    return panel.svg(f"{title} against speed, {what}")
