"""The leaderboard of all runs here that have a report, as pages of the service."""

from __future__ import annotations

import atexit
import logging
import tempfile
import threading
from pathlib import Path

from mssbench_service.errors import BenchError, NotFound
from mssbench_service.files import DataRoot

from ..runs.store import Workspace

log = logging.getLogger("mssbench")


class LeaderboardSite:
    """The files of the leaderboard. They are written again when the report of a run has changed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        temporary = tempfile.TemporaryDirectory(prefix="mssbench-leaderboard-")
        atexit.register(temporary.cleanup)
        self._site = Path(temporary.name) / "site"
        self._written: list[tuple[str, int]] = []
        self._lock = threading.Lock()

    def file(self, path: str) -> Path:
        """Return a file of the site.

        Raises
        ------
        NotFound
            There is no such file, or no run has a report.
        """
        with self._lock:
            self._update()
        folder = self._site.resolve()
        found = folder / DataRoot(folder).resolve(path or "index.html").relative_to(folder)
        if not found.is_file():
            raise NotFound(f"the leaderboard has no file {path!r}")
        return found

    def _update(self) -> None:
        from ..report import build_leaderboard  # imports libraries that the other pages do not need
        from ..report.summary import read

        sources = sorted(self._workspace.runs.glob("*/report/summary.json"))
        state = [(str(path), path.stat().st_mtime_ns) for path in sources]
        if state == self._written and self._site.is_dir():
            return
        usable = []
        for path in sources:
            try:
                read(path)
                usable.append(path)
            except BenchError as error:
                log.warning("not in the leaderboard: %s", error.detail)
        if not usable:
            raise NotFound("no run has a report yet")
        build_leaderboard(usable, self._site)
        self._written = state


__all__ = ["LeaderboardSite"]
