"""The command line. Bad input is one line on stderr and exit code 2; a defect of ours is exit code 1."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from mssbench_service.errors import BadInput, BenchError, NotReady
from mssbench_service.wire import PROFILES, SCORE_COLUMNS, SCORE_PROFILES
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import __version__
from .config import AGGREGATES, CONDITIONS, RunConfig
from .folders import evaluate_folders, failed, synthesise
from .launch import Progress as RunProgress
from .launch import (
    execute_embedded,
    execute_inline,
    execute_queued,
    finish,
    forget_scores,
    open_run,
    prepare,
    progress_of,
    retry_failed,
)
from .queues import connect, queue_names, serve_queue, worker_is_alive
from .results import write_csv
from .runtime import Runtime, make_runtime
from .steps import Run
from .store import Workspace

DEMO_DATASET = Path("data/demo")
# Progress goes to stderr: stdout is for results that a script may read.
console = Console(stderr=True)


def main() -> None:
    """Entry point: turns every failure into one line and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        cli(standalone_mode=False)
    except BenchError as error:
        _fail(error.detail, 2)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "mssbench"
        _fail(f"{error.format_message()} (see {command} --help)", 2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; the same command continues where it stopped", 130)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _fail(f"{named}{error.strerror or error}", 2)
    except Exception as error:  # a defect: one line all the same, the traceback on request
        if os.environ.get("MSSBENCH_DEBUG"):
            raise
        _fail(f"{type(error).__name__}: {error} (a defect; MSSBENCH_DEBUG=1 shows where)", 1)


def _fail(message: str, code: int) -> None:
    print(f"mssbench: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mssbench")
def cli() -> None:
    """Binaural MSS Bench: does a music source separation model keep the spatial image of binaural audio?"""


def _workspace() -> Workspace:
    return Workspace(Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd()))


def _runtime() -> Runtime:
    return make_runtime(_workspace().root)


def _reference(runtime: Runtime, value: str) -> str:
    """A path given on the command line (relative to the working directory), as the services know it."""
    return runtime.root.reference(Path(value))


def _hrir(runtime: Runtime, value: str) -> str:
    return value if value == "sphere" else _reference(runtime, value)


@cli.group()
def data() -> None:
    """Datasets."""


@data.command("demo")
@click.argument("out", type=click.Path(path_type=Path), default=DEMO_DATASET)
def data_demo(out: Path) -> None:
    """Write the offline demo dataset (procedural music, MUSDB18-HQ layout) into OUT."""
    from .demo import write_demo

    for folder in write_demo(out):
        click.echo(folder)


_hrir_option = click.option(
    "--hrir", default="sphere", show_default=True, metavar="SADIE_DIR|FILE.sofa|sphere", help="HRIR set."
)
_rendering_options = [
    click.option("--angles", default="", metavar="FILE.json", help="Table of azimuths; else they are drawn."),
    click.option("--seed", default=0, show_default=True, help="Of the drawn azimuths."),
    click.option(
        "--profile",
        type=click.Choice(PROFILES),
        default="matched",
        show_default=True,
        help="How the binaural tracks are rendered.",
    ),
    click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True),
    click.option("--resample-hrir", is_flag=True, help="Resample the HRIR set to the tracks' rate."),
]


def rendering_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (_hrir_option, *_rendering_options):
        command = option(command)
    return command


_scoring_options = [
    click.option("--bsseval/--no-bsseval", default=True, help="SDR, ISR, SIR and SAR, which cost most."),
    click.option(
        "--aggregate",
        type=click.Choice(AGGREGATES),
        default="median",
        show_default=True,
        help="How the values of frames become the track's.",
    ),
]


def scoring_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in _scoring_options:
        command = option(command)
    return command


_scheduling_options = [
    click.option("--inline", is_flag=True, help="In this process: no Redis, no workers."),
    click.option(
        "--redis",
        "redis_url",
        envvar="MSSBENCH_REDIS_URL",
        default="",
        metavar="URL",
        help="Use this Redis and its workers; default: a private one.",
    ),
]


def scheduling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in _scheduling_options:
        command = option(command)
    return command


