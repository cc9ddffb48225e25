"""The command line. Bad input is one line on stderr and exit code 2; a defect of ours is exit code 1.

shared      the command group, and what commands have in common: options, progress bars, references
data        datasets: demo, fetch, check, convert
folders     synth and evaluate: whole folders, outside any run
hrir        hrir info
runs        run, demo, resume, retry, rescore
control     status, list, cancel, delete, diff, gc
reports     report
services    worker, serve, services: the parts of a running system
separate    one track, outside any run
weights     weights fetch and weights verify

A new command goes into the module of its kind; a new module is imported here.
"""

from __future__ import annotations

import logging
import os
import sys

import click
from mssbench_service.errors import BenchError, one_line

from . import control, data, folders, hrir, reports, runs, separate, services, weights
from .shared import cli

__all__ = [
    "cli",
    "control",
    "data",
    "folders",
    "hrir",
    "main",
    "reports",
    "runs",
    "separate",
    "services",
    "weights",
]


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
    print(f"mssbench: {one_line(message)}", file=sys.stderr)
    sys.exit(code)
