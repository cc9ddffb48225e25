"""The application under test, without a network.

``uvicorn mssbench_contract.app:app``. Opening a connection and looking up a name raise an error, and are recorded in
the file ``MSSBENCH_CONTRACT_NETWORK``.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

APP, NETWORK = "MSSBENCH_CONTRACT_APP", "MSSBENCH_CONTRACT_NETWORK"


def guarded_app() -> Any:
    """Import the application that ``MSSBENCH_CONTRACT_APP`` names (``module:attribute``)."""
    refuse_network(Path(os.environ[NETWORK]))
    module, _, attribute = os.environ[APP].partition(":")
    return getattr(importlib.import_module(module), attribute)


def refuse_network(record: Path) -> None:
    """Make each attempt of this process to use the network fail, and write it to `record`.

    The server itself only listens, on an address that needs no lookup.
    """
    refused = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in refused:
            record.write_text(f"{event} {arguments}")
            raise PermissionError(f"the network may not be used here ({event})")

    sys.addaudithook(refuse)


def __getattr__(name: str) -> Any:
    # uvicorn reads `app` in the server's process. Importing this module elsewhere loads nothing.
    if name == "app":
        return guarded_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
