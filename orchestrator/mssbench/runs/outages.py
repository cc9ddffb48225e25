"""Services that a run waits for. All workers of the run share this information through its directory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mssbench_service.errors import BenchError
from mssbench_service.files import read_json, write_json

from .layout import RunLayout

STALE_SECONDS = 60.0
"""A note that was not renewed for this long is not valid: the process that waited has ended."""


@dataclass(frozen=True)
class Outages:
    """One note for each unavailable service: since when, and why."""

    layout: RunLayout

    def note(self, service: str, reason: str) -> float:
        """Note that `service` is unavailable now. Return for how long it has been, in seconds."""
        now = time.time()
        since = self._since(service, now)
        write_json(self.layout.outage(service), {"since": now if since is None else since, "reason": reason})
        return 0.0 if since is None else now - since

    def end(self, service: str) -> None:
        """Remove the note: the service answers again."""
        self.layout.outage(service).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all notes, so that the waiting time starts again."""
        for path in self.layout.outages.glob("*.json"):
            path.unlink(missing_ok=True)

    def current(self) -> list[str]:
        """The services that a process waits for now."""
        now = time.time()
        names = sorted(path.stem for path in self.layout.outages.glob("*.json"))
        return [name for name in names if self._since(name, now) is not None]

    def _since(self, service: str, now: float) -> float | None:
        path = self.layout.outage(service)
        try:
            if now - path.stat().st_mtime > STALE_SECONDS:
                return None
            return min(now, float(read_json(path)["since"]))
        except (OSError, BenchError, TypeError, KeyError, ValueError):  # none, or damaged: it starts again
            return None
