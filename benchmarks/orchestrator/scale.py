"""What the orchestrator costs: planning, looking, handing out, and adding workers. One table.

    .venv/bin/python benchmarks/orchestrator/scale.py --cells 10000 --jobs 1000

The separator sleeps and the evaluator does nothing (``sleeping_service``), on tracks of 50 ms.

planning    seconds to plan a run of --cells cells (target: under 5), and to read from disk how it stands
throughput  separations with --sleep seconds each by 1, 2, 4 and 8 workers, over what sleeping alone would take
            (target: at least 95 %)
overhead    seconds for each cell (a separation and an evaluation, one worker each, one after the other) over
            that of two empty jobs of RQ's own, before and after in the same Redis (target: at most 2)
memory      largest resident set of a worker at the end over that after a tenth of the jobs; Redis' bytes a job
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
from mssbench.config import RunConfig  # noqa: E402
from mssbench.embedded import Workers, embedded_redis  # noqa: E402
from mssbench.launch import prepare  # noqa: E402
from mssbench.queues import connect, reconcile  # noqa: E402
from mssbench.runtime import make_runtime  # noqa: E402
from mssbench.status import status_of  # noqa: E402
from mssbench.steps import Run  # noqa: E402
from mssbench.store import Workspace  # noqa: E402
from mssbench_service.audio import write_wav  # noqa: E402
from mssbench_service.tracks import MIXTURE, STEMS  # noqa: E402
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
    """RQ's empty job."""


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
    begun = time.perf_counter()
    run = prepare(config, Workspace(root), make_runtime(root))
    return run, time.perf_counter() - begun


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def idle(connection: Redis, queue: str, count: int) -> Callable[[], bool]:
    def check() -> bool:
        workers = Worker.all(connection=connection, serializer=JSONSerializer)
        return sum(queue in w.queue_names() and w.get_state() == "idle" for w in workers) >= count

    return check


def between(paths: list[Path]) -> float:
    """Seconds from the first to the last, for each of those after the first."""
    times = sorted(path.stat().st_mtime for path in paths)
    return (times[-1] - times[0]) / (len(times) - 1)


def throughput(root: Path, sleep: float) -> None:
    os.environ["SLEEP_SECONDS"] = str(sleep)
    for count in (1, 2, 4, 8):
        with embedded_redis() as url:
            connection = connect(url)
            run, _ = run_of(root, 8 * count, 8, seed=count)
            workers = Workers(url, root, {"separate-sleeping": count})
            wait_for(idle(connection, "separate-sleeping", count))
            begun = time.perf_counter()
            reconcile(run, connection)
            wait_for(lambda run=run: all(run.store.separated(cell) for cell in run.record.cells()))
            share = 8 * sleep / (time.perf_counter() - begun)
            workers.stop()
        print(f"throughput, {count} workers{'':24}{share:8.1%} of ideal")


def empty_jobs(url: str, connection: Redis, root: Path, jobs: int) -> float:
    queue = Queue("empty", connection=connection, serializer=JSONSerializer)
    found = [queue.enqueue("scale.nothing", result_ttl=3600) for _ in range(jobs)]
    code = (
        "import sys; from redis import Redis; from rq import Queue, Worker; from rq.serializers import "
        "JSONSerializer; import scale; c = Redis.from_url(sys.argv[1]); Worker([Queue('empty', connection=c, "
        "serializer=JSONSerializer)], connection=c, serializer=JSONSerializer).work(burst=True, "
        "logging_level='WARNING')"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code, url], check=True)
    jobs_now = Job.fetch_many([job.id for job in found], connection, serializer=JSONSerializer)
    ends = sorted(job.ended_at.timestamp() for job in jobs_now if job is not None and job.ended_at)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def overhead(root: Path, jobs: int) -> None:
    os.environ["SLEEP_SECONDS"] = "0"
    with embedded_redis() as url:
        connection = connect(url)
        before = empty_jobs(url, connection, root, jobs)
        run, _ = run_of(root, jobs, 10, seed=100)
        cells = run.record.cells()
        empty = int(connection.info("memory")["used_memory"])
        reconcile(run, connection)
        held = int(connection.info("memory")["used_memory"]) - empty
        seconds, growth = [], []
        for queue, done in (
            ("separate-sleeping", [run.store.estimates(cell) / "separation.json" for cell in cells]),
            ("evaluate", [run.store.cell_folder(cell) / "result.json" for cell in cells]),
        ):
            workers = Workers(url, root, {queue: 1})
            wait_for(lambda done=done: sum(path.exists() for path in done) >= len(done) // 10)
            first = resident(workers._processes[0].pid)
            wait_for(lambda done=done: all(path.exists() for path in done))
            growth.append(resident(workers._processes[0].pid) / first)
            workers.stop()
            seconds.append(between(done))
        after = empty_jobs(url, connection, root, jobs)
    ours, theirs = 1000 * sum(seconds), 1000 * (before + after)
    print(f"overhead, {len(cells)} cells{'':22}{ours / theirs:8.2f} × RQ ({ours:.1f} ms, RQ {theirs:.1f} ms)")
    print(f"memory of a worker{'':24}{max(growth):8.2f} × after a tenth")
    print(f"memory of Redis{'':27}{held / len(cells):8.0f} bytes a queued job")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--sleep", type=float, default=2.0)
    options = parser.parse_args()
    os.environ.pop("MSSBENCH_REDIS_URL", None)
    with tempfile.TemporaryDirectory(prefix="mssbench-scale-") as folder:
        root = Path(folder)
        (root / "services.toml").write_text(SERVICES, encoding="utf-8")
        os.environ["MSSBENCH_SERVICES"] = str(root / "services.toml")
        write_tracks(root / "music", max(options.cells, options.jobs) // 10)
        run, seconds = run_of(root, options.cells, 10, seed=0)
        print(f"planning, {options.cells} cells{'':21}{seconds:8.2f} s")
        begun = time.perf_counter()
        status_of(run)
        print(f"how it stands{'':29}{time.perf_counter() - begun:8.2f} s")
        begun = time.perf_counter()
        tasks = len(list(run.open_tasks()))
        print(f"what can be done next ({tasks}){'':15}{time.perf_counter() - begun:8.2f} s")
        throughput(root, options.sleep)
        overhead(root, options.jobs)


if __name__ == "__main__":
    main()
