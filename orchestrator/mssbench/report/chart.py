"""Charts of the page: axes, marks and lines as SVG with the colours of the page.

A mark has a text with its exact value (``data-tip``), which ``tips.js`` shows on hover and on keyboard focus. The
same input gives the same bytes.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH = 300.0
"""Width of a panel in the units of its coordinates; text is 11 of them high."""

WIDE = 380.0
"""Width of a panel of lines."""

_GLYPH, _WIDE_GLYPH = 6.5, 11.0
_LOGARITHMIC = 8.0
"""Ratio of the largest value to the median from which an axis is logarithmic."""


@dataclass(frozen=True)
class Key:
    """Colour, marker and dashes of a condition or separator in all charts of a page."""

    colour: str
    marker: str
    dash: str = ""


COLOURS = ("var(--blue)", "var(--orange)", "var(--green)", "var(--purple)", "currentColor", "var(--muted)")
MARKERS = ("circle", "diamond", "square", "triangle", "cross", "ring")


def keys(names: Sequence[str]) -> dict[str, Key]:
    """Return a key for each name. From the seventh on, lines are dashed."""
    return {
        name: Key(COLOURS[i % 6], MARKERS[(i + i // 6) % 6], "4 3" if (i // 6) % 2 else "")
        for i, name in enumerate(names)
    }


def marker(shape: str, x: float, y: float, size: float, colour: str) -> str:
    """Return a marker as SVG with its centre at (`x`, `y`)."""
    style = f'fill="{colour}" stroke="var(--paper)" stroke-width=".8"'
    hollow = f'fill="none" stroke="{colour}" stroke-width="1.6"'
    if shape == "circle":
        return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(size)}" {style}/>'
    if shape == "ring":
        return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(size * 0.85)}" {hollow}/>'
    corners = {
        "diamond": "M0-1.3 1.3 0 0 1.3-1.3 0Z",
        "square": "M-.95-.95H.95V.95H-.95Z",
        "triangle": "M0-1.2 1.15.85H-1.15Z",
        "cross": "M-.9-.9.9.9M-.9.9.9-.9",
    }[shape]
    if shape == "cross":
        style = hollow.replace('"1.6"', f'"{_n(1.6 / size)}"')
    else:
        style = style.replace('".8"', f'"{_n(0.8 / size)}"')
    return f'<path transform="translate({_n(x)} {_n(y)}) scale({_n(size)})" d="{corners}" {style}/>'


def segment(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> str:
    """Return a straight line as SVG."""
    ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{_n(width)}"/>'


def curve(points: Sequence[tuple[float, float]], key: Key, width: float) -> str:
    """Return a line through `points` as SVG; NaN interrupts it."""
    drawn, pen = [], "M"
    for x, y in points:
        if x == x and y == y:
            drawn.append(f"{pen}{_n(x)} {_n(y)}")
            pen = "L"
        else:
            pen = "M"
    dash = f' stroke-dasharray="{key.dash}"' if key.dash else ""
    return f'<path d="{"".join(drawn)}" fill="none" stroke="{key.colour}" stroke-width="{_n(width)}"{dash}/>'


@dataclass(frozen=True)
class Scale:
    """Maps values to 0 … 1. With `unit`, it is linear up to about `unit` and logarithmic beyond it."""

    low: float
    high: float
    unit: float = 0.0

    @property
    def logarithmic(self) -> bool:
        return self.unit > 0

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.unit:
            low, high, at = (math.asinh(one / self.unit) for one in (low, high, at))
        return (at - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Round values within the limits, at most six."""
        if not self.unit:
            step = _step((self.high - self.low) / 5)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            return [round(k * step, 10) for k in range(first, last + 1)]
        top = max(abs(self.low), abs(self.high))
        steps = [self.unit * 10.0**k for k in range(math.ceil(math.log10(max(top / self.unit, 1))) + 1)]
        shown = [0.0] if self.low <= 0 <= self.high else []
        for one in (sign * step for step in steps for sign in (1, -1)):
            # Labels that would overlap are left out.
            if self.low <= one <= self.high and all(abs(self(one) - self(other)) > 0.1 for other in shown):
                shown.append(one)
        return sorted(shown)

    @property
    def labels(self) -> list[tuple[float, str]]:
        """Position from 0 to 1, and label of each tick."""
        return [(self(value), tick_text(value)) for value in self.ticks]


