"""Commands for HRIR sets."""

from __future__ import annotations

from pathlib import Path

import click
from mssbench_service.errors import BadInput, TooLarge
from mssbench_service.wire import HrirRequest

from .shared import cli, current_runtime, hrir_of


@cli.group()
def hrir() -> None:
    """Inspect HRIR sets.

    Example: mssbench hrir info sphere
    """


@hrir.command("info")
@click.argument("hrir_set", metavar="SADIE_DIR|FILE.sofa|sphere")
@click.option("--rate", default=44100, help="Sample rate in Hz, if a folder has sets at several rates.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plot to this file (.png or .svg).",
)
def hrir_info(hrir_set: str, rate: int, plot: Path | None) -> None:
    """Check an HRIR set and show its properties.

    Without --plot, a polar plot of the level at both ears is printed and, for a set with elevations, a map of the
    directions.

    Example: mssbench hrir info KU100.sofa --plot directions.png
    """
    from ..datasets import hrir_plot

    if plot is not None and plot.suffix not in hrir_plot.FORMATS:
        raise BadInput(f"{plot} is not a supported image file; expected {' or '.join(hrir_plot.FORMATS)}")
    runtime = current_runtime()
    reference = hrir_of(runtime, hrir_set)
    info = runtime.describe_hrir(HrirRequest(reference, sample_rate=rate, curves=True))
    try:
        sphere = runtime.describe_hrir(HrirRequest(reference, sample_rate=rate, sphere=True))
        directions, notes = hrir_plot.describe_directions(sphere), sphere.notes
    except (BadInput, TooLarge) as error:  # the horizontal plane can be used all the same
        sphere, notes = info, info.notes
        directions = f"only the horizontal plane can be used: {error.detail}"
    lines = {
        "name": info.name,
        "convention": (info.convention or "built-in") + (", room responses" if info.room else ""),
        "sample rate": f"{info.sample_rate} Hz",
        "taps": f"{info.taps} ({1000 * info.taps / info.sample_rate:.1f} ms)",
        "azimuths": f"{len(info.azimuths)} on the horizontal plane: {hrir_plot.describe_azimuths(info.azimuths)}",
        "directions": directions,
        "distances": hrir_plot.describe_distances(sphere.distances),
        f"ITD at {info.side:g}°": f"{info.itd_90_us:.0f} µs (left earlier)",
        f"ILD at {info.side:g}°": f"{info.ild_90_db:.1f} dB (left louder)",
        "sha256": info.sha256,
    }
    for name, value in lines.items():
        click.echo(f"{name + ':':<13}{value}")
    for note in dict.fromkeys([*info.notes, *notes]):
        click.echo(f"{'note:':<13}{note}")
    if plot is not None:
        hrir_plot.save_plot(info, plot, sphere)
        click.echo(plot)
    else:
        click.echo(f"\n{hrir_plot.text_plot(info)}")
        if sphere.elevations:
            click.echo(f"\n{hrir_plot.text_map(sphere)}")
