"""Reads and writes run directories. A run's state is what its directory holds, and nothing else.

A cell (condition × separator × track) has ended when it has a ``result.json`` or an ``error.json``. Files are
written under a temporary name and renamed, so that a process can be killed at any time and every file is complete.
:mod:`mssbench.runs.layout` lists the files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import DataRoot, read_json, write_json
from mssbench_service.formats import SEPARATION_FORMAT, Format
from mssbench_service.wire import parse

from .formats import ERROR, RESULT, RUN
from .layout import SUPERVISED_MARKER, RunLayout
from .lock import RunLock, RunMarkers, folder_locked
from .outages import Outages
from .provenance import now
from .records import RENDERED, Cell, RunRecord

log = logging.getLogger("mssbench")

LOG_CHARACTERS = 4000
"""Longest log in an ``error.json``; its end is kept."""


@dataclass(frozen=True)
class Workspace:
    """The data root: all runs and renderings."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def renderings(self) -> Path:
        return self.root / RENDERED

    def rendered(self, key: str, title: str) -> Path:
        """Folder of a rendered track."""
        return self.renderings / key / title

    def run(self, run_id: str) -> RunStore:
        """The run called `run_id`, which need not exist yet.

        Raises
        ------
        BadInput
            `run_id` has characters that are not allowed.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run_id, re.ASCII):
            raise BadInput(f"{run_id!r} is not a run id; expected up to 64 letters, digits, '-' and '_'")
        return RunStore(self.runs / run_id)

    def run_ids(self) -> list[str]:
        """Runs that have a record, newest first."""
        found = []
        for path in self.runs.glob(f"*/{RUN.name}"):
            with contextlib.suppress(FileNotFoundError):  # the run was deleted meanwhile
                if not path.parent.name.startswith("."):
                    found.append((-path.stat().st_mtime, path))
        return [path.parent.name for _, path in sorted(found)]

    def supervised_ids(self) -> list[str]:
        """Runs that the orchestrator service executes."""
        return sorted(marker.parent.name for marker in self.runs.glob(f"*/{SUPERVISED_MARKER}"))


def open_workspace(root: str | Path | None = None) -> Workspace:
    """The data root at `root`; default: ``MSSBENCH_DATA_ROOT``, else the working directory."""
    return Workspace(Path(root or os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd()))


_LOST_RECORD = "remove this file and repeat the command that started the run, which keeps its results"


@dataclass(frozen=True)
class RunStore:
    """The record and the outcomes in one run directory."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @cached_property
    def layout(self) -> RunLayout:
        return RunLayout(self.folder)

    @cached_property
    def lock(self) -> RunLock:
        return RunLock(self.layout)

    @cached_property
    def outages(self) -> Outages:
        return Outages(self.layout)

    @cached_property
    def markers(self) -> RunMarkers:
        return RunMarkers(self.layout)

    def exists(self) -> bool:
        return self.layout.record.exists()

    def save(self, record: RunRecord) -> None:
        # `mssbench gc` removes renderings under the exclusive lock, after it has read all records.
        with folder_locked(self.folder.parent, shared=True):
            write_json(self.layout.record, asdict(record))

    def load(self) -> RunRecord:
        """Read the run's record.

        Raises
        ------
        NotFound
            There is no such run.
        BadInput
            ``run.json`` is damaged, or was written by a newer version (:mod:`mssbench.runs.formats`).
        """
        if not self.exists():
            raise NotFound(f"there is no run {self.id!r} in {self.folder.parent}")
        try:
            content = read_json(self.layout.record)
        except BadInput as error:
            raise BadInput(f"{error.detail}; {_LOST_RECORD}") from None
        found = RUN.current(content, str(self.layout.record))
        if isinstance(found.get("config"), dict):  # earlier versions kept all estimates
            found["config"] = {"keep_estimates": "all"} | found["config"]
        try:
            return parse(RunRecord, found)
        except BadInput as error:  # there may be one fault for each separator; the first one is enough
            fault = error.detail.partition("; ")[0]
            raise BadInput(
                f"{self.layout.record} is not the record of a run: {fault}; {_LOST_RECORD}"
            ) from None

    def separated(self, cell: Cell) -> bool:
        return self._has("estimates", cell, SEPARATION_FORMAT.name)

    def ended(self, cell: Cell) -> bool:
        return self.succeeded(cell) or self.failed(cell)

    def succeeded(self, cell: Cell) -> bool:
        return self._has("cells", cell, RESULT.name)

    def failed(self, cell: Cell) -> bool:
        return self._has("cells", cell, ERROR.name)

    def _has(self, kind: str, cell: Cell, name: str) -> bool:
        # As text: ten thousand cells are checked at a time, and building a `Path` costs more than the check.
        return os.path.exists(f"{self.folder}/{kind}/{cell.condition}/{cell.separator}/{cell.title}/{name}")

    def outcome(self, cell: Cell) -> dict[str, Any] | None:
        """The cell's result or error; None while it has not ended.

        Raises
        ------
        BadInput
            The file is damaged, or was written by a newer version; the message names it.
        """
        for kind, is_valid in _OUTCOMES:
            path = self.layout.cell(cell) / kind.name
            if path.exists():
                outcome, problem = _read_outcome(path, kind, is_valid, cell)
                remedy = f"mssbench resume {self.id} repeats the cell"
                if outcome is None:
                    raise BadInput(f"{problem}; {remedy}")
                if problem:
                    log.warning("%s; %s", problem, remedy)
                # Earlier versions wrote the paths in messages in full.
                for part in outcome["rows"] if kind is RESULT else [outcome]:
                    for name in ("reason", "detail", "log"):
                        if "/" in (text := str(part.get(name) or "")):
                            part[name] = self.hide_root(text)
                return outcome
        return None

    def save_result(self, cell: Cell, result: dict[str, Any]) -> None:
        """End the cell with a result. It replaces the error of an earlier attempt."""
        write_json(self.layout.result(cell), RESULT.stamped(asdict(cell) | result))
        if self.failed(cell):
            self.layout.error(cell).unlink(missing_ok=True)

    def save_error(
        self, cell: Cell, step: str, code: str, detail: str, *, tries: int = 1, trace: str = ""
    ) -> None:
        """End the cell with an error. An existing result is kept.

        `trace` is the log of the failure: earlier attempts and a traceback. Its end is kept. Paths below the data root
        become relative to it, because tables and reports are published.
        """
        if not self.succeeded(cell):
            error = {
                "step": step,
                "code": code,
                "detail": self.hide_root(detail),
                "when": now(),
                "tries": tries,
                "host": socket.gethostname(),
                "worker": os.environ.get("RQ_WORKER_ID", ""),
                "log": self.hide_root(trace)[-LOG_CHARACTERS:],
            }
            write_json(self.layout.error(cell), ERROR.stamped(asdict(cell) | error))

    def hide_root(self, text: str) -> str:
        """Make the paths in `text` relative to the data root."""
        return DataRoot(self.folder.parent.parent).hide_root(text)

    def clear_outcome(self, cell: Cell) -> None:
        """Reopen the cell. Its estimates are kept."""
        for path in (self.layout.result(cell), self.layout.error(cell)):
            path.unlink(missing_ok=True)


