"""Commands that look at runs from outside, and end or tidy them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from mssbench_service.errors import BadInput, NotFound

from ..execution.control import cancel as cancel_run
from ..execution.control import delete as delete_run
from ..execution.gc import find_removable
from ..execution.launch import LOOK_SECONDS, open_run
from ..execution.queues import connect
from ..runs.compare import changes, differences
from ..runs.results import result_rows
from ..runs.run import Run
from ..runs.status import RunStatus, failures_of, status_of
from ..runs.store import open_workspace
from .progress import pace, run_bars
from .runs import say
from .shared import cli, current_runtime, existing_run, redis_option, tell

_SHOWN_FAILURES = 20


@cli.command()
@click.argument("run", required=False)
@click.option(
    "--follow", is_flag=True, help="Show live progress until the run ends (default: the newest run)."
)
def status(run: str | None, follow: bool) -> None:
    """How far RUN (its id or its folder) is; default: all runs."""
    if follow and run is None:
        run = next(iter(open_workspace().run_ids()), None)
    with _all_runs() if run is None else contextlib.nullcontext([existing_run(run)]) as jobs:
        for job in jobs:
            now = _follow(job) if follow else status_of(job)
            tell(_line(now))
            if run is not None:
                _shares(now)
                _failures(job)


@contextlib.contextmanager
def _all_runs() -> Iterator[list[Run]]:
    """All runs, newest first. One that is damaged does not cost the others, and is complained of at the end."""
    workspace, runtime = open_workspace(), current_runtime()
    found, damaged = [], []
    for name in workspace.run_ids():
        try:
            found.append(open_run(workspace.run(name), runtime))
        except NotFound:
            continue  # deleted this very moment
        except BadInput as error:
            damaged.append(error.detail)
    if not found and not damaged:
        tell(f"no runs in {workspace.runs}")
    yield found
    if damaged:
        raise BadInput("; ".join(damaged))


def _follow(job: Run) -> RunStatus:
    with run_bars() as show:
        while True:
            begun = time.monotonic()
            now = status_of(job)
            show(now)
            if now.state != "running":
                return now
            time.sleep(max(LOOK_SECONDS, 10 * (time.monotonic() - begun)))


def _line(now: RunStatus) -> str:
    done, speed = now.progress, pace(now)
    return (
        f"{now.id}: {now.state}, {done.ended}/{done.cells} cells ended, "
        f"{done.failed} failed, {done.rendered}/{done.to_render} tracks rendered"
        + (f", {speed}" if speed else "")
        + (f"; {now.problem}" if now.problem else "")
    )


def _shares(now: RunStatus) -> None:
    for share in now.by_separator:
        tell(
            f"  {share.condition:<10} {share.separator:<24} {share.ended}/{share.cells} ended, "
            f"{share.failed} failed"
        )
    for separator in now.separators:
        if separator["status"] == "unavailable":
            tell(f"  {separator['name']} is unavailable: {separator['reason']}")


def _failures(job: Run) -> None:
    failures = failures_of(job)
    for failed in failures[:_SHOWN_FAILURES]:
        where = "/".join((failed.condition, failed.separator, failed.title))
        tell(f"  {where}: {failed.step} failed ({failed.code}): {failed.detail}")
    if len(failures) > _SHOWN_FAILURES:
        tell(f"  and {len(failures) - _SHOWN_FAILURES} more failed; the report lists them all")


@cli.command("list")
def list_runs() -> None:
    """All runs, newest first."""
    with _all_runs() as jobs:
        rows = [("RUN", "STATE", "ENDED", "FAILED", "BEGUN", "DATASET"), *map(_row, jobs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows if jobs else ():
            tell("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(job: Run) -> tuple[str, ...]:
    now = status_of(job)
    done = now.progress
    return (
        now.id,
        now.state,
        f"{done.ended}/{done.cells}",
        str(done.failed),
        now.created,
        job.record.config.dataset,
    )


@cli.command()
@click.argument("run")
@redis_option
def cancel(run: str, redis_url: str) -> None:
    """Begin no further step of RUN, whoever runs it; cells that have not ended stay pending.

    With the URL of the Redis that its jobs wait in, they are taken out at once; without it, whoever follows
    the run does so, and workers leave alone what they find.
    """
    job = existing_run(run)
    withdrawn = cancel_run(job, connect(redis_url) if redis_url else None)
    say(f"{withdrawn} waiting jobs withdrawn" if redis_url else "whoever runs it stops")
    tell(f"run {job.store.id} is cancelled; mssbench resume {job.store.id} goes on with it")


@cli.command()
@click.argument("run")
@redis_option
def delete(run: str, redis_url: str) -> None:
    """Remove RUN with all that came out of it. Its rendered tracks stay, for other runs may use them."""
    job = existing_run(run)
    delete_run(job, connect(redis_url) if redis_url else None)
    say(f"run {job.store.id} is removed")


@cli.command()
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Numbers this close are equal.",
)
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Changes to show.")
def diff(before: str, after: str, tolerance: float, limit: int) -> None:
    """Which values of two runs' results differ. Exit code 1 if any does.

    What was different about the runs themselves goes to stderr.
    """
    first, second = existing_run(before), existing_run(after)
    for line in differences(first.record, second.record):
        say(line)
    found = changes(
        result_rows(first.store, first.record), result_rows(second.store, second.record), tolerance
    )
    for change in found[:limit]:
        tell(str(change))
    if len(found) > limit:
        tell(f"and {len(found) - limit} more")
    tell(f"{len(found)} values differ")
    if found:
        sys.exit(1)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--estimates", is_flag=True, help="Also the estimates of complete runs; their scores stay.")
def gc(dry_run: bool, estimates: bool) -> None:
    """Remove what no run needs: renderings without a run, leftovers of killed processes and deleted runs."""
    found = find_removable(open_workspace(), current_runtime(), estimates)
    for litter in found:
        tell(f"{_size(litter.size):>10}  {litter.reference}  ({litter.reason})")
        if not dry_run:
            litter.remove()
    verb = "would be removed" if dry_run else "removed"
    tell(f"{_size(sum(litter.size for litter in found))} in {len(found)} places {verb}")


def _size(size: int) -> str:
    power = min(3, max(0, size.bit_length() - 1) // 10)
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
