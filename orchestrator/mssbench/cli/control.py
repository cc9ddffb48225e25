"""Commands that cancel, compare and delete runs."""

from __future__ import annotations

import sys

import click

from ..execution.control import cancel as cancel_run
from ..execution.control import delete as delete_run
from ..execution.gc import find_removable, temporary_folders
from ..execution.queues import connect
from ..report.paired_differences import paired_differences
from ..runs.compare import changes, differences
from ..runs.results import result_rows
from .shared import (
    cli,
    current_runtime,
    existing_run,
    json_option,
    print_json,
    print_message,
    print_result,
    run_redis_option,
)


@cli.command()
@click.argument("run")
@run_redis_option
def cancel(run: str, redis_url: str) -> None:
    """Cancel a run, in whichever process it runs.

    RUN is its id or its folder. No further step starts. Steps that are running finish; all other cells stay
    pending. With --redis, waiting jobs are removed at once; otherwise the process that follows the run
    removes them.

    Example: mssbench cancel RUN
    """
    job = existing_run(run)
    withdrawn = cancel_run(job, connect(redis_url) if redis_url else None)
    if redis_url:
        print_message(f"{withdrawn} waiting jobs removed")
    print_result(f"run {job.store.id} is cancelled; continue it with: mssbench resume {job.store.id}")


@cli.command()
@click.argument("run")
@run_redis_option
def delete(run: str, redis_url: str) -> None:
    """Delete a run with its results.

    RUN is its id or its folder. Rendered tracks stay, because other runs may use them. A run that is running
    is refused.

    Example: mssbench delete RUN
    """
    job = existing_run(run)
    delete_run(job, connect(redis_url) if redis_url else None)
    print_message(f"run {job.store.id} is deleted")


@cli.command()
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=0.0, help="Largest difference between equal numbers."
)
@click.option("--values", is_flag=True, help="Show each value that differs.")
@click.option("--limit", type=click.IntRange(min=0), default=50, help="Number of values to show.")
@json_option
def diff(before: str, after: str, tolerance: float, values: bool, limit: int, as_json: bool) -> None:
    """Compare the results of two runs.

    For each metric, separator and condition with values that differ: the median of the paired differences (second
    minus first) over tracks and stems, with its 95 % bootstrap interval, which resamples tracks. The exit code is 1 if
    any value differs. Differences between the runs' configurations, files and versions go to stderr.

    Example: mssbench diff RUN RUN --tolerance 1e-9 --values
    """
    first, second = existing_run(before), existing_run(after)
    for line in differences(first.record, second.record):
        print_message(line)
    rows, other_rows = (list(result_rows(one.store, one.record)) for one in (first, second))
    found = changes(rows, other_rows, tolerance)
    shifts = paired_differences(rows, other_rows, found)
    if as_json:
        print_json({"differ": len(found), "paired": shifts, "values": [vars(one) for one in found[:limit]]})
    else:
        for shift in shifts:
            interval = "" if shift["low"] is None else f" [{shift['low']:.4g}, {shift['high']:.4g}]"
            print_result(
                f"{shift['condition']}/{shift['separator']} {shift['column']}: {shift['difference']:+.4g}{interval}, "
                f"{shift['values']} values differ"
            )
        for change in found[: limit if values else 0]:
            print_result(str(change))
        if values and len(found) > limit:
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

    Example: mssbench gc --dry-run
    """
    found = [*find_removable(current_runtime(), estimates), *temporary_folders()]
    for item in found:
        print_result(f"{_size(item.size):>10}  {item.reference}  ({item.reason})")
        if not dry_run:
            item.remove()
    verb = "would be removed" if dry_run else "removed"
    print_result(f"{_size(sum(item.size for item in found))} in {len(found)} places {verb}")


def _size(size: int) -> str:
    power = min(3, max(0, size.bit_length() - 1) // 10)
    return f"{size / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
