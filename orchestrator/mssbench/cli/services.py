"""Commands of a running system: workers, API, health of the services."""

from __future__ import annotations

import json

import click
from mssbench_service import logs
from mssbench_service.errors import BadInput, printable
from rich.console import Console
from rich.table import Table

from ..execution.queues import connect, queue_names
from ..execution.workers import run_worker
from ..services.cards import card_line
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
    help="Redis of the queue. Default: MSSBENCH_REDIS_URL.",
)
def worker(queue: str | None, redis_url: str) -> None:
    """Start a worker on a queue.

    QUEUE is render, evaluate or separate-<service>.
    """
    connection = connect(redis_url)
    if queue is None:
        raise BadInput(f"no queue given; expected one of {', '.join(queue_names())}")
    logs.configure(f"worker-{queue}")
    run_worker(queue, connection)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
def serve(host: str, port: int) -> None:
    """Start the API and the dashboard."""
    import uvicorn

    # The application configures its own logging.
    uvicorn.run("mssbench.server.app:app", host=host, port=port, log_level="info", log_config=None)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def services(as_json: bool) -> None:
    """Show the health of all registered services.

    Shows their state, device, model, weights, version and address, and what is known of each model: architecture,
    parameters, stems, training data and licence. --json has the whole model cards.
    """
    surveyed = survey(current_runtime())
    if as_json:
        click.echo(json.dumps([health.to_dict() for health in surveyed], indent=1))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("service", "state", "device", "model", "weights", "version", "where"):
        table.add_column(column, overflow="fold")
    for health in surveyed:
        table.add_row(*map(printable, _cells(health)))
    # Lines are folded on a terminal only, not in a file or a pipe.
    output = Console(markup=False, highlight=False, emoji=False)
    if not output.is_terminal:
        output.width = 500
    output.print(table)
    for card in (card for health in surveyed for card in _cards(health)):
        output.print(printable(card), soft_wrap=True)
    for health in surveyed:
        if health.reason:
            output.print(f"{health.name}: {health.reason}", soft_wrap=True)


def _cards(health: ServiceHealth) -> list[str]:
    """One line for each separator with a model card. Those without parameters have nothing to tell in it."""
    return [
        f"{one.name}: {line}"
        for one in health.separators
        if one.card.parameters != 0 and (line := card_line(one.card, one.stems))
    ]


def _cells(health: ServiceHealth) -> list[str]:
    weights = [f"{weight.get('file', '?')} {str(weight.get('sha256', ''))[:8]}" for weight in health.weights]
    return [
        health.name,
        health.state,
        health.device,
        health.model,
        "\n".join(weights),
        health.version,
        health.where,
    ]
