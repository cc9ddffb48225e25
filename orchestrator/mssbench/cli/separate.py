"""Separate tracks without a run."""

from __future__ import annotations

from pathlib import Path

import click
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import read_json
from mssbench_service.musdb import MIXTURE
from mssbench_service.names import path_suggestion
from mssbench_service.separation import SEPARATION_FILE

from ..tools.upload import separate_by_upload, separate_registered
from .progress import stage_bars
from .shared import cli, current_runtime, print_message, print_result, require_writable


@cli.command()
@click.argument("tracks", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="TRACK...")
@click.option("--separator", required=True, metavar="NAME", help="Separator to use.")
@click.option("--url", default="", help="URL of the service. Default: as registered.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the stems of one track. Default: separated/NAME/TRACK.",
)
@click.option(
    "--references",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with the reference stems, which some oracle separators need.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=600.0,
    help="Time to wait for a service that is busy or starting, in seconds.",
)
def separate(
    tracks: tuple[Path, ...],
    separator: str,
    url: str,
    out: Path | None,
    references: Path | None,
    patience: float,
) -> None:
    """Separate audio files into their stems.

    Of several tracks named mixture.wav, as in a dataset, TRACK is the name of their folder.

    Example: mssbench separate song.wav --separator oracle-mixture
    """
    if len(tracks) > 1 and (out or references):
        raise click.UsageError("--out and --references are for one track")
    names = [track.stem for track in tracks]
    if len(tracks) > 1:
        # The mixtures of a dataset have one name. `evaluate` finds the estimates by the names of the folders.
        names = [
            track.absolute().parent.name if track.stem == MIXTURE else name
            for track, name in zip(tracks, names, strict=True)
        ]
    folders = [out or Path("separated") / separator / name for name in names]
    if len(set(folders)) < len(folders):
        raise BadInput("two tracks have the same name, and their stems would be in one folder")
    for track, folder in zip(tracks, folders, strict=True):
        if not track.exists():
            raise NotFound(f"{track} does not exist{path_suggestion(track)}")
        require_writable(folder)
    for track, folder in zip(tracks, folders, strict=True):
        with stage_bars() as show:
            if url:
                separate_by_upload(url, separator, track, folder, references, show=show, patience=patience)
            else:
                runtime = current_runtime()
                separate_registered(
                    runtime, separator, track, folder, references, show=show, patience=patience
                )
        for path in sorted(folder.glob("*.wav")):
            print_result(str(path))
        if (folder / SEPARATION_FILE).is_file():
            for note in read_json(folder / SEPARATION_FILE).get("notes", []):
                print_message(note, colour="yellow")