@cli.command()
@click.argument("musdb_dir", type=click.Path(path_type=Path))
@click.argument("out_dir", type=click.Path(path_type=Path))
@rendering_options
def synth(musdb_dir: Path, out_dir: Path, hrir: str, angles: str, **options: Any) -> None:
    """Render the tracks of MUSDB_DIR binaurally into OUT_DIR/<split>/<title>/."""
    runtime = _runtime()
    with _bar("render") as show:
        count = synthesise(
            musdb_dir,
            out_dir,
            runtime,
            hrir=_hrir(runtime, hrir),
            angles=_reference(runtime, angles) if angles else "",
            show=show,
            **options,
        )
    click.echo(f"{count} tracks: {out_dir / options['split']}")


@cli.command()
@click.argument("ref_dir", type=click.Path(path_type=Path))
@click.argument("est_dir", type=click.Path(path_type=Path))
@click.option("--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--profile", type=click.Choice(SCORE_PROFILES), default="all", show_default=True)
@click.option("--frames", type=click.Path(path_type=Path), help="Folder for the values of frames (Parquet).")
@scoring_options
def evaluate(ref_dir: Path, est_dir: Path, csv_path: Path, **options: Any) -> None:
    """Score EST_DIR/<title>/<stem>.wav against REF_DIR/<title>/<stem>.wav.

    EST_DIR may also be what Demucs, Open-Unmix or Spleeter wrote.
    """
    with _bar("evaluate") as show:
        rows = evaluate_folders(ref_dir, est_dir, _runtime(), show=show, **options)
    write_csv(csv_path, rows, SCORE_COLUMNS)
    click.echo(f"{len(rows)} rows, {failed(rows)} failed: {csv_path}")


@cli.command()
@click.option("--dataset", required=True, help="Folder in the MUSDB18-HQ layout.")
@rendering_options
@click.option(
    "--separators", default="", metavar="A,B", help="Separators or services; default: all there are."
)
@click.option("--conditions", default=",".join(CONDITIONS), show_default=True, metavar="A,B")
@click.option("--tracks", type=int, help="Only the first N tracks.")
@click.option("--metrics", type=click.Choice(SCORE_PROFILES), default="all", show_default=True)
@scoring_options
@click.option("--run-id", default="", help="Name of the run; default: from its configuration and files.")
@click.option("--retry-failed", is_flag=True, help="Try the cells again that ended with an error.")
@scheduling_options
def run(
    dataset: str,
    hrir: str,
    angles: str,
    separators: str,
    conditions: str,
    run_id: str,
    retry_failed: bool,
    inline: bool,
    redis_url: str,
    **options: Any,
) -> None:
    """Run a benchmark: render, separate, evaluate, report. The same command continues a stopped run."""
    runtime = _runtime()
    config = RunConfig(
        dataset=_reference(runtime, dataset),
        hrir=_hrir(runtime, hrir),
        angles=_reference(runtime, angles) if angles else "",
        separators=_names(separators),
        conditions=_names(conditions),
        **options,
    )
    _run(config, runtime, run_id, retry_failed, inline, redis_url)


@cli.command()
@click.option("--inline", is_flag=True, help="In this process: no Redis, no workers.")
def demo(inline: bool) -> None:
    """Write the demo dataset, benchmark every oracle separator and probe on it, and report."""
    from .demo import write_demo

    runtime = _runtime()
    dataset = _workspace().root / DEMO_DATASET
    write_demo(dataset)
    # BSS Eval is left out for speed: that of the other metrics is what the demo is about.
    config = RunConfig(dataset=runtime.root.reference(dataset), separators=["oracle"], bsseval=False)
    _run(config, runtime, "", False, inline, "")


def _run(config: RunConfig, runtime: Runtime, run_id: str, again: bool, inline: bool, redis_url: str) -> None:
    workspace = _workspace()
    job = prepare(config, workspace, runtime, shlex.join(["mssbench", *sys.argv[1:]]), run_id)
    for separator in job.record.separators:
        if separator.status == "unavailable":
            console.print(
                f"{separator.name} is unavailable: {separator.reason}", style="yellow", markup=False
            )
    if again:
        retry_failed(job)
    console.print(f"run {job.store.id}: {len(job.record.cells())} cells", markup=False, highlight=False)
    _execute(job, inline, redis_url)


