"""Commands that are the parts of a running system."""

from __future__ import annotations

import click
from mssbench_service.errors import BadInput, NotReady

from ..queues import connect, queue_names
from ..workers import serve_queue, worker_is_alive
from .shared import cli


@cli.command()
@click.argument("queue", required=False)
@click.option("--redis", "redis_url", envvar="MSSBENCH_REDIS_URL", required=True, metavar="URL")
@click.option("--check", is_flag=True, help="Only say whether a worker of this machine is alive.")
def worker(queue: str | None, redis_url: str, check: bool) -> None:
    """Be a worker on QUEUE (render, evaluate, separate-<service>) until stopped."""
    connection = connect(redis_url)
    if check:
        if not worker_is_alive(connection):
            raise NotReady("no worker of this machine is alive")
        return
    if queue is None:
        raise BadInput(f"no queue named; expected one of {', '.join(queue_names())}")
    serve_queue(queue, connection)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve the orchestrator's API."""
    import uvicorn

    uvicorn.run("mssbench.api:app", host=host, port=port, log_level="info")