# Checked by hand instead of parsed: a run has up to ten thousand outcomes.


def _is_result(cell: Cell, outcome: dict[str, Any]) -> bool:
    rows = outcome.get("rows")
    if not (_is_of(cell, outcome) and isinstance(rows, list)):
        return False
    if not all(
        isinstance(row, dict) and isinstance(row.get("status"), str) and _is_of(cell, row) for row in rows
    ):
        return False
    sources = [row.get("source") for row in rows]
    # Which of them a separator offers is in the run's record (:mod:`.results`).
    return (
        bool(sources) and all(isinstance(one, str) for one in sources) and len(set(sources)) == len(sources)
    )


def _is_error(cell: Cell, outcome: dict[str, Any]) -> bool:
    return _is_of(cell, outcome) and {"step", "detail"} <= outcome.keys()


def _is_of(cell: Cell, found: dict[str, Any]) -> bool:
    return all(found.get(name, value) == value for name, value in vars(cell).items())


_IsValid = Callable[[Cell, dict[str, Any]], bool]
_OUTCOMES: tuple[tuple[Format, _IsValid], ...] = ((RESULT, _is_result), (ERROR, _is_error))


def _read_outcome(
    path: Path, kind: Format, is_valid: _IsValid, cell: Cell
) -> tuple[dict[str, Any] | None, str]:
    """The content of an outcome, None if it cannot be used; and what is wrong with it. Raises for a newer version."""
    try:
        found = read_json(path)
    except BadInput as error:
        return None, error.detail
    outcome = kind.current(found, str(path)) if isinstance(found, dict) else {}
    if not is_valid(cell, outcome):
        return None, f"{path} is not the outcome of this cell"
    return outcome, "" if kind.is_intact(found) else f"{path} was changed after it was written"


def has_damaged_outcome(store: RunStore, cell: Cell) -> bool:
    """Whether the cell has an outcome that cannot be read, belongs to another cell, or is not as it was written."""
    for kind, is_valid in _OUTCOMES:
        with contextlib.suppress(NotFound, BadInput):  # a newer version wrote it: reading it says so
            if _read_outcome(store.layout.cell(cell) / kind.name, kind, is_valid, cell)[1]:
                return True
    return False
