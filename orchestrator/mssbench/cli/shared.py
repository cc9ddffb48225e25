"""Shared by all commands: the command group, options, output, references."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from binaural_metrics.sets import METRIC_SETS
from mssbench_service.errors import BadInput, NotFound, printable
from mssbench_service.names import suggestion
from mssbench_service.wire import RENDER_PROFILES

from ..datasets.selection import titles_in
from ..runs.config import AGGREGATES, require_path
from ..runs.run import Run, open_run
from ..runs.status import RunStatus, format_duration
from ..runs.store import RunStore, open_workspace
from ..services.runtime import Runtime, make_runtime
from ..settings.secrets import secret
from .commands import Choice
from .commands import cli as cli


def print_result(line: str) -> None:
    """Write `line` to stdout without control characters, which titles and paths may contain."""
    click.echo(printable(line))


def require_writable(path: Path | None) -> None:
    """Raise BadInput if a file or folder cannot be written at `path`. Called before the work, which may take hours."""
    if path is None or str(path) == "-":
        return
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    if nearest != path and not nearest.is_dir():
        raise BadInput(f"{path} cannot be written: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK):
        raise BadInput(f"{path} cannot be written: {nearest} has no write permission")


def print_json(value: object) -> None:
    """Write `value` to stdout as JSON, without NaN."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


def print_message(text: str, colour: str | None = None) -> None:
    """Write `text` to stderr as it is, without control characters. On a terminal, it may have a `colour`."""
    click.secho(printable(text), err=True, fg=None if os.environ.get("NO_COLOR") else colour)


def current_runtime() -> Runtime:
    """Return a runtime that is closed at the end of the command."""
    runtime = make_runtime(open_workspace().root)
    click.get_current_context().call_on_close(runtime.close)
    return runtime


def reference_of(runtime: Runtime, value: str) -> str:
    """Return the reference of a path that is relative to the working directory."""
    require_path(value)
    return runtime.root.reference(Path(value))


def hrir_of(runtime: Runtime, value: str) -> str:
    return value if value == "sphere" else reference_of(runtime, value)


def existing_run(run: str) -> Run:
    """Open a run by its id or the path of its folder."""
    return open_run(existing_store(run), current_runtime())


def existing_store(run: str) -> RunStore:
    """The store of a run that exists, by its id or the path of its folder."""
    workspace = open_workspace()
    store = workspace.run(Path(run).name)
    if Path(run).name != run and Path(run).absolute() != store.folder.absolute():
        raise BadInput(f"{run} is not in {workspace.runs}")
    if not store.exists():
        near = suggestion(store.id, workspace.run_ids())
        raise NotFound(f"there is no run {store.id!r} in {workspace.runs}{near}")
    return store


def names_in(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


titles_option = click.option(
    "--titles",
    multiple=True,
    metavar="TITLE|PATTERN|FILE",
    help="Only these tracks. FILE has one title or pattern per line. May be repeated. Default: all.",
)


def titles_of(given: Sequence[str]) -> list[str]:
    """The values of --titles, with the lines of files in place of their names."""
    found = [titles_in(Path(text)) if Path(text).is_file() else [text] for text in given]
    return [title for titles in found for title in titles]


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds several options to a command. The last one comes first in its help."""
    return lambda command: functools.reduce(lambda changed, option: option(changed), options, command)


placement_options = together(
    click.option(
        "--angles", default="", metavar="FILE.json", help="Table of azimuths. Default: drawn at random."
    ),
    click.option("--seed", default=0, help="Seed of the drawn azimuths."),
    click.option(
        "--profile",
        type=Choice(RENDER_PROFILES),
        default="matched",
        help="How the binaural tracks are rendered.",
    ),
    click.option("--split", type=Choice(["test", "train"]), default="test", help="Split of the dataset."),
    click.option(
        "--resample-hrir", is_flag=True, help="Resample the HRIR set to the sample rate of the tracks."
    ),
)
rendering_options = together(
    click.option("--hrir", default="sphere", metavar="SADIE_DIR|FILE.sofa|sphere", help="HRIR set."),
    placement_options,
)


def metrics_option(*names: str) -> Callable[..., Any]:
    """Option --metrics; `names` are further names that it has."""
    return click.option(
        "--metrics",
        *names,
        "metrics",
        type=Choice(METRIC_SETS),
        default="all",
        help="Set of metrics: see docs/metrics.md.",
    )


targets_option = click.option(
    "--targets",
    "--sources",
    "targets",
    default="",
    metavar="A,B",
    help="What is scored: stems, accompaniment. Default: the stems that there are.",
)

scoring_options = together(
    click.option(
        "--bsseval/--no-bsseval",
        default=True,
        help="Compute SDR, ISR, SIR and SAR, which take most of the time.",
    ),
    click.option(
        "--aggregate",
        type=Choice(AGGREGATES),
        default="median",
        help="How the values of the frames are combined into one per track.",
    ),
)


def redis_option(text: str) -> Callable[..., Any]:
    """Option --redis with the help `text`."""
    variable = "MSSBENCH_REDIS_URL"
    return click.option("--redis", "redis_url", default=lambda: secret(variable), metavar="URL", help=text)


run_redis_option = redis_option("Use this Redis and its workers. Default: MSSBENCH_REDIS_URL, if set.")
scheduling_options = together(
    click.option("--inline", is_flag=True, help="Run in this process, without Redis and workers."),
    run_redis_option,
)


def throughput_text(status: RunStatus) -> str:
    """Format as ``12 cells/min, about 3 min left``; empty if the throughput is unknown."""
    if status.throughput is None:
        return ""
    left = "" if status.seconds_left is None else f", about {format_duration(status.seconds_left)} left"
    return f"{status.throughput:.3g} cells/min{left}"


def waiting_note(status: RunStatus) -> str:
    """Format as ``waiting for spleeter``; empty if the run waits for no service."""
    return f"waiting for {', '.join(status.waiting_for)}" if status.waiting_for else ""