def _execute(job: Run, inline: bool, redis_url: str) -> None:
    with _run_bars(job) as show:
        if inline:
            execute_inline(job, show)
        elif redis_url:
            execute_queued(job, redis_url, show)
        else:
            execute_embedded(job, show)
    _conclude(job)


def _conclude(job: Run) -> None:
    progress = progress_of(job)
    if progress.failed:
        console.print(
            f"{progress.failed} of {progress.cells} cells failed; the report lists them", style="red"
        )
    click.echo(f"report: {_shown(job.store.report)}")


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@cli.command()
@click.argument("run_id", required=False)
def status(run_id: str | None) -> None:
    """How far a run is (default: all runs)."""
    workspace, runtime = _workspace(), _runtime()
    ids = [run_id] if run_id else workspace.run_ids()
    for name in ids:
        progress = progress_of(open_run(workspace.run(name), runtime))
        click.echo(
            f"{name}: {progress.state}, {progress.ended}/{progress.cells} cells ended, "
            f"{progress.failed} failed, {progress.rendered}/{progress.to_render} tracks rendered"
        )
    if not ids:
        click.echo(f"no runs in {workspace.runs}")


@cli.command()
@click.argument("run")
@click.option("--profile", type=click.Choice(SCORE_PROFILES), default="all", show_default=True)
@scoring_options
@scheduling_options
def rescore(run: str, profile: str, bsseval: bool, aggregate: str, inline: bool, redis_url: str) -> None:
    """Score the stored estimates of RUN (its id or its folder) again, without separating anything."""
    job = _existing(run)
    with job.store.exclusive():
        count = forget_scores(job, profile, bsseval, aggregate)
    console.print(f"run {job.store.id}: {count} cells to score again", markup=False, highlight=False)
    _execute(job, inline, redis_url)


def _existing(run: str) -> Run:
    """A run by its id or by the path of its folder."""
    workspace = _workspace()
    store = workspace.run(Path(run).name)
    if Path(run).name != run and Path(run).absolute() != store.folder.absolute():
        raise BadInput(f"{run} is not in {workspace.runs}")
    return open_run(store, _runtime())


@cli.command()
@click.argument("run")
@click.option("--audio/--no-audio", default=True, help="Whether the report carries audio excerpts.")
def report(run: str, audio: bool) -> None:
    """Write the tables and the report of RUN (its id or its folder) again, from what is there now."""
    job = _existing(run)
    finish(job, audio=audio)
    _conclude(job)


@cli.command()
@click.argument("queue", required=False)
@click.option("--redis", "redis_url", envvar="MSSBENCH_REDIS_URL", required=True, metavar="URL")
@click.option("--check", is_flag=True, help="Only say whether a worker of this machine is alive.")
def worker(queue: str | None, redis_url: str, check: bool) -> None:
    """Be a worker on QUEUE (render, evaluate, separate-<service>) until stopped."""
    connection = connect(redis_url)
    if check:
        if not worker_is_alive(connection):
            raise NotReady("no worker of this machine is alive")
        return
    if queue is None:
        raise BadInput(f"no queue named; expected one of {', '.join(queue_names())}")
    serve_queue(queue, connection)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve the orchestrator's API."""
    import uvicorn

    uvicorn.run("mssbench.api:app", host=host, port=port, log_level="info")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    with _progress() as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _run_bars(job: Run) -> Iterator[Callable[[RunProgress], None]]:
    with _progress() as progress:
        first = progress_of(job)
        render = progress.add_task("render", total=first.to_render, visible=bool(first.to_render))
        separate = progress.add_task("separate", total=first.cells)
        evaluate = progress.add_task("evaluate", total=first.cells)

        def show(now: RunProgress) -> None:
            progress.update(render, completed=now.rendered)
            progress.update(separate, completed=max(now.separated, now.ended))
            progress.update(evaluate, completed=now.ended)

        yield show
