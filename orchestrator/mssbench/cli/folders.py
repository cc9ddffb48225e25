"""Commands for whole folders, without a run."""

from __future__ import annotations

import contextlib
import shlex
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from mssbench_service.errors import printable
from mssbench_service.musdb import SPLITS

from ..execution.launch import finish
from ..runs.results import print_csv, score_columns, write_csv
from ..tools.batch import check_device, failed, find_folder_estimates, score, synthesise
from ..tools.imported import imported_run
from ..tools.museval import Windows, find_folder_scores, rows_of, write_scores
from .progress import progress_bar
from .runs import conclude
from .shared import (
    cli,
    current_runtime,
    hrir_of,
    json_option,
    metrics_option,
    names_in,
    print_json,
    print_message,
    print_result,
    reference_of,
    rendering_options,
    require_writable,
    scoring_options,
    targets_option,
)

STDOUT = Path("-")

_SHOWN = ("in_place", "SSR", "SRR", "d_itd_us", "d_ild_db", "SDR", "paper_SSR", "paper_SRR")
"""Metrics of the table that `evaluate` prints, as far as they were computed."""


def _print_medians(rows: Sequence[dict[str, Any]]) -> None:
    """Print the median over the tracks of each stem."""
    stems = dict.fromkeys(str(row["source"]) for row in rows)
    shown = [name for name in _SHOWN if any(isinstance(row.get(name), float) for row in rows)]
    lines = [("median", *shown)]
    for stem in stems:
        found = [row for row in rows if row["source"] == stem]
        values = [[row[name] for row in found if isinstance(row.get(name), float)] for name in shown]
        lines.append((stem, *(f"{statistics.median(some):.2f}" if some else "-" for some in values)))
    for line in lines:
        print_result(
            "".join(f"{text:<16}" if not place else f"{text:>12}" for place, text in enumerate(line))
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

    Example: mssbench synth /data/MUSDB18-HQ rendered --hrir sphere
    """
    require_writable(out_dir)
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
    help="Table to write; -: standard output.",
)
@click.option("--name", default="", help="Name of the separator: make a run of its estimates, with a report.")
@click.option("--run-id", default="", help="Name of that run. Default: made from its settings and files.")
@targets_option
@metrics_option("--profile")  # its name in version 0.1
@click.option("--frames", type=click.Path(path_type=Path), help="Folder for the values per frame (Parquet).")
@click.option(
    "--museval-json",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the scores in the format of museval.",
)
@click.option(
    "--from-museval", is_flag=True, help="EST_DIR holds scores in the format of museval, not audio."
)
@scoring_options
@click.option("--device", help="Device of PyTorch to compute on, such as cuda. Default: none, NumPy.")
@json_option
def evaluate(
    ref_dir: Path,
    est_dir: Path,
    csv_path: Path | None,
    name: str,
    run_id: str,
    targets: str,
    frames: Path | None,
    museval_json: Path | None,
    from_museval: bool,
    device: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score the estimates in a folder.

    EST_DIR/<title>/<stem>.wav is compared with REF_DIR/<title>/<stem>.wav. EST_DIR may also have the layout
    of audio-separator, Demucs, MSST, Open-Unmix, Spleeter or UVR. With --name, the scores become a run: report,
    leaderboard and diff work on it. One of --csv, --name, --museval-json and --json is required. The exit code is 1 if
    every row failed.

    Example: mssbench evaluate /data/MUSDB18-HQ/test estimates --csv scores.csv
    """
    if not (csv_path or name or museval_json or as_json):
        raise click.UsageError("Missing option '--csv', '--name', '--museval-json' or '--json'.")
    if as_json and csv_path == STDOUT:
        raise click.UsageError("--json and --csv - both write to standard output")
    for path in (csv_path, frames, museval_json):
        require_writable(path)
    if run_id and not name:
        raise click.UsageError("--run-id is for a run; expected --name as well")
    if museval_json and not (options["bsseval"] and options["metrics"] != "paper"):
        raise click.UsageError("--museval-json needs --bsseval and the corrected metrics")
    if frames and name:
        raise click.UsageError("--frames and --name exclude each other: a run keeps its frames")
    if from_museval and (museval_json or frames or device is not None):
        raise click.UsageError(
            "--from-museval reads scores; --device, --frames and --museval-json are for audio"
        )
    runtime, asked = current_runtime(), names_in(targets)
    if device is not None:
        check_device(device, runtime)
    scores: dict[str, dict[str, Windows]] = {}
    if from_museval:
        found, scores = find_folder_scores(ref_dir, est_dir, asked, name or "the scores")
    else:
        found = find_folder_estimates(ref_dir, est_dir, asked, name or "the estimates")
    for note in found.notes:
        print_message(note)
    with contextlib.ExitStack() as stack:
        run, tables = None, {}
        if name:
            settings = {key: options[key] for key in ("metrics", "bsseval", "aggregate")} | {"targets": asked}
            command = shlex.join(["mssbench", *sys.argv[1:]])
            run = stack.enter_context(imported_run(found, runtime, settings, command, run_id))
            tables = run.frames()
        elif museval_json and not frames:
            frames = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mssbench-frames-")))
        if frames:
            tables = {title: frames / f"{title}.parquet" for title in found.sets}
        if from_museval:
            scored = rows_of(found, scores, options["aggregate"])
        else:
            with progress_bar("evaluate") as show:
                scored = score(found, runtime, tables, device=device, show=show, **options)
        rows = [row for of_title in scored.values() for row in of_title]
        if museval_json:
            split = ref_dir.resolve().name
            for title in scored:
                if tables[title].is_file():  # not of a title that failed
                    write_scores(
                        museval_json / (split if split in SPLITS else "test") / f"{title}.json", tables[title]
                    )
        if csv_path == STDOUT:
            print_csv(sys.stdout, rows, score_columns())
        elif csv_path:
            write_csv(csv_path, rows, score_columns())
        if run:
            run.save(scored)
    piped = csv_path == STDOUT or as_json
    if as_json:
        print_json(rows)
    elif not piped:
        _print_medians(rows)
    written = f": {csv_path}" if csv_path and csv_path != STDOUT else ""
    click.echo(f"{len(rows)} rows, {failed(rows)} failed{written}", err=piped)
    if run:
        finish(run.run)
        conclude(run.run)
    if failed(rows) == len(rows):
        click.echo(printable(f"mssbench: every row failed: {rows[0]['reason']}"), err=True)
        sys.exit(1)