def scale(values: Iterable[float], *, zero: bool = False) -> Scale:
    """Return a scale that shows all values but NaN, and with `zero` also 0.

    It is logarithmic where one value is far larger than the others.
    """
    found = [value for value in values if value == value]
    if not found:
        return Scale(0.0, 1.0)
    low, high = min(found), max(found)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    sizes = sorted(abs(value) for value in found if value)
    middle = sizes[len(sizes) // 2] if sizes else 0.0
    if middle and sizes[-1] > _LOGARITHMIC * middle and len(sizes) > 2:
        unit = 10.0 ** math.floor(math.log10(middle))
        return Scale(1.15 * low if low < 0 else 0.0, 1.3 * high if high > 0 else 0.0, unit)
    pad = 0.05 * (high - low) or max(0.5, 0.05 * abs(high))
    return Scale(low - pad if low or not zero else low - 0.4 * pad, high + pad)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= least * 0.999)


def tick_text(value: float) -> str:
    """Return a tick label such as ``1k`` or ``−0.5``."""
    if abs(value) >= 1000:
        return f"{value / 1000:g}k".replace("-", "−")
    return f"{value:g}".replace("-", "−")


def label_width(labels: Iterable[str]) -> float:
    """Return an estimate of the width of the longest label."""

    def width(text: str) -> float:
        return sum(_WIDE_GLYPH if unicodedata.east_asian_width(c) in "WF" else _GLYPH for c in text)

    return max((width(label) for label in labels), default=0.0)


def direction(better: str, *, vertical: bool = False) -> str:
    """Return the arrow that says which end of an axis is better; empty where neither is."""
    upright = {"higher": "↑ better", "lower": "↓ better"}
    level = {"higher": "better →", "lower": "← better"}
    return (upright if vertical else level).get(better, "")


@dataclass
class Chart:
    """A chart that is being drawn. Coordinates are those of the SVG; (0, 0) is the upper left corner."""

    height: float
    left: float
    bottom: float = 30.0
    top: float = 5.0
    right: float = 8.0
    width: float = WIDTH
    parts: list[str] = field(default_factory=list)

    @property
    def span(self) -> float:
        """Width of the plot."""
        return self.width - self.left - self.right

    @property
    def floor(self) -> float:
        """Position of the lower edge of the plot."""
        return self.height - self.bottom

    def x(self, fraction: float) -> float:
        return self.left + fraction * self.span

    def y(self, fraction: float) -> float:
        return self.floor - fraction * (self.floor - self.top)

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> None:
        self.parts.append(segment(x1, y1, x2, y2, colour, width))

    def text(self, x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> None:
        kind = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{kind}>{escape(text)}</text>')

    def mark(self, drawn: Iterable[str], tip: str) -> None:
        """Add a mark with the text that is shown for it."""
        self.parts.append(f'<g data-tip="{escape(tip)}">{"".join(drawn)}</g>')

    def path(self, points: Sequence[tuple[float, float]], key: Key, width: float = 1.6) -> None:
        """Add a line through `points`; NaN interrupts it."""
        self.parts.append(curve(points, key, width))

    def x_axis(self, ticks: Sequence[tuple[float, str]], title: str, arrow: str = "") -> None:
        """Add grid lines, labels at fractions of the width, and the title with the arrow."""
        for fraction, label in ticks:
            at = self.x(fraction)
            self.line(at, self.top, at, self.floor, "var(--grid)")
            self.text(at, self.floor + 12, label, kind="tick")
        text = f"{arrow} · {title}" if arrow.startswith("←") else f"{title} · {arrow}" if arrow else title
        self.text(self.width - self.right, self.height - 4, text, "end")

    def y_axis(self, ticks: Sequence[tuple[float, str]], title: str = "", arrow: str = "") -> None:
        """Add grid lines, labels at fractions of the height, and the title with the arrow above them."""
        for fraction, label in ticks:
            at = self.y(fraction)
            self.line(self.left, at, self.width - self.right, at, "var(--grid)")
            self.text(self.left - 5, at + 4, label, "end", "tick")
        if title:
            self.text(0, self.top - 9, f"{title} · {arrow}" if arrow else title, "start")

    def svg(self, description: str) -> Markup:
        """Return the chart with `description` as its accessible name. It can be focused if it has marks."""
        focus = ' tabindex="0"' if any("data-tip" in part for part in self.parts) else ""
        return Markup(
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="group" aria-label="{escape(description)}" '
            f'class="figure"{focus}>' + "".join(self.parts) + "</svg>"
        )


def key_symbol(key: Key, *, line: bool = False) -> Markup:
    """Return the symbol of `key` for a legend."""
    dash = f' stroke-dasharray="{key.dash}"' if key.dash else ""
    bar = f'<line x1="0" x2="26" y1="6" y2="6" stroke="{key.colour}" stroke-width="2"{dash}/>' if line else ""
    return Markup(
        f'<svg viewBox="0 0 26 12" class="key" aria-hidden="true">{bar}{marker(key.marker, 13, 6, 4, key.colour)}</svg>'
    )


def _n(value: float) -> str:
    """Format a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
