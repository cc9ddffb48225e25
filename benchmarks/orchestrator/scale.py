"""Benchmark of the orchestrator: planning, queueing, throughput, overhead and memory, in a table with targets.

    .venv/bin/python benchmarks/orchestrator/scale.py

The separator sleeps and the evaluator does nothing (``sleeping_service``), on tracks of 50 ms. The run has
--cells cells, which are all queued. --jobs of them are completed, with one worker for each step, one step after
the other. Before and after, as many empty RQ jobs run in the same Redis for comparison.

planning    seconds to plan the run, and to read its status from disk
queueing    seconds to queue all cells, relative to as many empty RQ jobs, queued one by one
throughput  separations of --sleep seconds by 1, 2, 4 and 8 workers: total sleep divided by elapsed time. All
            workers end a job at the same time, each of which takes about 60 ms of one core
overhead    seconds for each cell (a separation and an evaluation), relative to two empty RQ jobs
memory      resident memory of a worker at the end, relative to that after a tenth of the jobs; bytes of Redis per job
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
from mssbench.execution.embedded import Workers, embedded_server  # noqa: E402
from mssbench.execution.prepare import prepare  # noqa: E402
from mssbench.execution.queues import connect, reconcile  # noqa: E402
from mssbench.runs.config import RunConfig  # noqa: E402
from mssbench.runs.run import Run  # noqa: E402
from mssbench.runs.status import status_of  # noqa: E402
from mssbench.services.runtime import make_runtime  # noqa: E402
from mssbench_service.audio import write_wav  # noqa: E402
from mssbench_service.musdb import MIXTURE, STEMS  # noqa: E402
from redis import Redis  # noqa: E402
from rq import Queue, Worker  # noqa: E402
from rq.job import Job  # noqa: E402
from rq.serializers import JSONSerializer  # noqa: E402

SERVICES = """
[tools]
synth = { module = "synth_service", url = "http://synth" }
evaluator = { module = "sleeping_service", url = "http://evaluator" }
[separators]
sleeping = { module = "sleeping_service", url = "http://sleeping" }
"""


def nothing() -> None:
    """An empty RQ job."""


def write_tracks(dataset: Path, count: int) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 2205)).astype(np.float32) * 0.1
    first = dataset / "test" / "Track 0000"
    for name in (MIXTURE, *STEMS):
        (first).mkdir(parents=True, exist_ok=True)
        write_wav(first / f"{name}.wav", noise, 44100)
    for number in range(1, count):
        shutil.copytree(first, dataset / "test" / f"Track {number:04d}", copy_function=os.link)


def run_of(root: Path, cells: int, separators: int, seed: int) -> tuple[Run, float]:
    names = [f"sleeping-{number}" for number in range(separators)]
    config = RunConfig(
        "music", separators=names, conditions=["stereo"], tracks=cells // separators, seed=seed
    )
    started = time.perf_counter()
    run = prepare(config, make_runtime(root))
    return run, time.perf_counter() - started


def wait_for(condition: Callable[[], bool], pause: float = 0.05) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("timeout after 15 minutes; the log of the workers shows failed cells")
        time.sleep(pause)


def idle(connection: Redis, queue: str, count: int) -> Callable[[], bool]:
    def check() -> bool:
        workers = Worker.all(connection=connection, serializer=JSONSerializer)
        return sum(queue in w.queue_names() and w.get_state() == "idle" for w in workers) >= count

    return check


def separated(run: Run) -> bool:
    return all(run.store.separated(cell) for cell in run.record.cells())


def between(paths: list[Path]) -> float:
    """Mean time between the modification times of `paths` in seconds."""
    times = sorted(path.stat().st_mtime for path in paths)
    return (times[-1] - times[0]) / (len(times) - 1)


def show(what: str, measured: str, target: str = "") -> None:
    print(f"{what:<34} {measured:>34}   {target}", flush=True)


def planning(root: Path, cells: int) -> Run:
    run, seconds = run_of(root, cells, 10, seed=0)
    show(f"planning {cells:,} cells", f"{seconds:.2f} s", "under 5 s")
    started = time.perf_counter()
    status_of(run)
    show("reading the status", f"{time.perf_counter() - started:.2f} s")
    started = time.perf_counter()
    count = len(list(run.open_tasks()))
    show(f"listing open tasks ({count:,})", f"{time.perf_counter() - started:.2f} s")
    return run


def throughput(root: Path, sleep: float) -> None:
    os.environ["SLEEP_SECONDS"] = str(sleep)
    for count in (1, 2, 4, 8):
        with embedded_server() as server, connect(server.url) as connection:
            run, _ = run_of(root, 8 * count, 8, seed=count)
            workers = Workers(
                server.url, root, {"separate-sleeping": count}, Path(tempfile.mkdtemp(dir=root))
            )
            wait_for(idle(connection, "separate-sleeping", count))
            started = time.perf_counter()
            reconcile(run, connection)
            wait_for(partial(separated, run))
            share = 8 * sleep / (time.perf_counter() - started)
            workers.stop()
        show(f"throughput, {count} workers", f"{share:.1%} of ideal", "at least 95 %")


EMPTY_JOBS = """
import sys, scale
from redis import Redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer
connection = Redis.from_url(sys.argv[1])
queue = Queue("empty", connection=connection, serializer=JSONSerializer)
worker = Worker([queue], connection=connection, serializer=JSONSerializer)
worker.work(burst=True, logging_level="WARNING", max_jobs=int(sys.argv[2]))
"""


def empty_jobs(url: str, connection: Redis, queued: int, jobs: int) -> tuple[float, float]:
    """Seconds to queue `queued` empty jobs, and seconds per job for the first `jobs` of them."""
    queue = Queue("empty", connection=connection, serializer=JSONSerializer)
    started = time.perf_counter()
    ids = [queue.enqueue("scale.nothing", result_ttl=3600).id for _ in range(queued)]
    queueing = time.perf_counter() - started
    subprocess.run([sys.executable, "-c", EMPTY_JOBS, url, str(jobs)], check=True)
    done = Job.fetch_many(ids[:jobs], connection, serializer=JSONSerializer)
    ends = sorted(job.ended_at.timestamp() for job in done if job is not None and job.ended_at)
    queue.delete(delete_jobs=True)
    return queueing, (ends[-1] - ends[0]) / (len(ends) - 1)


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def overhead(run: Run, jobs: int) -> None:
    os.environ["SLEEP_SECONDS"] = "0"
    root, all_cells = run.runtime.root.root, len(run.record.cells())
    cells = run.record.cells()[:jobs]
    with embedded_server() as server, connect(server.url) as connection:
        rq_queueing, before = empty_jobs(server.url, connection, all_cells, jobs)
        empty = int(connection.info("memory")["used_memory"])
        started = time.perf_counter()
        reconcile(run, connection)
        queueing = time.perf_counter() - started
        used = int(connection.info("memory")["used_memory"]) - empty
        seconds, growth = [], []
        for queue, done in (
            ("separate-sleeping", [run.store.layout.estimates(cell) / "separation.json" for cell in cells]),
            ("evaluate", [run.store.layout.cell(cell) / "result.json" for cell in cells]),
        ):
            workers = Workers(server.url, root, {queue: 1}, Path(tempfile.mkdtemp(dir=root)))
            # In the order of the queue. Polled rarely, because polling takes time of a core.
            wait_for(done[len(done) // 10].exists, 0.5)
            first = resident(workers._workers[0].process.pid)
            wait_for(done[-1].exists, 0.5)
            growth.append(resident(workers._workers[0].process.pid) / first)
            workers.stop()
            seconds.append(between(done))
        _, after = empty_jobs(server.url, connection, all_cells, jobs)
    cell_ms, rq_ms = 1000 * sum(seconds), 1000 * (before + after)
    show(
        f"queueing {all_cells:,} cells",
        f"{queueing:.1f} s, {queueing / rq_queueing:.2f} × RQ",
    )
    show(
        f"overhead, {jobs:,} of {all_cells:,} cells",
        f"{cell_ms:.1f} ms per cell, {cell_ms / rq_ms:.2f} × RQ ({rq_ms:.1f} ms)",
        "at most 2 × RQ",
    )
    show("memory of a worker", f"{max(growth):.2f} × after a tenth", "1")
    show("memory of Redis", f"{used / all_cells:.0f} bytes per queued job")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--sleep", type=float, default=6.0)
    options = parser.parse_args()
    os.environ.pop("MSSBENCH_REDIS_URL", None)
    with tempfile.TemporaryDirectory(prefix="mssbench-scale-") as folder:
        root = Path(folder)
        (root / "services.toml").write_text(SERVICES, encoding="utf-8")
        os.environ["MSSBENCH_SERVICES"] = str(root / "services.toml")
        write_tracks(root / "music", options.cells // 10)
        run = planning(root, options.cells)
        throughput(root, options.sleep)
        overhead(run, min(options.jobs, options.cells))


if __name__ == "__main__":
    main()
