"""Services that run on this machine for one data root, registered by ``mssbench services start``.

Registrations and logs are in ``$XDG_STATE_HOME/mssbench/services/<host>/`` (default: ``~/.local/state``). A
registration counts only while its process runs, which its start time identifies: another process may get the same
number later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mssbench_service.errors import BenchError, StepFailed
from mssbench_service.files import read_json, write_json
from mssbench_service.names import check_name
from mssbench_service.wire import parse

STOP_SECONDS = 10.0
"""Time that a stopped service has to end before it is killed."""


@dataclass(frozen=True)
class LocalService:
    """A registration. `process_start` identifies the process with the number `pid`; `root` is the data root."""

    name: str
    module: str
    url: str
    root: str
    pid: int
    process_start: str

    @property
    def running(self) -> bool:
        return process_start(self.pid) == self.process_start

    @property
    def log(self) -> Path:
        return file_of(self.name, Path(self.root), ".log")

    @property
    def record(self) -> Path:
        return file_of(self.name, Path(self.root), ".json")

    def save(self) -> None:
        write_json(self.record, asdict(self))

    def stop(self) -> bool:
        """Stop the process and remove the registration. Return whether it was running.

        Raises
        ------
        StepFailed
            The process does not end.
        """
        was_running = self.running
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5.0)):
            if not self.running:
                break
            with contextlib.suppress(ProcessLookupError):
                # It is the leader of a group, which includes the processes that a model starts.
                os.killpg(self.pid, number)
            deadline = time.monotonic() + seconds
            while self.running and time.monotonic() < deadline:
                time.sleep(0.05)
        if self.running:
            raise StepFailed(f"{self.name} (process {self.pid}) does not end")
        self.record.unlink(missing_ok=True)
        return was_running


def registered() -> list[LocalService]:
    """All registrations on this machine, of all data roots, including those of processes that have ended."""
    found = []
    for path in sorted(state_folder().glob("*.json")):
        with contextlib.suppress(BenchError, OSError):  # another process has removed it, or it is damaged
            found.append(parse(LocalService, read_json(path)))
    return found


def running_services(root: Path | None = None) -> list[LocalService]:
    """The services that run here for the data root (default: ``MSSBENCH_DATA_ROOT``, else the working directory)."""
    here = str((root or Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd())).resolve())
    return [one for one in registered() if one.root == here and one.running]


def file_of(name: str, root: Path, suffix: str) -> Path:
    """Path of a file of the service `name` for the data root `root`."""
    check_name(name, "service")
    return state_folder() / f"{name}-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]}{suffix}"


def state_folder() -> Path:
    """Folder of the registrations and logs of this machine."""
    # By host: the home folder of a cluster is the same on all nodes, the processes are not.
    # Unlike Path.home(), expanduser() does not fail for a user without a home folder.
    state = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))
    return state / "mssbench" / "services" / re.sub(r"[^\w.-]", "_", socket.gethostname())


def process_start(pid: int) -> str:
    """When the process `pid` started, as a text that no other process has; empty if there is no such process."""
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, started = listed.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()
    try:
        # The name of the program is in brackets and may contain any character.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
