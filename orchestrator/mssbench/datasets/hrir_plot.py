"""Plots of an HRIR set, as an image file or as text: level at both ears and ITD over azimuth, and its directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mssbench_service.files import atomic_file
from mssbench_service.wire import HrirInfo

FORMATS = (".png", ".svg")

_FLOOR = -30.0  # dB, at the centre of the plot
_RADIUS = 10  # rows of text
_LEFT, _RIGHT = "#1f77b4", "#d62728"


def describe_azimuths(azimuths: Sequence[float]) -> str:
    """Return the step of the azimuths (degrees) as text if it is constant, otherwise the first eight azimuths.

    Examples
    --------
    >>> describe_azimuths([0.0, 90.0, 180.0, 270.0])
    'every 90°'
    >>> describe_azimuths([0.0, 5.0, 90.0])
    '0°, 5°, 90°'
    """
    steps = np.diff([*azimuths, azimuths[0] + 360.0])
    if len(azimuths) > 1 and np.allclose(steps, steps[0], atol=0.01):
        return f"every {steps[0]:g}°"
    named = ", ".join(f"{azimuth:g}°" for azimuth in azimuths[:8])
    return f"{named}{', …' if len(azimuths) > 8 else ''}"


def describe_directions(info: HrirInfo) -> str:
    """Return the number of directions and the range of the elevations as text.

    `info` describes the sphere.
    """
    if not info.elevations:
        return f"{len(info.azimuths)}, all at elevation 0°"
    low, high = min(info.elevations), max(info.elevations)
    return f"{len(info.azimuths)}, at elevations from {low:g}° to {high:g}°"


def describe_distances(distances: Sequence[float]) -> str:
    """Return the distances of the sources in metres as text.

    Examples
    --------
    >>> describe_distances([1.2, 1.4])
    '1.2 to 1.4 m'
    >>> describe_distances([])
    'unknown'
    """
    if not distances:
        return "unknown"
    low, high = distances[0], distances[-1]
    return f"{low:.3g} m" if high - low < 0.005 else f"{low:.3g} to {high:.3g} m"


def save_plot(info: HrirInfo, path: Path, sphere: HrirInfo | None = None) -> None:
    """Plot level and ITD over azimuth into `path`, a PNG or SVG file. Front is up, left is left.

    If the set has elevations, the directions of `sphere`, its description on the sphere, are plotted below.

    Raises
    ------
    BadInput
        The folder cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

    elevated = sphere is not None and bool(sphere.elevations)
    figure = Figure(figsize=(9.0, 8.6 if elevated else 5.1), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{info.name} · {info.sample_rate} Hz · {info.taps} taps")
    angles = np.radians([*info.azimuths, info.azimuths[0] + 360.0])
    grid = figure.add_gridspec(2 if elevated else 1, 2, height_ratios=[3, 2] if elevated else [1])
    style: dict[str, Any] = {"marker": ".", "markersize": 3, "linewidth": 1}
    levels = figure.add_subplot(grid[0, 0], projection="polar")
    for values, colour, label in ((info.left_db, _LEFT, "left ear"), (info.right_db, _RIGHT, "right ear")):
        levels.plot(angles, np.maximum([*values, values[0]], _FLOOR), color=colour, label=label, **style)
    levels.set_ylim(_FLOOR, 0)
    levels.set_yticks([-20, -10, 0], ["−20", "−10", "0 dB"])
    levels.set_title("Level at the ears", fontsize="medium")
    times = figure.add_subplot(grid[0, 1], projection="polar")
    itd = np.array([*info.itd_us, info.itd_us[0]])
    for sign, colour, label in ((1, _LEFT, "left earlier"), (-1, _RIGHT, "right earlier")):
        times.plot(angles, np.where(sign * itd >= 0, np.abs(itd), np.nan), color=colour, label=label, **style)
    times.set_ylim(0, 1000)
    times.set_yticks([250, 500, 750, 1000], ["250", "500", "750", "1000 µs"])
    times.set_title("Interaural time difference", fontsize="medium")
    for axes in (levels, times):
        assert isinstance(axes, PolarAxes)
        axes.set_theta_zero_location("N")
        axes.set_thetagrids(range(0, 360, 30))
        axes.tick_params(labelsize="small")
        axes.set_rlabel_position(165)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.05), ncols=2, frameon=False, fontsize="small")
    if sphere is not None and elevated:
        plane = figure.add_subplot(grid[1, :])
        plane.plot([_left_of_front(a) for a in sphere.azimuths], sphere.elevations, ".", color=_LEFT, ms=3)
        plane.set(xlim=(185, -185), ylim=(-95, 95), xlabel="azimuth (left, front, right)", ylabel="elevation")
        plane.set_xticks(range(180, -181, -45), [f"{a}°" for a in (180, 135, 90, 45, 0, 315, 270, 225, 180)])
        plane.set_yticks(range(-90, 91, 45), [f"{e}°" for e in range(-90, 91, 45)])
        plane.set_title(f"{len(sphere.azimuths)} directions", fontsize="medium")
        plane.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)


def text_plot(info: HrirInfo) -> str:
    """Return a text plot of the levels: L and R at the radius of the level in dB, B for both, + for the head."""
    rows, columns = 2 * _RADIUS + 1, 4 * _RADIUS + 1
    canvas = np.full((rows, columns), " ")
    for around in range(0, 360, 10):
        _mark(canvas, around, 1.0, "·")
    for name, values in (("L", info.left_db), ("R", info.right_db)):
        for degrees, level in zip(info.azimuths, values, strict=True):
            _mark(canvas, degrees, 1 - max(level, _FLOOR) / _FLOOR, name)
    canvas[_RADIUS, 2 * _RADIUS] = "+"
    drawn = "\n".join("".join(row).rstrip() for row in canvas)
    key = f"L, R: level at the ears (B: both), {_FLOOR:g} dB at the head to 0 dB on the circle"
    return f"{'front'.center(columns).rstrip()}\n{drawn}\n{key}"


def text_map(sphere: HrirInfo) -> str:
    """Return a text map of the directions: azimuths from the left over the front to the right, elevations upwards."""
    rows, columns = 19, 73  # every 10° and 5°
    canvas = np.full((rows, columns), " ")
    canvas[rows // 2] = canvas[:, columns // 2] = "·"
    for azimuth, elevation in zip(sphere.azimuths, sphere.elevations, strict=True):
        canvas[rows // 2 - round(elevation / 10), columns // 2 - round(_left_of_front(azimuth) / 5)] = "o"
    drawn = "\n".join(f"{90 - 10 * i:>4}° " + "".join(row).rstrip() for i, row in enumerate(canvas))
    ruler = f"{'':6}180°{'left':>14}{'front':>20}{'right':>18}{'180°':>17}"
    return f"{drawn}\n{ruler}\no: directions of the set"


def _left_of_front(azimuth: float) -> float:
    """`azimuth` from −180 to less than 180 degrees."""
    return (azimuth + 180.0) % 360.0 - 180.0


def _mark(
    canvas: np.ndarray[tuple[int, int], np.dtype[np.str_]], degrees: float, radius: float, name: str
) -> None:
    angle = math.radians(degrees)
    row = _RADIUS - round(radius * _RADIUS * math.cos(angle))
    column = 2 * _RADIUS - round(2 * radius * _RADIUS * math.sin(angle))
    present = canvas[row, column]
    canvas[row, column] = "B" if {str(present), name} == {"L", "R"} or present == "B" else name
