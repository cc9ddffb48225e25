"""Commands for whole folders, without a run."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mssbench_service.errors import printable

from ..runs.results import score_columns, write_csv
from ..tools.batch import evaluate_folders, failed, synthesise
from .shared import (
    cli,
    current_runtime,
    hrir_of,
    metrics_option,
    progress_bar,
    reference_of,
    rendering_options,
    scoring_options,
)


@contextlib.contextmanager
def clean_exit_on_sigterm() -> Iterator[None]:
    """Within this block, exit on SIGTERM as on Ctrl-C, so that unfinished files are removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@cli.command()
@click.argument("musdb_dir", type=click.Path(path_type=Path))
@click.argument("out_dir", type=click.Path(path_type=Path))
@rendering_options
def synth(musdb_dir: Path, out_dir: Path, hrir: str, angles: str, **options: Any) -> None:
    """Render the tracks of a dataset binaurally.

    The tracks of MUSDB_DIR are rendered to OUT_DIR/<split>/<title>/.
    """
    runtime = current_runtime()
    with clean_exit_on_sigterm(), progress_bar("render") as show:
        count = synthesise(
            musdb_dir,
            out_dir,
            runtime,
            hrir=hrir_of(runtime, hrir),
            angles=reference_of(runtime, angles) if angles else "",
            show=show,
            **options,
        )
    click.echo(f"{count} tracks: {out_dir / options['split']}")


@cli.command()
@click.argument("ref_dir", type=click.Path(path_type=Path))
@click.argument("est_dir", type=click.Path(path_type=Path))
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Table to write.",
)
@metrics_option("--profile")  # its name in version 0.1
@click.option("--frames", type=click.Path(path_type=Path), help="Folder for the values per frame (Parquet).")
@scoring_options
def evaluate(ref_dir: Path, est_dir: Path, csv_path: Path, **options: Any) -> None:
    """Score the estimates in a folder.

    EST_DIR/<title>/<stem>.wav is compared with REF_DIR/<title>/<stem>.wav. EST_DIR may also have the layout
    of audio-separator, Demucs, MSST, Open-Unmix, Spleeter or UVR. The exit code is 1 if every row failed.
    """
    with progress_bar("evaluate") as show:
        rows = evaluate_folders(ref_dir, est_dir, current_runtime(), show=show, **options)
    write_csv(csv_path, rows, score_columns())
    click.echo(f"{len(rows)} rows, {failed(rows)} failed: {csv_path}")
    if failed(rows) == len(rows):
        click.echo(printable(f"mssbench: every row failed: {rows[0]['reason']}"), err=True)
        sys.exit(1)
