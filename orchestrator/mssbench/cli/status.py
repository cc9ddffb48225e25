"""Commands that show runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

import click
from mssbench_service.errors import BadInput, NotFound

from ..runs.run import Run, open_run
from ..runs.status import RunStatus, failures_of, status_of
from ..runs.store import open_workspace
from .shared import (
    cli,
    current_runtime,
    existing_run,
    json_option,
    print_json,
    print_message,
    print_result,
    throughput_text,
    waiting_note,
)

_FOLLOW_SECONDS = 0.3

_SHOWN_FAILURES = 20


@cli.command()
@click.argument("run", required=False)
@click.option(
    "--follow", is_flag=True, help="Show live progress until the run ends. Default RUN: the newest run."
)
@json_option
def status(run: str | None, follow: bool, as_json: bool) -> None:
    """Show the status of runs.

    RUN is the id or the folder of one run. Default: all runs.

    Example: mssbench status RUN --follow
    """
    if follow and run is None:
        run = next(iter(open_workspace().run_ids()), None)
    with _all_runs() if run is None else contextlib.nullcontext([existing_run(run)]) as jobs:
        if as_json:
            found = [asdict(_follow(job) if follow else status_of(job)) for job in jobs]
            print_json(found if run is None else found[0])
            return
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
        print_message(f"no runs in {workspace.runs}")
    yield found
    if damaged:
        raise BadInput("; ".join(damaged))


def _follow(job: Run) -> RunStatus:
    from .progress import run_bars

    with run_bars() as show:
        while True:
            started = time.monotonic()
            now = status_of(job)
            show(now)
            if now.state != "running":
                return now
            time.sleep(max(_FOLLOW_SECONDS, 10 * (time.monotonic() - started)))


def _line(now: RunStatus) -> str:
    done = now.progress
    counts = (
        f"{now.id}: {now.state}, {done.ended}/{done.cells} cells ended, "
        f"{done.failed} failed, {done.rendered}/{done.to_render} tracks rendered"
    )
    progress = ", ".join(filter(None, (counts, throughput_text(now))))
    return "; ".join(filter(None, (progress, waiting_note(now), now.problem)))


def _shares(now: RunStatus) -> None:
    widths = [
        max((len(name) for name in names), default=0)
        for names in (
            [one.condition for one in now.by_separator],
            [one.separator for one in now.by_separator],
        )
    ]
    for share in now.by_separator:
        print_result(
            f"  {share.condition:<{widths[0]}}  {share.separator:<{widths[1]}}  {share.ended}/{share.cells} ended, "
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
@json_option
def list_runs(as_json: bool) -> None:
    """List all runs, newest first.

    Example: mssbench list --json
    """
    with _all_runs() as jobs:
        if as_json:
            print_json([_listed(job) for job in jobs])
            return
        rows = [_HEADER, *map(_row, jobs)] if jobs else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print_result(
                "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            )


def _listed(job: Run) -> dict[str, Any]:
    now, config = status_of(job), job.record.config
    return {
        "run": now.id,
        "state": now.state,
        "cells": now.progress.cells,
        "ended": now.progress.ended,
        "failed": now.progress.failed,
        "started": now.created,
        "dataset": config.dataset,
        "metrics": config.metrics,
        "seed": config.seed,
        "hrir": config.hrir,
        "conditions": list(job.record.conditions),
        "separators": [one.name for one in job.record.separators if one.status == "available"],
    }


_HEADER = ("RUN", "STATE", "CELLS", "STARTED", "DATASET", "METRICS", "SEED", "CONDITIONS", "SEPARATORS")


def _row(job: Run) -> tuple[str, ...]:
    """A short form of :func:`_listed`, so that a row fits the screen: with the separators that were asked for."""
    listed = _listed(job)
    failed = f" {listed['failed']} failed" if listed["failed"] else ""
    return (
        listed["run"],
        listed["state"],
        f"{listed['ended']}/{listed['cells']}{failed}",
        listed["started"][:10],
        PurePath(listed["dataset"]).name or listed["dataset"],
        listed["metrics"],
        str(listed["seed"]),
        _first(listed["conditions"], 2),
        _first(job.record.config.separators or ["all"], 1),
    )


def _first(names: list[str], shown: int) -> str:
    rest = len(names) - shown
    return ",".join(names[:shown]) + (f" +{rest}" if rest > 0 else "")
