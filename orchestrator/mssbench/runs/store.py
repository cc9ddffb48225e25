"""The run directory: the truth about a run. This module owns all its paths.

::

    <root>/data/rendered/<key>/<title>/     a track, rendered; shared by all runs that need the same
    <root>/runs/<run id>/
        run.json                            what was asked, what was found, versions: see `RunRecord`
        estimates/<condition>/<separator>/<title>/<stem>.wav, separation.json
        cells/<condition>/<separator>/<title>/result.json or error.json; frames.parquet
        launched-by-api                     marker: the orchestrator service follows the run
        cancelled                           marker: nobody is to go on with the run until it is resumed
        report-problem.txt                  why the tables or the report could not be written
        results.csv                         written when the run ends, and by `mssbench report`
        report/index.html

A cell (condition × separator × track) has ended when it has a ``result.json`` or an ``error.json``. Files
appear by renaming, so a process may be killed at any moment and what is there can be trusted.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, Conflict, NotFound
from mssbench_service.files import make_folder, read_json, write_json
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.wire import parse

from .formats import ERROR, RESULT, RUN
from .records import Cell, RunRecord

LOG_CHARACTERS = 4000
"""As much of a failure's log is kept in its ``error.json``."""

LAUNCHED = "launched-by-api"
"""Marker of runs that the orchestrator service follows."""

DELETED = ".deleted-"
"""How the names of run directories begin that are being removed."""


@dataclass(frozen=True)
class Workspace:
    """The data root, as the orchestrator sees it."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def rendered(self, key: str, title: str) -> Path:
        return self.root / "data" / "rendered" / key / title

    def run(self, run_id: str) -> RunStore:
        """The run called `run_id`, which need not exist yet."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id, re.ASCII):
            raise BadInput(f"{run_id!r} is not a run id; expected up to 64 letters, digits, '-' and '_'")
        return RunStore(self.runs / run_id)

    def run_ids(self) -> list[str]:
        """Runs that have been started, newest first."""
        found = [path for path in self.runs.glob("*/run.json") if not path.parent.name.startswith(".")]
        return [path.parent.name for path in sorted(found, key=lambda p: (-p.stat().st_mtime, p))]

    def launched_ids(self) -> list[str]:
        """Runs that the orchestrator service is to follow, as they are known here."""
        return sorted(marker.parent.name for marker in self.runs.glob(f"*/{LAUNCHED}"))


def open_workspace(root: Path | None = None) -> Workspace:
    """The data root at `root`; default: ``MSSBENCH_DATA_ROOT``, else the working directory."""
    return Workspace(Path(root or os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd()))


