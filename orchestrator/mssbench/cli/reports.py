"""Commands that write reports."""

from __future__ import annotations

from pathlib import Path

import click
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.names import path_suggestion

from ..execution.launch import finish
from ..runs.store import open_workspace
from .runs import conclude
from .shared import cli, existing_run, existing_store, names_in, require_writable, targets_option


@cli.command()
@click.argument("run")
@click.option("--audio/--no-audio", default=True, help="Include audio excerpts in the report.")
@click.option(
    "--listen",
    "players",
    multiple=True,
    metavar="CONDITION/SEPARATOR/TITLE/STEM",
    help="Add a player for this stem before the others. Can be given several times.",
)
@targets_option
def report(run: str, audio: bool, players: tuple[str, ...], targets: str) -> None:
    """Write the tables and the report of a run again.

    RUN is its id or its folder. With --targets, the report is about some of the targets that were scored.

    Example: mssbench report RUN
    """
    if players and not audio:
        raise click.UsageError("--listen and --no-audio exclude each other")
    cells = [_cell(text) for text in players]
    job = existing_run(run)
    finish(job, audio=audio, cells=cells, targets=names_in(targets))
    conclude(job)


def _cell(text: str) -> tuple[str, str, str, str]:
    parts = text.split("/")
    if len(parts) != 4:
        raise BadInput(f"{text!r} is not a stem of a run; expected condition/separator/title/stem")
    return parts[0], parts[1], parts[2], parts[3]


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN|SUMMARY.json...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the site. Default: runs/leaderboard in the data root.",
)
def leaderboard(runs: tuple[str, ...], out: Path | None) -> None:
    """Write a static site that compares runs.

    The site has an index, a page per separator and the methodology. Give a run by its id, its folder, or the
    summary.json of its report. The summary.json is all that others need to send. Any static web server can
    serve OUT.

    Example: mssbench leaderboard RUN RUN -o site
    """
    from ..report import build_leaderboard

    require_writable(out)
    index = build_leaderboard([_source(run) for run in runs], out or open_workspace().runs / "leaderboard")
    click.echo(f"leaderboard: {index}")


def _source(run: str) -> Path:
    """Return the path of a run's folder or summary; a name that is not a path is the id of a run."""
    path = Path(run)
    if path.exists():
        return path
    if path.name != run:
        raise NotFound(
            f"{run} does not exist; expected a run's folder or a summary.json{path_suggestion(path)}"
        )
    return existing_store(run).folder
