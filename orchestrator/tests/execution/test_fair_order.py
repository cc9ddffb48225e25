"""Runs take turns in a queue, on a real Redis."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mssbench.execution.prepare import prepare
from mssbench.execution.queues import enqueue, job_id, open_queue, places_of, reconcile, remove_jobs
from mssbench.runs.config import RunConfig
from mssbench.runs.run import Run, Task
from mssbench.services.runtime import make_runtime
from redis import Redis
from rq.job import Job, JobStatus

MakeRun = Callable[[str, int], Run]


@pytest.fixture
def make_run(workspace: Path) -> MakeRun:
    """Make a run whose record repeats one track under `tracks` titles."""

    def make(name: str, tracks: int) -> Run:
        config = RunConfig(
            dataset="music", separators=["oracle-irm"], conditions=["stereo"], tracks=1, bsseval=False
        )
        run = prepare(config, make_runtime(workspace), run_id=name)
        track = run.record.tracks[0]
        run.record.tracks[:] = [replace(track, title=f"{index:03}") for index in range(tracks)]
        run.store.save(run.record)
        return Run(run.store, run.store.load(), run.runtime)

    return make


def separations(run: Run) -> dict[Task, int]:
    return {task: 0 for task in run.open_tasks() if task.step == "separate"}


def order(runs: list[Run], connection: Redis) -> list[str]:
    """For each waiting job, the run that it belongs to and its title."""
    names = {
        job_id(run.store.id, task): f"{run.store.id}{task.title}" for run in runs for task in separations(run)
    }
    return [names[one] for one in open_queue("separate-oracle", connection).job_ids]


def take(count: int, connection: Redis) -> None:
    """Run the first jobs, as a worker does."""
    queue = open_queue("separate-oracle", connection)
    for _ in range(count):
        job = queue.fetch_job(str(queue.pop_job_id()))
        assert job is not None
        job.set_status(JobStatus.FINISHED)
        connection.delete(job.key)


def test_a_short_run_does_not_wait_behind_a_long_one(make_run: MakeRun, connection: Redis) -> None:
    long, short = make_run("a", 88), make_run("b", 2)
    enqueue(long, separations(long), connection)
    take(10, connection)
    enqueue(short, separations(short), connection)
    assert order([long, short], connection)[:6] == ["a010", "b000", "a011", "b001", "a012", "a013"]
    (place,) = places_of(short, connection)
    assert (place.queue, place.waiting, place.ahead, place.workers) == ("separate-oracle", 2, 1, 0)


def test_three_runs_take_turns_and_keep_their_own_order(make_run: MakeRun, connection: Redis) -> None:
    runs = [make_run(name, 4) for name in "abc"]
    for run in runs:
        enqueue(run, separations(run), connection)
    assert order(runs, connection) == [f"{name}{index:03}" for index in range(4) for name in "abc"]


def test_a_run_that_was_idle_has_no_credit(make_run: MakeRun, connection: Redis) -> None:
    """Its jobs take turns from now on. They are not placed before all others to make up for the past."""
    early, late = make_run("a", 40), make_run("b", 10)
    tasks = list(separations(late))
    enqueue(late, {tasks[0]: 0}, connection)
    enqueue(early, separations(early), connection)
    take(21, connection)
    enqueue(late, dict.fromkeys(tasks[1:], 0), connection)
    assert order([early, late], connection)[:4] == ["a020", "b001", "a021", "b002"]


def test_a_cancelled_run_starts_again_with_the_present_turn(make_run: MakeRun, connection: Redis) -> None:
    cancelled, other = make_run("a", 50), make_run("b", 50)
    for run in (cancelled, other):
        enqueue(run, separations(run), connection)
    remove_jobs(cancelled, connection)
    enqueue(cancelled, separations(cancelled), connection)
    assert order([cancelled, other], connection)[:4] == ["b000", "a000", "b001", "a001"]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_equals_a_stable_sort_by_turns(make_run: MakeRun, connection: Redis, seed: int) -> None:
    """The same as the definition, computed without the script: jobs arrive in random batches and are taken between."""
    draw = random.Random(seed)
    runs = [make_run(name, 30) for name in "abc"]
    left = {run.store.id: list(separations(run)) for run in runs}
    expected: list[tuple[int, str]] = []
    last: dict[str, int] = {}
    for _ in range(30):
        run = draw.choice(runs)
        for task in left[run.store.id][: draw.randint(0, 5)]:
            left[run.store.id].remove(task)
            enqueue(run, {task: 0}, connection)
            if not expected:
                last.clear()
            turn = max(expected[0][0] if expected else 0, last.get(run.store.id, -1) + 1)
            last[run.store.id] = turn
            expected.append((turn, f"{run.store.id}{task.title}"))
            expected.sort(key=lambda one: one[0])
        taken = min(draw.randint(0, 4), len(expected))
        take(taken, connection)
        del expected[:taken]
        assert order(runs, connection) == [name for _, name in expected]


def test_jobs_of_an_earlier_version_are_served_first(make_run: MakeRun, connection: Redis) -> None:
    run = make_run("a", 3)
    first, *others = separations(run)
    enqueue(run, {first: 0}, connection)
    connection.hdel(Job.key_for(job_id("a", first)), "turn")
    enqueue(run, dict.fromkeys(others, 0), connection)
    assert order([run], connection) == ["a000", "a001", "a002"]
    assert reconcile(run, connection) == 3
    assert len(order([run], connection)) == 3, "none is queued twice"
