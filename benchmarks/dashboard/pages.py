"""What a page of the dashboard costs, and how that grows with the run.

    python benchmarks/dashboard/pages.py

Writes run directories of 100, 1,000 and 10,000 cells, two of them per size: one at work and one that is
complete; serves them, and asks for pages. The figure that matters is the ratio in the last column: what
counting the cells of the largest run costs on top of a page that has next to nothing to count.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from large_runs import write_run
from mssbench.runs.store import Workspace
from mssbench.server import dashboard
from mssbench.server.run_service import RunService
from mssbench.services.runtime import make_runtime

SIZES = {100: (10, 5), 1_000: (100, 5), 10_000: (1_000, 5)}
"""Cells: tracks and separators, both conditions."""

TRIES = 15


@contextlib.contextmanager
def serving(root: Path) -> Iterator[httpx.Client]:
    """The dashboard over `root`, on a free port."""
    app = FastAPI()
    runtime = make_runtime(root, "inprocess", trusted=False)
    # Nothing here is queued, so there is no Redis to ask.
    app.include_router(dashboard.create_router(RunService(Workspace(root), runtime, "redis://127.0.0.1:9/0")))
    # Said to be TCP, it does without the delays of Nagle's algorithm, as uvicorn's own sockets do.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=120) as client:
                while not server.started:
                    time.sleep(0.05)
                yield client
        finally:
            server.should_exit = True
            thread.join()


def milliseconds(client: httpx.Client, path: str) -> float:
    """Median of :data:`TRIES` requests, after one that fills the caches."""
    took = []
    for _ in range(TRIES + 1):
        begun = time.perf_counter()
        client.get(path).raise_for_status()
        took.append(1000 * (time.perf_counter() - begun))
    return statistics.median(took[1:])


def main() -> None:
    print(f"{'cells':>7}  {'page':<22} {'ms':>7}  {'× the smallest run':>18}")
    smallest: dict[str, float] = {}
    for cells, (tracks, separators) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_run(root, "complete", tracks, separators, fail_every=50)
            at_work = write_run(root, "at-work", tracks, separators, ended=0.6, fail_every=50)
            at_work.launched.touch()
            pages = {
                "all runs": "/",
                "a run, at work": "/ui/runs/at-work",
                "a run, complete": "/ui/runs/complete",
            }
            with serving(root) as client:
                for name, path in pages.items():
                    took = milliseconds(client, path)
                    ratio = took / smallest.setdefault(name, took)
                    print(f"{cells:>7,}  {name:<22} {took:>7.1f}  {ratio:>18.1f}", flush=True)


if __name__ == "__main__":
    main()
