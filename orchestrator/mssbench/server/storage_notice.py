"""Notice of runs that seem to be lost, because the service was started on another folder or volume."""

from __future__ import annotations

import uuid

from mssbench_service.files import make_folder, write_text
from redis import Redis

from ..runs.store import Workspace

_KEY = "mssbench:storage"
_ID_FILE = ".storage-id"


def storage_notice(workspace: Workspace, connection: Redis) -> str:
    """Return a notice if the service had runs in another folder before; empty otherwise.

    The folder is compared with that of earlier starts, which Redis stores. The notice is repeated at each start until
    the present folder has runs.
    """
    here, runs = _storage_id(workspace), len(workspace.run_ids())
    known_id, known_runs = connection.hmget(_KEY, ["id", "runs"])
    earlier = int(known_runs or 0) if known_id not in (None, here.encode()) else 0
    if runs or not earlier:
        remember_storage(workspace, connection)
    if not earlier:
        return ""
    return (
        f"Before this start, the system had {earlier} runs in another folder or volume. The present one has {runs}. "
        "If runs are missing, check MSSBENCH_RUNS and MSSBENCH_DATA: ./mssbench-compose init keeps them in .env."
    )


def remember_storage(workspace: Workspace, connection: Redis) -> None:
    """Remember the present folder and its number of runs in Redis."""
    connection.hset(_KEY, mapping={"id": _storage_id(workspace), "runs": len(workspace.run_ids())})


def _storage_id(workspace: Workspace) -> str:
    path = make_folder(workspace.runs) / _ID_FILE
    if not path.exists():
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")
