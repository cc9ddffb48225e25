"""Commands that start and continue runs."""

from __future__ import annotations

import contextlib
import functools
import itertools
import shlex
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from mssbench_service.errors import Conflict, printable
from mssbench_service.wire import parse

from ..execution.control import retry_failed as reopen_failed
from ..execution.launch import Cancelled, Change, executor, no_change
from ..execution.prepare import clear_scores, prepare
from ..runs.compare import changes, differences
from ..runs.conditions import CONDITIONS, listeners
from ..runs.config import KEEP_ESTIMATES, RunConfig, read_config, require_known, with_references
from ..runs.progress import Progress, progress_of
from ..runs.results import result_rows
from ..runs.run import Run, open_run
from ..runs.space import bytes_needed
from ..runs.store import open_workspace
from ..runs.training import training_warnings
from ..services.runtime import Runtime
from ..settings.secrets import secret, without_password
from .commands import Choice
from .conditions import demo_scenes, read_condition
from .data import DEMO_DATASET
from .model_service import serving_model
from .progress import run_bars
from .shared import (
    cli,
    current_runtime,
    existing_run,
    metrics_option,
    names_in,
    placement_options,
    print_message,
    scheduling_options,
    scoring_options,
    targets_option,
    titles_of,
    titles_option,
)


@cli.command()
@click.argument(
    "config", required=False, type=click.Path(path_type=Path, dir_okay=False), metavar="[CONFIG.toml]"
)
@click.option(
    "--dataset", default="", help="Folder in the MUSDB18-HQ layout. Required without CONFIG.toml and --like."
)
@placement_options
@click.option(
    "--hrir",
    multiple=True,
    default=("sphere",),
    metavar="SADIE_DIR|FILE.sofa|sphere",
    help="HRIR set. Several: each further one is a condition with the same placement.",
)
@click.option("--separators", default="", metavar="A,B", help="Separators or services. Default: all.")
@click.option("--conditions", default=",".join(CONDITIONS), metavar="A,B", help="Conditions.")
@click.option(
    "--condition",
    "added",
    multiple=True,
    metavar="NAME=HRIR|NAME=KEY=VALUE,…",
    help="A further condition, with settings as in CONFIG.toml (docs/scenes.md). May be repeated.",
)
@titles_option
@click.option("--tracks", type=int, help="Only the first N tracks. Default: all.")
@click.option(
    "--excerpt",
    default="",
    metavar="[START:]LENGTH",
    help="Part of each track, in seconds. Without START: the loudest part.",
)
@targets_option
@metrics_option()
@scoring_options
@click.option(
    "--keep-estimates",
    type=Choice(KEEP_ESTIMATES),
    default="scored",
    help="What is kept of scored estimates: all as they are, FLAC files, those in the report, or none.",
)
@click.option("--like", metavar="RUN", help="Repeat this run, and show what differs.")
@click.option(
    "--name",
    "--run-id",  # its name in version 0.2
    "run_id",
    default="",
    help="Name of the run. Default: made from its configuration and files.",
)
@click.option("--retry-failed", is_flag=True, help="Retry the cells that failed.")
@scheduling_options
@click.pass_context
def run(
    context: click.Context,
    /,
    config: Path | None,
    like: str | None,
    run_id: str,
    hrir: tuple[str, ...],
    added: tuple[str, ...],
    retry_failed: bool,
    inline: bool,
    redis_url: str,
    **_: Any,
) -> None:
    """Run a benchmark: render, separate, evaluate, report.

    The same command continues an interrupted run. CONFIG.toml holds settings with the names of these options;
    docs/run.toml is a complete example. Options on the command line override it.

    Example: mssbench run --dataset /data/MUSDB18-HQ --hrir KU100.sofa --separators oracle --tracks 5
    """
    if config and like:
        raise click.UsageError("CONFIG.toml and --like exclude each other")
    runtime = current_runtime()
    model = existing_run(like) if like else None
    if model is not None:
        settings = asdict(model.record.config)
    else:
        settings = with_references(read_config(config), runtime.root) if config else {}
    settings |= with_references(_given(context), runtime.root)
    if further := [*listeners(hrir), *map(read_condition, added)]:
        require_known({"conditions": further}, "--condition: ")
        further = with_references({"conditions": further}, runtime.root)["conditions"]
        settings["conditions"] = [*settings.get("conditions", CONDITIONS), *further]
    if not settings.get("dataset"):
        raise click.UsageError("no dataset; expected --dataset, or CONFIG.toml with one")
    chosen = parse(RunConfig, settings)
    if model is not None:
        repeat_run(model, chosen, run_id, inline, redis_url)
        return
    job = _prepared(chosen, runtime, run_id)
    execute(job, inline, redis_url, functools.partial(reopen_failed, job) if retry_failed else no_change)


