"""Cost of a run before its start: number of cells, space on disk, and time at the speed of an earlier run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from mssbench_service.errors import BenchError

from ..runs.config import RunConfig
from ..runs.plan import plan
from ..runs.progress import survey
from ..runs.records import RunRecord
from ..runs.run import Run
from ..runs.space import bytes_needed
from .run_service import RunService

EARLIER_RUNS = 20
"""Number of latest runs that are searched for one with the same metrics."""


@dataclass(frozen=True)
class Cost:
    """Cost of a run before its start. `seconds` is None if no earlier run here has a known speed."""

    cells: int
    tracks: int
    unavailable: list[str]
    bytes_needed: int
    bytes_free: int
    seconds: float | None


def cost_of(config: RunConfig, service: RunService) -> Cost:
    """Plan the run and estimate its cost. Writes nothing.

    Raises
    ------
    BenchError
        The run would be refused.
    """
    service.runtime.reload()
    record = plan(config, service.runtime)
    run = Run(service.workspace.run(record.id), record, service.runtime)
    speed = time_per_audio_second(record, service)
    audio = sum(record.track(cell.title).seconds for cell in record.cells() if not run.store.ended(cell))
    return Cost(
        cells=len(record.cells()),
        tracks=len(record.tracks),
        unavailable=[one.name for one in record.separators if one.status != "available"],
        bytes_needed=bytes_needed(run),
        bytes_free=shutil.disk_usage(service.workspace.root).free,
        seconds=None if speed is None else speed * audio,
    )


def time_per_audio_second(record: RunRecord, service: RunService) -> float | None:
    """Time for a second of audio of one cell in the latest run with the same metrics and all of the separators."""
    config, wanted = record.config, _usable(record)
    for run_id in service.workspace.run_ids()[:EARLIER_RUNS]:
        try:
            run = service.run(run_id)
        except BenchError:
            continue  # damaged
        earlier = run.record.config
        if (earlier.metrics, earlier.bsseval) != (config.metrics, config.bsseval):
            continue
        if not _usable(run.record).issuperset(wanted):
            continue
        found = survey(run)
        if 2 * found.progress.failed > found.progress.ended:
            continue  # a cell that fails may take no time
        ended = found.ended_at
        # From the first to the last outcome, so that the start does not count.
        if len(ended) > 1 and (span := max(ended) - min(ended)) > 0:
            mean = sum(track.seconds for track in run.record.tracks) / len(run.record.tracks)
            return span / (len(ended) - 1) / mean
    return None


def _usable(record: RunRecord) -> set[str]:
    return {one.name for one in record.separators if one.status == "available"}
