"""Quality against cost: a scatter plot of the models of a leaderboard, as SVG for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from .data import ALL_STEMS
from .metrics import Metric
from .ranking import Setting

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 40
_CHARACTER = 7.2
"""Mean width of a character of a label."""


@dataclass(frozen=True)
class Point:
    """A model: seconds of audio per second on `device`, and the median of a metric."""

    name: str
    device: str
    speed: float
    value: float


def cost_plots(setting: Setting) -> list[tuple[str, Markup]]:
    """A plot for each metric of the criterion, with its title; empty with fewer than two models whose time is known."""
    found = []
    for metric in setting.criterion:
        points = []
        for entry in setting.entries:
            value, speed = entry.value(setting.condition, ALL_STEMS, metric), entry.speed
            if entry.is_model and value is not None and speed is not None and speed.factor:
                points.append(Point(entry.separator.name, speed.device, speed.factor, value))
        if len(points) > 1:
            found.append((f"{metric.title} ({metric.better} is better)", _scatter(points, metric)))
    return found


def _scatter(points: Sequence[Point], metric: Metric) -> Markup:
    decades = _decades([point.speed for point in points])
    ticks = _ticks([point.value for point in points])

    def x(speed: float) -> float:
        low, high = math.log10(decades[0]), math.log10(decades[-1])
        return _LEFT + (math.log10(speed) - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in ticks:
        parts.append(f'<path d="M{_LEFT} {y(tick):.1f}H{WIDTH - _RIGHT}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for decade in decades:
        parts.append(f'<path d="M{x(decade):.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="var(--grid)"/>')
        parts.append(
            f'<text x="{x(decade):.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{decade:g}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">seconds of audio per second →</text>'
    )
    taken = [(x(one.speed) - 5, y(one.value) - 5, x(one.speed) + 5, y(one.value) + 5) for one in points]
    # Where names have no room, those of models that no other one excels come first. The table has all.
    for point in sorted(points, key=lambda one: (not _leads(one, points, metric), -one.speed, one.name)):
        left, top = x(point.speed), y(point.value)
        tip = f"{point.name}: {metric.format(point.value)} {metric.unit}, {point.speed:.3g} s/s on {point.device}"
        fill = "var(--blue)" if point.device == "cpu" else "var(--orange)"
        circle = f'<circle cx="{left:.1f}" cy="{top:.1f}" r="4.5" fill="{fill}">'
        parts.append(f"{circle}<title>{escape(tip)}</title></circle>")
        parts.append(_label(point.name, left, top, taken))
    text = f"{metric.label} against speed: " + "; ".join(
        f"{point.name} {metric.format(point.value)} at {point.speed:.3g} s/s" for point in points
    )
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(text)}" class="cost">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def _leads(point: Point, points: Sequence[Point], metric: Metric) -> bool:
    """Whether no other model is as fast and better, or as good and faster."""
    return not any(
        (one.speed > point.speed and not metric.is_worse(one.value, point.value))
        or (one.speed >= point.speed and metric.is_worse(point.value, one.value))
        for one in points
    )


def _label(name: str, left: float, top: float, taken: list[tuple[float, float, float, float]]) -> str:
    """The name beside its point where it covers no point and no other name; empty if there is no room."""
    shown = name if len(name) <= 30 else f"{name[:29]}…"
    width = _CHARACTER * len(shown)
    for begin, line in (
        (left + 8, top + 4),
        (left - 8 - width, top + 4),
        (left - width / 2, top - 8),
        (left - width / 2, top + 17),
    ):
        box = (begin, line - 10, begin + width, line + 2)
        inside = begin >= _LEFT and box[2] <= WIDTH and box[1] >= 0 and line <= HEIGHT - _BOTTOM + 4
        if inside and not any(
            box[0] < right and box[2] > start and box[1] < bottom and box[3] > upper
            for start, upper, right, bottom in taken
        ):
            taken.append(box)
            return f'<text x="{begin:.1f}" y="{line:.1f}" class="name">{escape(shown)}</text>'
    return ""


def _decades(speeds: Sequence[float]) -> list[float]:
    low = math.floor(math.log10(min(speeds)))
    high = max(math.ceil(math.log10(max(speeds))), low + 1)
    return [10.0**power for power in range(low, high + 1)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to eight round numbers around the values."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _number(value: float) -> str:
    return f"{round(value, 6) + 0.0:g}".replace("-", "−")


__all__ = ["cost_plots"]