def _given(context: click.Context) -> dict[str, Any]:
    """Return the settings that were given on the command line, in the form of :class:`RunConfig`."""
    names = {setting.name for setting in fields(RunConfig)}
    given = {
        name: value
        for name, value in context.params.items()
        if name in names and context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    for name in ("separators", "conditions", "targets"):
        if name in given:
            given[name] = names_in(given[name])
    if "titles" in given:
        given["titles"] = titles_of(given["titles"])
    if "hrir" in given:
        given["hrir"] = given["hrir"][0]
    return given


@cli.command()
@click.option(
    "--model", default="", metavar="SERVICE:MODEL", help="Benchmark this model too; its weights are fetched."
)
@click.option(
    "--scenes",
    is_flag=True,
    help="Also elevated and moving sources, a room and a second head (docs/scenes.md).",
)
@scheduling_options
def demo(model: str, scenes: bool, inline: bool, redis_url: str) -> None:
    """Run a benchmark of all oracle separators on the demo dataset.

    The service of --model is started on this machine, if none is running, and stopped at the end. The exit code is 1 if
    a known-answer test does not have its expected scores.

    Example: mssbench demo --model spleeter:2stems
    """
    with serving_model(model) if model else contextlib.nullcontext():
        _demo([model] if model else [], scenes, inline, redis_url)


def _demo(models: list[str], scenes: bool, inline: bool, redis_url: str) -> None:
    from ..datasets.demo import write_demo
    from ..report.known_answers import SelfCheckFailed, self_check  # imports NumPy

    runtime = current_runtime()
    dataset = open_workspace().root / DEMO_DATASET
    write_demo(dataset)
    # Without BSS Eval, because it takes most of the time and the demo is about the other metrics.
    config = RunConfig(dataset=runtime.root.reference(dataset), separators=["oracle", *models], bsseval=False)
    if scenes:
        config.conditions = [*config.conditions, *demo_scenes(runtime.root)]
    job = _prepared(config, runtime, "")
    _work(job, inline, redis_url)
    try:
        verdict = self_check(job.store.folder)
    except SelfCheckFailed as error:
        conclude(job)
        click.echo(f"mssbench: {printable(str(error))}", err=True)
        sys.exit(1)
    print_message(f"self-check: {verdict}")
    conclude(job)


def _prepared(config: RunConfig, runtime: Runtime, run_id: str) -> Run:
    # The URL of --redis may hold a password, and reports show the command.
    command = without_password(shlex.join(["mssbench", *sys.argv[1:]]))
    job = prepare(config, runtime, command, run_id)
    for separator in job.record.separators:
        if separator.status == "unavailable":
            print_message(f"{separator.name} is unavailable: {separator.reason}", colour="yellow")
    for warning in training_warnings(job.record):
        print_message(warning, colour="yellow")
    print_message(
        f"run {job.store.id}: {len(job.record.cells())} cells, about {bytes_needed(job) / 1e9:.2f} GB on disk"
    )
    return job


def repeat_run(model: Run, config: RunConfig, run_id: str, inline: bool, redis_url: str) -> None:
    """Repeat `model` under another name. Show what differs in the runs and in their results."""
    job = _prepared(config, model.runtime, run_id or _name_of_repeat(model))
    found = differences(model.record, job.record)
    print_message(f"repeats {model.store.id}; " + ("differences:" if found else "no differences"))
    for line in found:
        print_message(f"  {line}")
    execute(job, inline, redis_url)
    changed = changes(result_rows(model.store, model.record), result_rows(job.store, job.record))
    print_message(
        f"{len(changed)} values differ from {model.store.id}"
        + (f"; show them with: mssbench diff {model.store.id} {job.store.id}" if changed else "")
    )


def _name_of_repeat(model: Run) -> str:
    """Return the next free name, or that of an incomplete repetition, which the same command continues."""
    names = (f"{model.store.id[:58]}-{number}" for number in itertools.count(2))
    stores = map(open_workspace().run, names)
    return next(
        store.id
        for store in stores
        if not store.exists() or not progress_of(open_run(store, model.runtime)).complete
    )


def execute(job: Run, inline: bool, redis_url: str, change: Change = no_change, accept: bool = False) -> None:
    """Run the open steps of `job` after `change`, and print the path of its report.

    The exit code is 1 if cells are pending, or if all have failed.
    """
    _work(job, inline, redis_url, change, accept)
    progress = conclude(job)
    if not progress.complete:
        print_message(
            f"{progress.cells - progress.ended} of {progress.cells} cells are pending; continue with: "
            f"{_resume(job, inline, redis_url)}",
            colour="red",
        )
    if not progress.complete or progress.failed == progress.cells:
        sys.exit(1)


def _work(job: Run, inline: bool, redis_url: str, change: Change = no_change, accept: bool = False) -> None:
    try:
        with run_bars() as show:
            executor(inline, redis_url)(job, show, change, accept=accept)
    except KeyboardInterrupt:
        print_message(f"interrupted; continue with: {_resume(job, inline, redis_url)}")
        sys.exit(130)
    except Cancelled:
        print_message(
            f"run {job.store.id} was cancelled; continue it with: {_resume(job, inline, redis_url)}"
        )
        sys.exit(130)


def _resume(job: Run, inline: bool, redis_url: str) -> str:
    """The command that resumes `job` where it was executed. The password of a Redis is left out."""
    where = ["--inline"] if inline else []
    if redis_url and not inline and redis_url != secret("MSSBENCH_REDIS_URL"):
        where = ["--redis", without_password(redis_url)]
    return shlex.join(["mssbench", "resume", job.store.id, *where])


def conclude(job: Run) -> Progress:
    """Print the number of failed cells and the path of the report."""
    progress = progress_of(job)
    if progress.failed:
        print_message(
            f"{progress.failed} of {progress.cells} cells failed; the report lists them", colour="red"
        )
    report, here = job.store.layout.report, Path.cwd()
    click.echo(f"report: {report.relative_to(here) if report.is_relative_to(here) else report}")
    return progress


accept_option = click.option(
    "--accept-changes",
    "accept",
    is_flag=True,
    help="Continue although weights, versions or settings have changed; each new result records this.",
)


@cli.command()
@click.argument("run")
@accept_option
@scheduling_options
def resume(run: str, accept: bool, inline: bool, redis_url: str) -> None:
    """Resume a run that was cancelled or interrupted.

    RUN is its id or its folder.

    Example: mssbench resume RUN
    """
    execute(existing_run(run), inline, redis_url, accept=accept)


@cli.command()
@click.argument("run")
@click.option("--failed", is_flag=True, default=True, help="Retry the cells that failed (the default).")
@accept_option
@scheduling_options
def retry(run: str, failed: bool, accept: bool, inline: bool, redis_url: str) -> None:
    """Retry the failed cells of a run.

    RUN is its id or its folder. Existing estimates are used again.

    Example: mssbench retry RUN
    """
    job = existing_run(run)

    def reopen() -> None:
        if not (count := reopen_failed(job, accept=accept)):
            raise Conflict(f"run {job.store.id} has no failed cells")
        print_message(f"run {job.store.id}: {count} cells to retry")

    execute(job, inline, redis_url, reopen, accept)


@cli.command()
@click.argument("run")
@metrics_option("--profile")  # its name in version 0.1
@scoring_options
@targets_option
@scheduling_options
def rescore(
    run: str, metrics: str, bsseval: bool, aggregate: str, targets: str, inline: bool, redis_url: str
) -> None:
    """Score the estimates of a run again.

    RUN is its id or its folder. Without --targets, the run's are scored. No model separates again, unless
    its estimates were removed (--keep-estimates).

    Example: mssbench rescore RUN --metrics paper
    """
    job = existing_run(run)

    def reopen() -> None:
        count, removed = clear_scores(job, metrics, bsseval, aggregate, names_in(targets))
        again = f", {removed} of them to separate again: their estimates were removed" if removed else ""
        print_message(f"run {job.store.id}: {count} cells to score again{again}")

    execute(job, inline, redis_url, reopen)
