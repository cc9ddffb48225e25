"""Commands that show, cancel, compare and delete runs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import click
from mssbench_service.errors import BadInput, NotFound

from ..execution.control import cancel as cancel_run
from ..execution.control import delete as delete_run
from ..execution.gc import find_removable, temporary_folders
from ..execution.launch import POLL_SECONDS
from ..execution.queues import connect
from ..runs.compare import changes, differences
from ..runs.results import result_rows
from ..runs.run import Run, open_run
from ..runs.status import RunStatus, failures_of, status_of
from ..runs.store import open_workspace
from .progress import pace, run_bars
from .shared import cli, current_runtime, existing_run, print_message, print_result, redis_option

_SHOWN_FAILURES = 20


@cli.command()
@click.argument("run", required=False)
@click.option(
    "--follow", is_flag=True, help="Show live progress until the run ends. Default RUN: the newest run."
)
def status(run: str | None, follow: bool) -> None:
    """Show the status of runs.

    RUN is the id or the folder of one run. Default: all runs.
    """
    if follow and run is None:
        run = next(iter(open_workspace().run_ids()), None)
    with _all_runs() if run is None else contextlib.nullcontext([existing_run(run)]) as jobs:
        for job in jobs:
            now = _follow(job) if follow else status_of(job)
            print_result(_line(now))
            if run is not None:
                _shares(now)
                _failures(job)


@contextlib.contextmanager
def _all_runs() -> Iterator[list[Run]]:
    """Yield all runs, newest first. Damaged runs are skipped and reported at the end."""
    workspace, runtime = open_workspace(), current_runtime()
    found, damaged = [], []
    for name in workspace.run_ids():
        try:
            found.append(open_run(workspace.run(name), runtime))
        except NotFound:
            continue  # deleted in the meantime
        except BadInput as error:
            damaged.append(error.detail)
    if not found and not damaged:
        print_result(f"no runs in {workspace.runs}")
    yield found
    if damaged:
        raise BadInput("; ".join(damaged))


def _follow(job: Run) -> RunStatus:
    with run_bars() as show:
        while True:
            started = time.monotonic()
            now = status_of(job)
            show(now)
            if now.state != "running":
                return now
            time.sleep(max(POLL_SECONDS, 10 * (time.monotonic() - started)))


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
        print_result(
            f"  {share.condition:<10} {share.separator:<24} {share.ended}/{share.cells} ended, "
            f"{share.failed} failed"
        )
    for separator in now.separators:
        if separator["status"] == "unavailable":
            print_result(f"  {separator['name']} is unavailable: {separator['reason']}")


def _failures(job: Run) -> None:
    failures = failures_of(job)
    for failed in failures[:_SHOWN_FAILURES]:
        where = "/".join((failed.condition, failed.separator, failed.title))
        print_result(f"  {where}: {failed.step} failed ({failed.code}): {failed.detail}")
    if len(failures) > _SHOWN_FAILURES:
        print_result(f"  and {len(failures) - _SHOWN_FAILURES} more failed; the report lists them all")


@cli.command("list")
def list_runs() -> None:
    """List all runs, newest first."""
    with _all_runs() as jobs:
        rows = [("RUN", "STATE", "ENDED", "FAILED", "STARTED", "DATASET"), *map(_row, jobs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows if jobs else ():
            print_result(
                "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            )


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
    """Cancel a run, in whichever process it runs.

    RUN is its id or its folder. No further step starts. Steps that are running finish; all other cells stay
    pending. With --redis, waiting jobs are removed at once; otherwise the process that follows the run
    removes them.
    """
    job = existing_run(run)
    withdrawn = cancel_run(job, connect(redis_url) if redis_url else None)
    if redis_url:
        print_message(f"{withdrawn} waiting jobs removed")
    print_result(f"run {job.store.id} is cancelled; continue it with: mssbench resume {job.store.id}")


@cli.command()
@click.argument("run")
@redis_option
def delete(run: str, redis_url: str) -> None:
    """Delete a run with its results.

    RUN is its id or its folder. Rendered tracks stay, because other runs may use them. A run that is running
    is refused.
    """
    job = existing_run(run)
    delete_run(job, connect(redis_url) if redis_url else None)
    print_message(f"run {job.store.id} is deleted")


@cli.command()
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Largest difference between equal numbers.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Number of differences to show.",
)
def diff(before: str, after: str, tolerance: float, limit: int) -> None:
    """Compare the results of two runs.

    The exit code is 1 if any value differs. Differences between the runs' configurations, files and versions
    go to stderr.
    """
    first, second = existing_run(before), existing_run(after)
    for line in differences(first.record, second.record):
        print_message(line)
    found = changes(
        result_rows(first.store, first.record), result_rows(second.store, second.record), tolerance
    )
    for change in found[:limit]:
        print_result(str(change))
    if len(found) > limit:
        print_result(f"and {len(found) - limit} more")
    print_result(f"{len(found)} values differ")
    if found:
        sys.exit(1)


@cli.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option(
    "--estimates", is_flag=True, help="Also remove the estimates of complete runs. Their scores stay."
)
def gc(dry_run: bool, estimates: bool) -> None:
    """Remove files that no run needs.

    These are renderings without a run, and files that killed processes and deleted runs have left behind.
    """
    found = [*find_removable(open_workspace(), current_runtime(), estimates), *temporary_folders()]
    for item in found:
        print_result(f"{_size(item.size):>10}  {item.reference}  ({item.reason})")
        if not dry_run:
            item.remove()
    verb = "would be removed" if dry_run else "removed"
    print_result(f"{_size(sum(item.size for item in found))} in {len(found)} places {verb}")


def _size(size: int) -> str:
    power = min(3, max(0, size.bit_length() - 1) // 10)
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
