"""Faults of processes, services, Redis and disks: no cell is lost or duplicated, and the results are the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest
import soundfile as sf
from comparing import assert_equal_tables, read_table
from mssbench.execution.inline import run_inline
from mssbench.execution.queues import count_running, job_id
from mssbench.runs.progress import progress_of
from mssbench.runs.records import Cell
from mssbench.runs.run import Run, Task, open_run
from mssbench.runs.store import Workspace
from mssbench_contract.server import free_port, wait_for
from system import Processes, Queue, Services, kill, small_disk, table

PAIR = ("calm", "slow")
FAULTY = ("hang", "html", "lies", "nan", "short", "missing", "damaged")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, _demo_tracks: Path) -> Iterator[Services]:
    root = tmp_path_factory.mktemp("faults")
    shutil.copytree(_demo_tracks, root / "music", copy_function=shutil.copy2)
    before = dict(os.environ)
    services = Services(root)
    yield services
    services.end()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def undisturbed(services: Services) -> Path:
    """The results of a run in one process, without faults."""
    run = services.prepare("undisturbed", PAIR)
    run_inline(run, lambda: None)
    assert progress_of(run).failed == 0
    kept = services.root / "undisturbed.csv"
    shutil.copyfile(table(run), kept)
    return kept


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path)
    yield queue
    queue.end()


@pytest.fixture
def run(services: Services, request: pytest.FixtureRequest) -> Iterator[Run]:
    run = services.prepare(request.function.__name__.removeprefix("test_")[:60], PAIR)
    yield run
    services.misbehaving()
    shutil.rmtree(run.store.folder)


def separating(run: Run, queue: Queue) -> bool:
    """Whether a worker runs a separation that ends only when the fault is switched off."""
    started = [task for task in run.open_tasks() if task.step == "separate" and task.separator == "slow"]
    registry: Any = queue.connection.zrange("rq:wip:separate-unruly", 0, -1)
    ids = {member.decode().partition(":")[0] for member in registry}
    return any(job_id(run.store.id, task) in ids for task in started)


def start_and_hold(services: Services, queue: Queue, run: Run) -> dict[str, Popen[bytes]]:
    """Start workers, and wait for a separation that lasts until the fault is switched off."""
    services.misbehaving("slow")
    workers = queue.start_workers()
    queue.follow(run, until=lambda _: separating(run, queue))
    return workers


def complete_and_compare(queue: Queue, run: Run, undisturbed: Path) -> None:
    queue.follow(run)
    assert_equal_tables(undisturbed, table(run))


def test_a_worker_is_killed_during_a_separation(
    services: Services, queue: Queue, run: Run, undisturbed: Path
) -> None:
    workers = start_and_hold(services, queue, run)
    kill(workers["separate-unruly"])
    services.misbehaving()
    queue.start_worker("separate-unruly")
    complete_and_compare(queue, run, undisturbed)


def test_a_service_is_killed_during_a_request(
    services: Services, queue: Queue, run: Run, undisturbed: Path
) -> None:
    start_and_hold(services, queue, run)
    services.kill("unruly")
    services.misbehaving()
    services.start("unruly")
    complete_and_compare(queue, run, undisturbed)


@pytest.mark.parametrize("lose_data", [False, True], ids=["append-only", "data lost"])
def test_redis_killed_and_started_again(
    services: Services, queue: Queue, run: Run, undisturbed: Path, lose_data: bool
) -> None:
    workers = start_and_hold(services, queue, run)
    jobs = set(queue.connection.keys("rq:job:*"))
    queue.kill_redis(lose_data=lose_data)
    time.sleep(1.5)  # longer than a heartbeat: the worker must notice it and continue
    queue.start_redis()
    assert set(queue.connection.keys("rq:job:*")) == (set() if lose_data else jobs)
    services.misbehaving()
    complete_and_compare(queue, run, undisturbed)
    assert all(worker.poll() is None for worker in workers.values()), "a worker did not survive"


def test_a_cell_that_two_workers_process_counts_once(
    services: Services, queue: Queue, run: Run, undisturbed: Path
) -> None:
    """After Redis loses its data, a cell starts again while the first worker still processes it."""
    services.misbehaving("slow")
    first = queue.start_workers()["separate-unruly"]

    def started() -> list[Cell]:
        slow = [cell for cell in run.record.cells() if cell.separator == "slow"]
        return [cell for cell in slow if services.asked_to_separate(run, cell)]

    queue.follow(run, until=lambda _: started())
    (cell,) = started()
    # Otherwise it may register its job with the empty Redis before that is queued again.
    first.send_signal(signal.SIGSTOP)
    queue.connection.flushall()
    queue.start_worker("separate-unruly")
    queue.follow(run, until=lambda _: services.asked_to_separate(run, cell) == 2)
    first.send_signal(signal.SIGCONT)
    services.misbehaving()
    queue.follow(run)
    wait_for(lambda: not queue.connection.zcard("rq:wip:separate-unruly"), "both have ended")
    assert services.asked_to_separate(run, cell) == 2
    assert_equal_tables(undisturbed, table(run))
    assert len(list(run.store.folder.glob("cells/*/*/*/result.json"))) == len(run.record.cells())
    assert not list(run.store.folder.glob("estimates/**/.tmp-*")), "the second worker left temporary files"


def test_orchestrator_killed_and_started_again(
    services: Services, queue: Queue, undisturbed: Path, tmp_path: Path
) -> None:
    processes, port = Processes(tmp_path / "api"), free_port()
    command = [sys.executable, "-m", "mssbench", "serve", "--port", port]
    body = {"dataset": "music", "separators": list(PAIR), "conditions": ["binaural"], "bsseval": False}
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return client.get("/health").is_success
        return False

    try:
        first = processes.start("api", command, MSSBENCH_REDIS_URL=queue.url)
        wait_for(ready, f"the orchestrator is ready: {processes.log('api')}")
        services.misbehaving("slow")
        run_id = client.post("/runs", json=body).raise_for_status().json()["id"]
        run = open_run(Workspace(services.root).run(run_id), services.runtime)
        queue.start_workers()
        wait_for(lambda: separating(run, queue), "a separation runs")
        kill(first)
        services.misbehaving()
        wait_for(lambda: count_running(run, queue.connection) == 0, "the workers continued without it")
        processes.start("api", command, MSSBENCH_REDIS_URL=queue.url)
        wait_for(ready, "the orchestrator is ready again")
        wait_for(lambda: client.get(f"/runs/{run_id}").json()["state"] == "complete", "the run is complete")
        assert_equal_tables(undisturbed, run.store.layout.results_csv)
    finally:
        services.misbehaving()
        client.close()
        processes.end()
        shutil.rmtree(services.root / "runs" / run_id)


def test_disk_full_under_the_data_root(services: Services, queue: Queue, undisturbed: Path) -> None:
    folder = services.root / "runs/disk_full"
    with small_disk(folder, megabytes=64) as made:
        if not made:
            pytest.skip("no small file system can be mounted here (that needs root)")
        run = services.prepare("disk_full", PAIR)
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - 3 * 2**20)
        queue.start_workers()
        queue.follow(run, until=lambda _: "is postponed: no room" in queue.processes.log("separate-unruly"))
        assert progress_of(run).failed == 0, "a full disk must not fail a cell"
        ballast.unlink()
        complete_and_compare(queue, run, undisturbed)
        assert not [path for path in folder.rglob(".tmp-*")], "a temporary file was left"


def test_a_terminated_worker_completes_its_job(
    services: Services, queue: Queue, run: Run, undisturbed: Path
) -> None:
    workers = start_and_hold(services, queue, run)
    before = progress_of(run).separated
    workers["separate-unruly"].send_signal(signal.SIGTERM)
    time.sleep(0.5)
    services.misbehaving()
    assert workers["separate-unruly"].wait(timeout=240) == 0
    assert progress_of(run).separated == before + 1
    queue.start_worker("separate-unruly")
    complete_and_compare(queue, run, undisturbed)


def test_a_terminated_worker_returns_a_long_job_to_its_queue(
    services: Services, queue: Queue, run: Run, undisturbed: Path
) -> None:
    services.misbehaving("slow")
    worker = queue.start_worker("separate-unruly", MSSBENCH_STOP_SECONDS="0.5")
    queue.follow(run, until=lambda _: separating(run, queue))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=240) == 0
    waiting = queue.connection.lrange("rq:queue:separate-unruly", 0, -1)
    slow = {
        job_id(run.store.id, Task("separate", cell.title, cell.condition, cell.separator)).encode()
        for cell in run.record.cells()
        if cell.separator == "slow"
    }
    assert waiting[0] in slow, "the job is not at the front of its queue"
    assert "warning" not in queue.processes.log("separate-unruly"), "it is reported as a failure"
    assert len(waiting) == len(set(waiting))
    services.misbehaving()
    queue.start_workers()
    complete_and_compare(queue, run, undisturbed)


@dataclass(frozen=True)
class Misbehaved:
    """A run over separators with a fault each, its queue with workers, and what it had when it was complete."""

    run: Run
    queue: Queue
    outcomes: dict[Cell, dict[str, Any]]
    with_estimates: set[Cell]


@pytest.fixture(scope="module")
def misbehaved(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Misbehaved]:
    run = services.prepare("misbehaved", ["calm", *FAULTY], conditions=["stereo"], tracks=1)
    queue = Queue(tmp_path_factory.mktemp("misbehaved"))
    services.misbehaving(*FAULTY)
    queue.start_worker("evaluate")
    queue.start_worker(
        "separate-unruly", MSSBENCH_STEP_SECONDS="5", MSSBENCH_STEP_SECONDS_PER_AUDIO_SECOND="0.1"
    )
    queue.follow(run)
    services.misbehaving()
    cells = run.record.cells()
    outcomes = {cell: run.store.outcome(cell) or {} for cell in cells}
    with_estimates = {cell for cell in cells if run.store.layout.estimates(cell).exists()}
    yield Misbehaved(run, queue, outcomes, with_estimates)
    queue.end()


@pytest.mark.parametrize(
    ("separator", "code", "says", "tries"),
    [
        ("hang", "timed-out", "did not answer within", 2),
        ("html", "bad-output", "is not JSON", 1),
        ("lies", "bad-output", "the stems are missing", 1),
        ("nan", "bad-output", "drums with samples that are NaN or infinite", 1),
        ("short", "bad-output", "drums with 2 channel(s) of", 1),
        ("missing", "bad-output", "returned no drums", 1),
        ("damaged", "bad-output", "drums.wav is truncated", 1),
    ],
)
def test_a_faulty_separator_fails_its_own_cells(
    misbehaved: Misbehaved, separator: str, code: str, says: str, tries: int
) -> None:
    for track in misbehaved.run.record.tracks:
        cell = Cell("stereo", separator, track.title)
        error = misbehaved.outcomes[cell]
        assert (error["step"], error["code"], error["tries"]) == ("separate", code, tries)
        assert says in error["detail"]
        assert error["host"]
        assert error["worker"]
        assert error["when"]
        calm = misbehaved.outcomes[Cell("stereo", "calm", track.title)]
        assert "rows" in calm, "a cell of another separator failed"
        assert cell not in misbehaved.with_estimates


def test_repaired_separators_are_retried(services: Services, misbehaved: Misbehaved) -> None:
    run, queue = misbehaved.run, misbehaved.queue
    expected = services.prepare("expected", ["calm", *FAULTY], conditions=["stereo"], tracks=1)
    run_inline(expected, lambda: None)
    for cell in run.record.cells():
        if run.store.failed(cell):
            run.store.clear_outcome(cell)
    queue.follow(run)
    assert progress_of(run).failed == 0
    assert_equal_tables(table(expected), table(run))


def test_a_track_with_nan_fails_alone(services: Services, queue: Queue, undisturbed: Path) -> None:
    shutil.copytree(services.root / "music", services.root / "poisoned", copy_function=shutil.copy2)
    good = sorted(path.name for path in (services.root / "poisoned/test").iterdir())
    victim = services.root / "poisoned/test/Poisoned"
    shutil.copytree(services.root / "poisoned/test" / good[0], victim)
    for name in ("mixture", "vocals"):
        audio, rate = sf.read(victim / f"{name}.wav", dtype="float32")
        audio[1000] = float("nan")
        sf.write(victim / f"{name}.wav", audio, rate, subtype="FLOAT")
    run = services.prepare("poisoned", PAIR, dataset="poisoned")
    queue.start_workers()
    queue.follow(run)
    rows, expected = read_table(table(run)), read_table(undisturbed)
    for cell in run.record.cells():
        if cell.title == "Poisoned":
            error = run.store.outcome(cell)
            assert error is not None
            assert error["step"] == "render"
            assert "NaN" in error["detail"]
            assert "log" in error
    assert {key for key in rows if key[2] != "Poisoned"} == set(expected)
    assert {row["status"] for key, row in rows.items() if key[2] == "Poisoned"} == {"failed"}
    good_rows = [key for key in rows if key[2] != "Poisoned"]
    assert all(rows[key]["SSR"] == expected[key]["SSR"] for key in good_rows)
    shutil.rmtree(run.store.folder)
