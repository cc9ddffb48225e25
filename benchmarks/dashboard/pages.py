"""Response time of the dashboard's pages, and how it grows with the size of a run.

    python benchmarks/dashboard/pages.py

Writes a running and a complete run of 100, 1,000 and 10,000 cells each, serves them, and requests their pages.
The last column is the time relative to the smallest run.
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
from mssbench.server.leaderboard import LeaderboardSite
from mssbench.server.run_service import RunService
from mssbench.services.runtime import make_runtime

SIZES = {100: (10, 5), 1_000: (100, 5), 10_000: (1_000, 5)}
"""Number of cells: tracks and separators, in both conditions."""

REPETITIONS = 15


@contextlib.contextmanager
def serving(root: Path) -> Iterator[httpx.Client]:
    """Serve the dashboard of `root` on a free port."""
    app = FastAPI()
    runtime = make_runtime(root, trusted=False)
    workspace = Workspace(root)
    # No Redis is needed, because nothing is queued.
    service = RunService(workspace, runtime, "redis://127.0.0.1:9/0")
    app.include_router(dashboard.create_router(service, LeaderboardSite(workspace)))
    # With IPPROTO_TCP, asyncio disables Nagle's algorithm, as for uvicorn's own sockets.
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
    """Return the median of :data:`REPETITIONS` requests, after one that fills the caches."""
    times = []
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        client.get(path).raise_for_status()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    print(f"{'cells':>7}  {'page':<22} {'ms':>7}  {'× the smallest run':>18}")
    smallest: dict[str, float] = {}
    for cells, (tracks, separators) in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_run(root, "complete", tracks, separators, fail_every=50)
            running = write_run(root, "running", tracks, separators, ended=0.6, fail_every=50)
            running.markers.set_supervised(True)
            pages = {
                "all runs": "/",
                "a running run": "/ui/runs/running",
                "a complete run": "/ui/runs/complete",
            }
            with serving(root) as client:
                for name, path in pages.items():
                    took = milliseconds(client, path)
                    ratio = took / smallest.setdefault(name, took)
                    print(f"{cells:>7,}  {name:<22} {took:>7.1f}  {ratio:>18.1f}", flush=True)


if __name__ == "__main__":
    main()
