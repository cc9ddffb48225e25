"""Who follows which run, where machines share nothing but a URL: a sign of life there, as old as its file.

A name is a machine's and its cache's: processes that share a cache exclude each other by its locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mssbench_service.errors import BenchError, Conflict, StorageUnavailable

from .limits import Limits
from .objects import Objects

log = logging.getLogger("mssbench")

FOLLOWED = "followed"


class Following:
    """The runs that this process follows, and what others say of theirs.

    Who follows a run says so every :attr:`Limits.heartbeat_seconds`; after :attr:`Limits.silence_seconds` without,
    another may. `look` brings the sign into the folder `root` as it is at the URL now.
    """

    def __init__(self, objects: Objects, root: Path, look: Callable[[str], None]) -> None:
        self._objects, self._root, self._look = objects, root, look
        self._name = f"{socket.gethostname()} {hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:8]}"
        self._mine: dict[str, tuple[threading.Event, threading.Thread]] = {}

    def claim(self, run_id: str) -> None:
        """Follow the run from now on.

        Raises
        ------
        Conflict
            Somebody else does.
        """
        self._refuse_if_followed(run_id)
        sign = f"{self._name} {time.time():.0f}".encode()
        self._objects.write(_sign(run_id), sign)
        self._refuse_if_followed(run_id)  # of two who claim it at once, the later one stays
        stop = threading.Event()
        beats = threading.Thread(target=self._beats, args=(run_id, sign, stop), name="followed", daemon=True)
        self._mine[run_id] = (stop, beats)
        beats.start()

    def release(self, run_id: str) -> None:
        """Follow it no longer; nothing happens if another took it over."""
        if run_id in self._mine:
            stop, beats = self._mine.pop(run_id)
            stop.set()
            beats.join(timeout=10.0)  # or its last sign could come after the end
            with contextlib.suppress(StorageUnavailable):  # then it expires
                self._objects.delete(_sign(run_id))

    def mine(self, run_id: str) -> bool:
        """Whether this process still follows the run: one that was not heard of for long may have lost it."""
        return run_id in self._mine

    def by_another(self, run_id: str) -> str:
        """The machine that follows the run, going by the last look; empty if none does, or only this cache's."""
        path = self._root / _sign(run_id)
        try:
            recently = time.time() - path.stat().st_mtime < Limits.from_environment().silence_seconds
            said = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""
        return said.partition(" ")[0] if recently and not said.startswith(self._name) else ""

    def since(self, run_id: str) -> float:
        """When whoever follows the run took it up (seconds, Unix), going by the last look; 0.0 if that is not known."""
        try:
            return float((self._root / _sign(run_id)).read_text(encoding="utf-8").split()[2])
        except (OSError, ValueError, IndexError):
            return 0.0

    def _refuse_if_followed(self, run_id: str) -> None:
        self._look(_sign(run_id))
        if by := self.by_another(run_id):
            patience = Limits.from_environment().silence_seconds
            raise Conflict(
                f"run {run_id} is being run by {by}; if that has died, it is free {patience:g} seconds after "
                "its last sign of life"
            )

    def _beats(self, run_id: str, sign: bytes, stop: threading.Event) -> None:
        while not stop.wait(Limits.from_environment().heartbeat_seconds):
            try:
                said = self._objects.read(_sign(run_id))
                if said and not said.startswith(self._name.encode()):
                    log.warning("run %s: %s follows it now", run_id, said.decode(errors="replace"))
                    self._mine.pop(run_id, None)
                    return
                if not stop.is_set():
                    self._objects.write(_sign(run_id), sign)
            except (BenchError, OSError) as error:
                log.warning("%s", error)


def _sign(run_id: str) -> str:
    return f"runs/{run_id}/{FOLLOWED}"
