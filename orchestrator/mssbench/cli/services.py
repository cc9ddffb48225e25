"""Commands that are the parts of a running system."""

from __future__ import annotations

import json

import click
from mssbench_service import logs
from mssbench_service.errors import BadInput
from rich.console import Console
from rich.table import Table

from ..execution.queues import connect, queue_names
from ..execution.workers import serve_queue
from ..services.health import ServiceHealth, survey
from ..settings.secrets import secret
from .shared import cli, current_runtime


@cli.command()
@click.argument("queue", required=False)
@click.option(
    "--redis",
    "redis_url",
    required=True,
    default=lambda: secret("MSSBENCH_REDIS_URL") or None,
    metavar="URL",
    help="Default: MSSBENCH_REDIS_URL.",
)
def worker(queue: str | None, redis_url: str) -> None:
    """Be a worker on QUEUE (render, evaluate, separate-<service>) until stopped."""
    connection = connect(redis_url)
    if queue is None:
        raise BadInput(f"no queue named; expected one of {', '.join(queue_names())}")
    logs.configure(f"worker-{queue}")
    serve_queue(queue, connection)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve the orchestrator's API."""
    import uvicorn

    # The application itself says how log lines look.
    uvicorn.run("mssbench.server.app:app", host=host, port=port, log_level="info", log_config=None)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def services(as_json: bool) -> None:
    """What is up: every registered service, its separators, device, model, weights and version."""
    standings = survey(current_runtime())
    if as_json:
        click.echo(json.dumps([standing.to_dict() for standing in standings], indent=1))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("service", "state", "device", "model", "weights", "version", "where"):
        table.add_column(column, overflow="fold")
    for standing in standings:
        table.add_row(*_cells(standing))
    # On a terminal as wide as that is; in a file or a pipe nothing is folded.
    output = Console(markup=False, highlight=False, emoji=False)
    if not output.is_terminal:
        output.width = 500
    output.print(table)
    for standing in standings:
        if standing.reason:
            output.print(f"{standing.name}: {standing.reason}", soft_wrap=True)


def _cells(standing: ServiceHealth) -> list[str]:
    weights = [
        f"{weight.get('file', '?')} {str(weight.get('sha256', ''))[:8]}" for weight in standing.weights
    ]
    return [
        standing.name,
        standing.state,
        standing.device,
        standing.model,
        "\n".join(weights),
        standing.version,
        standing.where,
    ]
