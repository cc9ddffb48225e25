"""Commands that start, follow and change runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from mssbench_service.wire import SCORE_PROFILES

from ..config import CONDITIONS, RunConfig
from ..control import retry_failed
from ..launch import (
    execute_embedded,
    execute_inline,
    execute_queued,
    forget_scores,
    open_run,
    prepare,
)
from ..progress import progress_of
from ..runtime import Runtime
from ..selfcheck import SelfCheckFailed, self_check
from ..status import status_of
from ..steps import Run
from .data import DEMO_DATASET
from .progress import run_bars
from .shared import (
    cli,
    console,
    current_runtime,
    current_workspace,
    existing_run,
    hrir_of,
    names_in,
    reference_of,
    rendering_options,
    scheduling_options,
    scoring_options,
)


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
    runtime = current_runtime()
    config = RunConfig(
        dataset=reference_of(runtime, dataset),
        hrir=hrir_of(runtime, hrir),
        angles=reference_of(runtime, angles) if angles else "",
        separators=names_in(separators),
        conditions=names_in(conditions),
        **options,
    )
    start_run(config, runtime, run_id, retry_failed, inline, redis_url)


@cli.command()
@click.option("--inline", is_flag=True, help="In this process: no Redis, no workers.")
def demo(inline: bool) -> None:
    """Write the demo dataset, benchmark every oracle separator and probe on it, and report.

    Fails if a probe does not score what is known beforehand.
    """
    from ..demo import write_demo

    runtime = current_runtime()
    dataset = current_workspace().root / DEMO_DATASET
    write_demo(dataset)
    # BSS Eval is left out for speed: that of the other metrics is what the demo is about.
    config = RunConfig(dataset=runtime.root.reference(dataset), separators=["oracle"], bsseval=False)
    job = start_run(config, runtime, "", False, inline, "")
    try:
        confirmed = self_check(job.store.folder)
    except SelfCheckFailed as error:
        click.echo(f"mssbench: {error}", err=True)
        sys.exit(1)
    console.print(f"self-check: {confirmed} known scores of the probes confirmed", highlight=False)


def start_run(
    config: RunConfig, runtime: Runtime, run_id: str, again: bool, inline: bool, redis_url: str
) -> Run:
    workspace = current_workspace()
    job = prepare(config, workspace, runtime, shlex.join(["mssbench", *sys.argv[1:]]), run_id)
    for separator in job.record.separators:
        if separator.status == "unavailable":
            console.print(
                f"{separator.name} is unavailable: {separator.reason}", style="yellow", markup=False
            )
    if again:
        retry_failed(job)
    console.print(f"run {job.store.id}: {len(job.record.cells())} cells", markup=False, highlight=False)
    execute(job, inline, redis_url)
    return job


def execute(job: Run, inline: bool, redis_url: str) -> None:
    with run_bars() as show:
        if inline:
            execute_inline(job, show)
        elif redis_url:
            execute_queued(job, redis_url, show)
        else:
            execute_embedded(job, show)
    conclude(job)


def conclude(job: Run) -> None:
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
    workspace, runtime = current_workspace(), current_runtime()
    ids = [run_id] if run_id else workspace.run_ids()
    for name in ids:
        status = status_of(open_run(workspace.run(name), runtime))
        progress = status.progress
        click.echo(
            f"{name}: {status.state}, {progress.ended}/{progress.cells} cells ended, "
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
    job = existing_run(run)
    with job.store.exclusive():
        count = forget_scores(job, profile, bsseval, aggregate)
    console.print(f"run {job.store.id}: {count} cells to score again", markup=False, highlight=False)
    execute(job, inline, redis_url)
