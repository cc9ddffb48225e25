"""Commands that turn runs into something to read."""

from __future__ import annotations

from pathlib import Path

import click
from mssbench_service.errors import BadInput, NotFound

from ..execution.launch import finish
from ..runs.store import open_workspace
from .runs import conclude
from .shared import cli, existing_run


@cli.command()
@click.argument("run")
@click.option("--audio/--no-audio", default=True, help="Whether the report carries audio excerpts.")
@click.option(
    "--listen",
    "asked",
    multiple=True,
    metavar="CONDITION/SEPARATOR/TITLE/STEM",
    help="Add a player for this stem, before those that are chosen; may be given again.",
)
def report(run: str, audio: bool, asked: tuple[str, ...]) -> None:
    """Write the tables and the report of RUN (its id or its folder) again, from what is there now."""
    if asked and not audio:
        raise click.UsageError("--listen adds audio, and --no-audio leaves it out")
    cells = [_cell(text) for text in asked]
    job = existing_run(run)
    finish(job, audio=audio, cells=cells)
    conclude(job)


def _cell(text: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != 4:
        raise BadInput(f"{text!r} is no stem of a run; expected condition/separator/title/stem")
    return parts[0], parts[1], parts[2], parts[3]


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|SUMMARY.json...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the site."
)
def leaderboard(runs: tuple[str, ...], out: Path) -> None:
    """Put runs side by side in one static site: an index, a page per separator, the methodology.

    A run is given by its id, its folder, or the summary.json of its report, which is all that others need to
    send. Any static host can serve OUT.
    """
    from ..report import build_leaderboard

    index = build_leaderboard([_source(run) for run in runs], out)
    click.echo(f"leaderboard: {index}")


def _source(run: str) -> Path:
    """A run's folder or a summary; what is no path is the id of a run."""
    path = Path(run)
    if path.exists():
        return path
    if path.name != run:
        raise NotFound(f"{run} does not exist; expected a run's folder or a summary.json")
    store = open_workspace().run(run)
    return store.folder
