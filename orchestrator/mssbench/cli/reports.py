"""Commands that turn runs into something to read."""

from __future__ import annotations

import click

from ..launch import finish
from .runs import conclude
from .shared import cli, existing_run


@cli.command()
@click.argument("run")
@click.option("--audio/--no-audio", default=True, help="Whether the report carries audio excerpts.")
def report(run: str, audio: bool) -> None:
    """Write the tables and the report of RUN (its id or its folder) again, from what is there now."""
    job = existing_run(run)
    finish(job, audio=audio)
    conclude(job)
