"""How often one looks at a URL: looking costs, and nobody may hammer it by asking often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .following import FOLLOWED
from .objects import Version
from .store import LAUNCHED

LOOK_SECONDS = 2.0
"""Between looks at a run that somebody follows …"""

TIMES_AS_LONG = 5.0
"""… or so many times what the last look took, if that is more."""

QUIET_SECONDS = 60.0
"""A run that nobody follows is looked at closely so often, unless something about it has changed."""


class Looks:
    """Looks at one thing, one at a time, and no more often than becomes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended, self._took = float("-inf"), 0.0

    def look(self, look: Callable[[], None], at_once: bool) -> None:
        with self._lock:
            begun = time.monotonic()
            if at_once or begun - self._ended >= max(LOOK_SECONDS, TIMES_AS_LONG * self._took):
                look()
                self._ended = time.monotonic()
                self._took = self._ended - begun


class Seen:
    """What was at the URL when a run was looked at closely: beside its cells (`top`), and what came out (`made`)."""

    def __init__(self, found: dict[str, Version]) -> None:
        self._when = time.monotonic()
        self.top = {name: version for name, version in found.items() if "/" not in name}
        self.made = {
            name: version
            for name, version in found.items()
            if name == "results.csv" or name.startswith("report/")
        }

    def still_so(self, top: dict[str, Version]) -> bool:
        """Whether another close look would find the same: nobody is at work, and nothing was changed beside cells."""
        recently = time.monotonic() - self._when < QUIET_SECONDS
        return recently and top == self.top and not top.keys() & {FOLLOWED, LAUNCHED}
