"""The pictures of docs/scenes.md: ``python docs/scenes/make_pictures.py``, with the synthesis installed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mssbench.datasets.angles import draw_directions, draw_trajectories
from mssbench_service.wire import Room
from synth_service.heads import write_head
from synth_service.hrir import describe, load_hrir
from synth_service.rooms import response

TITLE = "The Tin Lanterns - Don't Look Down"
COLOURS = {"vocals": "#0072b2", "drums": "#d55e00", "bass": "#009e73", "other": "#b4579a"}


def elevated(axes: Axes) -> None:
    """Directions of a set, and those of the stems of some tracks."""
    with tempfile.TemporaryDirectory() as folder:
        write_head(Path(folder) / "head.sofa")
        info = describe(load_hrir(Path(folder) / "head.sofa", sphere=True))
    turned = [(azimuth + 180) % 360 - 180 for azimuth in info.azimuths]
    axes.plot(turned, info.elevations, ".", color="#999999", markersize=2, label="directions of the set")
    for stem, (azimuth, elevation) in draw_directions(TITLE, 0, info, (-45, 60)).items():
        axes.plot((azimuth + 180) % 360 - 180, elevation, "o", color=COLOURS[stem], label=stem)
    axes.set(xlim=(185, -185), xlabel="azimuth (°; left, front, right)", ylabel="elevation (°)")


def moving(axes: Axes) -> None:
    """Azimuth of each stem over time."""
    for stem, points in draw_trajectories(TITLE, 0, 20.0).items():
        time, azimuth, _ = np.array(points).T
        axes.plot(time, azimuth, color=COLOURS[stem], label=stem)
    axes.set(xlim=(0, 20), xlabel="time (s)", ylabel="azimuth (°, of all turns)")


def room(axes: Axes) -> None:
    """Energy that is still to come at the left ear (Schroeder, 1965)."""
    hrir = load_hrir("sphere")
    for rt60, colour in ((0.3, "#0072b2"), (0.6, "#d55e00")):
        whole, _ = response(Room([6.0, 4.0, 3.0], rt60, [2.5, 2.0, 1.5], 1.5), hrir, 60.0)
        decay = np.cumsum(whole[0, ::-1] ** 2)[::-1]
        time = np.arange(decay.size) / hrir.sample_rate
        axes.plot(time, 10 * np.log10(decay / decay[0] + 1e-12), color=colour, label=f"RT60 {rt60:g} s")
    axes.set(xlim=(0, 0.6), ylim=(-60, 0), xlabel="time (s)", ylabel="energy decay, left ear (dB)")


def main(folder: Path) -> None:
    """Write all pictures into `folder`."""
    for draw in (elevated, moving, room):
        figure = Figure(figsize=(6.4, 2.6), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
        figure.savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
