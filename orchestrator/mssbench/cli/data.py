"""Datasets."""

from __future__ import annotations

from pathlib import Path

import click

from .shared import cli

DEMO_DATASET = Path("data/demo")


@cli.group()
def data() -> None:
    """Datasets."""


@data.command("demo")
@click.argument("out", type=click.Path(path_type=Path), default=DEMO_DATASET)
def data_demo(out: Path) -> None:
    """Write the offline demo dataset (procedural music, MUSDB18-HQ layout) into OUT."""
    from ..demo import write_demo

    for folder in write_demo(out):
        click.echo(folder)
