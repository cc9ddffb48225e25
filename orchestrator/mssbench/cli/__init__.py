"""The command line. Bad input gives one line on stderr and exit code 2; a defect gives exit code 1.

commands    command group, and a list of all commands
shared      options, progress bars and references that commands share
data        data demo, fetch, check, convert
folders     synth, evaluate: whole folders without a run
hrir        hrir info
runs        run, demo, resume, retry, rescore
status      status, list
control     cancel, delete, diff, gc
progress    live progress of a run
reports     report, leaderboard
model_service the service of one model, for the duration of a command
services    worker, serve, services, services start, stop and list
separate    separate: one track without a run
transfer    push, pull
weights     weights fetch, weights verify

New commands go into the module of their topic and into the list in :mod:`.commands`.
"""

from __future__ import annotations

import logging
import os
import sys

import click
from mssbench_service import logs
from mssbench_service.errors import BenchError, one_line

from .commands import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line. Each failure gives one line and an exit code."""
    try:
        handler = logging.StreamHandler()
        handler.setFormatter(logs.TextLines())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        cli(standalone_mode=False)
    except BenchError as error:
        _fail(error.detail, 2)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "mssbench"
        _fail(f"{error.format_message()} (see {command} --help)", 2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; run the same command again to continue", 130)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        _fail(f"{named}{error.strerror or error}", 2)
    except Exception as error:  # a defect: one line too, with a traceback on request
        if os.environ.get("MSSBENCH_DEBUG"):
            raise
        _fail(f"{type(error).__name__}: {error} (a defect; set MSSBENCH_DEBUG=1 for the traceback)", 1)


def _fail(message: str, code: int) -> None:
    print(f"mssbench: {one_line(message)}", file=sys.stderr)
    sys.exit(code)
