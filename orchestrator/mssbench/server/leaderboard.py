"""The leaderboard of all runs here that have a report, as pages of the service."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path

from mssbench_service.errors import BenchError, NotFound
from mssbench_service.files import DataRoot

from ..runs.fingerprint import FileState, file_state
from ..runs.store import Workspace

log = logging.getLogger("mssbench")


class LeaderboardSite:
    """The files of the leaderboard. They are written again when the report of a run has changed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._written: list[tuple[Path, FileState | None]] = []
        self._lock = threading.Lock()

    def file(self, path: str) -> Path:
        """Return a file of the site.

        Raises
        ------
        NotFound
            There is no such file, or no run has a report.
        """
        with self._lock:
            folder = self._update().resolve()
        found = folder / DataRoot(folder).resolve(path or "index.html").relative_to(folder)
        if not found.is_file():
            raise NotFound(f"the leaderboard has no file {path!r}")
        return found

    def close(self) -> None:
        """Remove the files."""
        with self._lock:
            self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = None

    def _update(self) -> Path:
        from ..report import build_leaderboard  # imports libraries that the other pages do not need
        from ..report.summary import read

        sources = sorted(self._workspace.runs.glob("*/report/summary.json"))
        state = [(path, file_state(path)) for path in sources]
        if (
            self._folder is not None
            and state == self._written
            and (site := Path(self._folder.name, "site")).is_dir()
        ):
            return site
        usable: dict[tuple[str, str], Path] = {}
        for path in sources:
            try:
                first = usable.setdefault(read(path).run.key, path)
                if first is not path:
                    log.warning("not in the leaderboard: %s is of the same run as %s", path, first)
            except BenchError as error:
                log.warning("not in the leaderboard: %s", error.detail)
        if not usable:
            raise NotFound("no run has a report yet")
        if self._folder is None or not Path(self._folder.name).is_dir():
            # Removed at the end of the process too, if nothing closed this object.
            self._folder = tempfile.TemporaryDirectory(
                prefix="mssbench-leaderboard-", ignore_cleanup_errors=True
            )
        site = Path(self._folder.name, "site")
        try:
            build_leaderboard(list(usable.values()), site, home="/")
        except BaseException:
            self._remove()
            raise
        self._written = state
        return site