@dataclass(frozen=True)
class RunStore:
    """One run directory."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def record_path(self) -> Path:
        return self.folder / "run.json"

    @property
    def results_csv(self) -> Path:
        return self.folder / "results.csv"

    @property
    def report(self) -> Path:
        return self.folder / "report" / "index.html"

    def estimates(self, cell: Cell) -> Path:
        return self.folder / "estimates" / cell.condition / cell.separator / cell.title

    def cell_folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.condition / cell.separator / cell.title

    @property
    def cancel_marker(self) -> Path:
        return self.folder / "cancelled"

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: no step of it is to be begun until it is resumed."""
        return self.cancel_marker.exists()

    @property
    def launched(self) -> Path:
        """Marker: the orchestrator service follows the run, also after a restart."""
        return self.folder / LAUNCHED

    def launch(self) -> None:
        """The orchestrator service is to follow the run."""
        self.launched.touch()

    def leave(self) -> None:
        """The orchestrator service is to follow it no longer."""
        self.launched.unlink(missing_ok=True)

    @property
    def problem(self) -> Path:
        """Why the run's tables or report could not be written."""
        return self.folder / "report-problem.txt"

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    @property
    def taken_up(self) -> float:
        """When somebody last took the run up (seconds, Unix); 0.0 if nobody ever did."""
        try:
            return self.lock.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def held(self) -> bool:
        """Whether some process holds the run (:meth:`exclusive`) and so goes on with it."""
        try:
            with self.lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except BlockingIOError:
            return True
        return False

    def cancel(self) -> None:
        """No step is to be begun any more."""
        self.cancel_marker.touch()

    def go_on(self) -> None:
        """Whether it was cancelled or not, it is to go on."""
        self.cancel_marker.unlink(missing_ok=True)

    def frames(self, cell: Cell) -> Path:
        """The values behind the cell's scores, frame by frame."""
        return self.cell_folder(cell) / "frames.parquet"

    def exists(self) -> bool:
        return self.record_path.exists()

    def save(self, record: RunRecord) -> None:
        write_json(self.record_path, asdict(record))

    def load(self) -> RunRecord:
        """The run's record.

        Raises
        ------
        NotFound
            There is no such run.
        BadInput
            ``run.json`` is damaged, or was written by a newer version (:mod:`mssbench.runs.formats`).
        """
        if not self.exists():
            raise NotFound(f"there is no run {self.id!r} in {self.folder.parent}")
        found = RUN.read(self.record_path)
        try:
            return parse(RunRecord, found)
        except BadInput as error:  # of many faults, such as each separator's, the first says enough
            fault = error.detail.partition("; ")[0]
            raise BadInput(f"{self.record_path} is not the record of a run: {fault}") from None

    def separated(self, cell: Cell) -> bool:
        return os.path.exists(self._path("estimates", cell, SEPARATION_FILE))

    def past_separation(self, cell: Cell) -> bool:
        """Whether nothing is left to separate: it was done, or the cell has ended without."""
        return self.separated(cell) or self.ended(cell)

    def ended(self, cell: Cell) -> bool:
        return self.succeeded(cell) or self.failed(cell)

    def succeeded(self, cell: Cell) -> bool:
        return os.path.exists(self._path("cells", cell, "result.json"))

    def failed(self, cell: Cell) -> bool:
        return os.path.exists(self._path("cells", cell, "error.json"))

    def _path(self, kind: str, cell: Cell, name: str) -> str:
        # As text: ten thousand cells are asked for at a time, and a Path costs more than the question.
        return f"{self.folder}/{kind}/{cell.condition}/{cell.separator}/{cell.title}/{name}"

    def outcome(self, cell: Cell) -> dict[str, Any] | None:
        """The cell's result or error, or None while it has not ended.

        Raises
        ------
        BadInput
            The file is damaged, or was written by a newer version; the message names it.
        """
        for kind, is_one in ((RESULT, _is_result), (ERROR, _is_error)):
            path = self.cell_folder(cell) / kind.name
            if path.exists():
                try:
                    found = read_json(path)
                except BadInput as error:
                    raise BadInput(f"{error.detail}; mssbench resume {self.id} does the cell again") from None
                outcome: dict[str, Any] = kind.current(found, str(path)) if isinstance(found, dict) else {}
                if not is_one(outcome):
                    raise BadInput(
                        f"{path} does not hold what a cell of a run ends with; remove it to try again"
                    )
                return outcome
        return None

    def unreadable(self, cell: Cell) -> bool:
        """Whether the cell has ended with a file that is not even JSON."""
        for kind in (RESULT, ERROR):
            try:
                read_json(self.cell_folder(cell) / kind.name)
            except NotFound:
                continue
            except BadInput:
                return True
        return False

    def save_result(self, cell: Cell, result: dict[str, Any]) -> None:
        """End the cell with a result, which replaces an error that an earlier try may have left."""
        write_json(self.cell_folder(cell) / "result.json", RESULT.stamped(asdict(cell) | result))
        if self.failed(cell):
            (self.cell_folder(cell) / "error.json").unlink(missing_ok=True)

    def save_error(
        self, cell: Cell, step: str, code: str, detail: str, *, tries: int = 1, trace: str = ""
    ) -> None:
        """End the cell with an error. A result that is there already stands.

        `trace` is what is known of how it came about, the end of which is kept: earlier tries, a traceback.
        """
        if not self.succeeded(cell):
            error = {
                "step": step,
                "code": code,
                "detail": detail,
                "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "tries": tries,
                "host": socket.gethostname(),
                "worker": os.environ.get("RQ_WORKER_ID", ""),
                "log": trace[-LOG_CHARACTERS:],
            }
            write_json(self.cell_folder(cell) / "error.json", ERROR.stamped(asdict(cell) | error))

    def forget_outcome(self, cell: Cell) -> None:
        """Let the cell be tried again from where its files allow: what was separated stays."""
        for name in ("result.json", "error.json"):
            (self.cell_folder(cell) / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run for one launcher at a time; the lock ends with the process, however it ends.

        Raises
        ------
        Conflict
            Another process is running it.
        """
        make_folder(self.folder)
        with self.lock.open("w") as lock:
            for patience in reversed(range(20)):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not patience:
                        raise Conflict(f"run {self.id} is being run by another process") from None
                    time.sleep(0.02)  # somebody may have asked this very moment whether it is held
            os.utime(self.lock)  # see `taken_up`
            yield


# By hand rather than parsed as a whole: there are ten thousand of them to read.


def _is_result(outcome: object) -> bool:
    rows = outcome.get("rows") if isinstance(outcome, dict) else None
    return isinstance(rows, list) and all(
        isinstance(row, dict) and isinstance(row.get("source"), str) and isinstance(row.get("status"), str)
        for row in rows
    )


def _is_error(outcome: object) -> bool:
    return isinstance(outcome, dict) and {"step", "detail"} <= outcome.keys()
