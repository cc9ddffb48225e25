"""The files of a run: the one list of their paths.

::

    <root>/data/rendered/<key>/<title>/     a rendered track; shared by all runs that need the same one
    <root>/runs/<run id>/
        run.json                            configuration, tracks, separators, versions: `RunRecord`
        estimates/<condition>/<separator>/<title>/<stem>.wav or .flac, separation.json, stored.json
        cells/<condition>/<separator>/<title>/result.json or error.json; frames.parquet, damaged.txt
        results.csv                         written when the run ends, and by `mssbench report`
        report/index.html
        .lock                               locked by the process that executes the run
        launched-by-api                     marker: the orchestrator service executes the run
        cancelled                           marker: no step starts until the run is resumed
        report-problem.txt                  why the tables or the report could not be written
        waiting/<service>.json              since when and why a service is unavailable, while the run waits for it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .formats import ERROR, RENDERING_FORMAT, RESULT, RUN
from .records import Cell

RENDERING_FILE = RENDERING_FORMAT.name
"""Written last in the folder of a rendered track, which is complete once it has this file."""

SUPERVISED_MARKER = "launched-by-api"
"""Marker of runs that the orchestrator service executes."""

DELETED_PREFIX = ".deleted-"
"""Prefix of run directories that are being removed."""


@dataclass(frozen=True)
class RunLayout:
    """Paths in one run directory. None of them needs to exist."""

    folder: Path

    @property
    def record(self) -> Path:
        return self.folder / RUN.name

    @property
    def results_csv(self) -> Path:
        return self.folder / "results.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report" / "index.html"

    @property
    def problem(self) -> Path:
        """Why the tables or the report of the run could not be written."""
        return self.folder / "report-problem.txt"

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    @property
    def cancelled(self) -> Path:
        return self.folder / "cancelled"

    @property
    def supervised(self) -> Path:
        return self.folder / SUPERVISED_MARKER

    @property
    def outages(self) -> Path:
        """Folder of the notes on services that the run waits for."""
        return self.folder / "waiting"

    def outage(self, service: str) -> Path:
        return self.outages / f"{service}.json"

    def estimates(self, cell: Cell) -> Path:
        """Folder of the cell's separated stems."""
        return self.folder / "estimates" / cell.condition / cell.separator / cell.title

    def cell(self, cell: Cell) -> Path:
        """Folder of the cell's outcome."""
        return self.folder / "cells" / cell.condition / cell.separator / cell.title

    def result(self, cell: Cell) -> Path:
        return self.cell(cell) / RESULT.name

    def error(self, cell: Cell) -> Path:
        return self.cell(cell) / ERROR.name

    def damaged(self, cell: Cell) -> Path:
        """What was damaged in estimates that were removed and are made again."""
        return self.cell(cell) / "damaged.txt"

    def frames(self, cell: Cell) -> Path:
        """Per-frame values behind the cell's scores."""
        return self.cell(cell) / "frames.parquet"
