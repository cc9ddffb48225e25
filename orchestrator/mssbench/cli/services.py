"""Commands of a running system: workers, API, health of the services, services on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click
from mssbench_service import logs
from mssbench_service.errors import BadInput, NotFound, printable
from mssbench_service.names import suggestion
from rich.console import Console
from rich.table import Table

from ..execution.embedded import run_with_workers
from ..execution.queues import connect, queue_names
from ..execution.workers import run_burst, run_worker
from ..runs.store import open_workspace
from ..services.cards import card_line
from ..services.environments import find_folder, require_weights
from ..services.health import ServiceHealth, survey
from ..services.launching import START_SECONDS, start_service
from ..services.local import registered
from ..services.registry import load_registry
from .progress import showing_lines
from .shared import cli, current_runtime, print_message, print_result, redis_option


@cli.command()
@click.argument("queues", nargs=-1, metavar="QUEUE...")
@redis_option("Redis of the queue. Default: MSSBENCH_REDIS_URL.")
@click.option("--burst", is_flag=True, help="End when there is no work left. Takes several queues.")
@click.option(
    "--idle",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="With --burst: time without queued and running jobs after which it ends.",
)
def worker(queues: tuple[str, ...], redis_url: str, burst: bool, idle: float) -> None:
    """Start a worker on a queue.

    QUEUE is render, evaluate or separate-<service>.

    Example: mssbench worker --burst render separate-oracle evaluate
    """
    names = queue_names()
    if not queues:
        raise click.UsageError(f"no queue given; expected one of {', '.join(names)}")
    for unknown in (name for name in queues if name not in names):
        raise click.UsageError(
            f"unknown queue {unknown!r}{suggestion(unknown, names)}; expected one of {', '.join(names)}"
        )
    if not redis_url:
        raise click.UsageError("no Redis; expected --redis or MSSBENCH_REDIS_URL")
    connection = connect(redis_url)
    if len(queues) > 1 and not burst:
        raise click.UsageError("a worker serves one queue; several need --burst")
    logs.configure(f"worker-{'-'.join(queues)}")
    if burst:
        run_burst(queues, connection, idle)
    else:
        run_worker(queues[0], connection)


@cli.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, help="Port to listen on.")
@redis_option("Redis with workers. Default: MSSBENCH_REDIS_URL, else both are started here.")
def serve(host: str, port: int, redis_url: str) -> None:
    """Start the API and the dashboard.

    Without --redis, runs are executed on this machine, as by `mssbench run`. They stop with this command, and continue
    when it is started again.

    Example: mssbench serve --port 8080
    """
    _require_free(host, port)
    if not redis_url:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # its processes are stopped in order
        print_message(f"dashboard: http://{f'[{host}]' if ':' in host else host}:{port}/ (Ctrl-C stops it)")
        command = [sys.executable, "-m", "mssbench", "serve", "--host", host, "--port", str(port)]
        try:
            sys.exit(run_with_workers(command, open_workspace().root))
        except KeyboardInterrupt:
            print_message("stopped; runs that have not ended continue with: mssbench serve")
            sys.exit(130)
    import uvicorn

    os.environ.pop("MSSBENCH_REDIS_URL_FILE", None)
    os.environ["MSSBENCH_REDIS_URL"] = redis_url
    # The application configures its own logging.
    uvicorn.run("mssbench.server.app:app", host=host, port=port, log_level="info", log_config=None)


def _require_free(host: str, port: int) -> None:
    """Raise BadInput if no server can listen on `port` of `host`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        raise BadInput(f"cannot listen on port {port} of {host}: {error.strerror or error}") from None


@cli.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def services(context: click.Context, as_json: bool) -> None:
    """Show the health of all services; start and stop them on this machine.

    Shows their state, device, model, weights, version and address, and what is known of each model: architecture,
    parameters, stems, training data and licence. --json has the whole model cards.

    Example: mssbench services
    """
    if context.invoked_subcommand is not None:
        return
    surveyed = survey(current_runtime())
    if as_json:
        click.echo(json.dumps([health.to_dict() for health in surveyed], indent=1))
        return
    _print_table(
        ("service", "state", "device", "model", "weights", "version", "where"),
        [
            (one.name, one.state, one.device, one.model, _weights(one), one.version, one.where)
            for one in surveyed
        ],
    )
    for card in (card for health in surveyed for card in _cards(health)):
        print_result(card)
    for health in surveyed:
        if health.reason:
            print_result(f"{health.name}: {health.reason}")


@services.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port, if one service is given. Default: a free one."
)
@click.option(
    "--python", default="", metavar="PATH", help="Interpreter of new environments. Default: python3.11."
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0, min_open=True),
    default=START_SECONDS,
    metavar="SECONDS",
    help="Time that a service has until it is ready.",
)
def start(names: tuple[str, ...], port: int | None, python: str, wait: float) -> None:
    """Start services on this machine, without Docker.

    NAME is a registered service, a model of one (its weights are then checked first), or the path of a folder like
    services/template. Its environment is made from its lock file, once. The service runs until `mssbench services stop
    NAME`; the runs of this data root use it.

    Example: mssbench services start spleeter:2stems
    """
    if port and len(names) > 1:
        raise click.UsageError("--port needs the name of exactly one service")
    registry = load_registry()
    folders = []
    for name in names:  # before anything is started
        service, _, model = name.partition(":")
        folders.append(find_folder(service, registry))
        if model:
            require_weights(folders[-1], model)
    for folder in folders:
        with showing_lines() as show:
            started = start_service(
                folder, open_workspace().root, show, port=port or 0, python=python, seconds=wait
            )
        print_result(f"{started.name} is ready at {started.url} (process {started.pid}; log: {started.log})")


@services.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="All of this data root.")
def stop(names: tuple[str, ...], everything: bool) -> None:
    """Stop services that `mssbench services start` has started for this data root.

    Example: mssbench services stop spleeter
    """
    if everything == bool(names):
        raise click.UsageError("expected the names of services, or --all")
    root = str(open_workspace().root.resolve())
    here = {one.name: one for one in registered() if one.root == root}
    for name in names:
        if name not in here:
            raise NotFound(
                f"{name} was not started for the data root {root}; mssbench services list shows what was"
            )
    for name in dict.fromkeys(names or here):
        print_result(f"{name} is stopped" if here[name].stop() else f"{name} had ended already")


@services.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_local(as_json: bool) -> None:
    """List the services that were started on this machine, for all data roots.

    Example: mssbench services list
    """
    found = [(one, "running" if one.running else "ended") for one in registered()]
    if as_json:
        forms = [asdict(one) | {"state": state, "log": str(one.log)} for one, state in found]
        click.echo(json.dumps(forms, indent=1))
        return
    rows = [[one.name, state, one.url, str(one.pid), one.root, str(one.log)] for one, state in found]
    _print_table(("service", "state", "where", "process", "data root", "log"), rows)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    # Lines are folded on a terminal only, not in a file or a pipe.
    output = Console(markup=False, highlight=False, emoji=False)
    if not output.is_terminal:
        output.width = 500
    output.print(table)


def _cards(health: ServiceHealth) -> list[str]:
    """One line for each separator that has a model card and parameters."""
    return [
        f"{one.name}: {line}"
        for one in health.separators
        if one.card.parameters != 0 and (line := card_line(one.card, one.stems))
    ]


def _weights(health: ServiceHealth) -> str:
    return "\n".join(f"{one.get('file', '?')} {str(one.get('sha256', ''))[:8]}" for one in health.weights)
