"""A time limit for the heads of requests: the request line and the headers.

uvicorn waits for a head for ever, so that connections which never send one would use up the files that the process may
open. It has no setting for this, and its command line accepts no protocol class, so its classes are extended in place.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

HEAD_SECONDS = 10.0
"""Time from the connection, or from the first byte of a further request on it, to the end of the head."""

_PROTOCOLS = (("h11_impl", "H11Protocol"), ("httptools_impl", "HttpToolsProtocol"))


def limit_heads() -> None:
    """Close connections of uvicorn servers in this process whose head takes longer than :data:`HEAD_SECONDS`."""
    for module, name in _PROTOCOLS:
        try:
            protocol = getattr(importlib.import_module(f"uvicorn.protocols.http.{module}"), name)
        except ImportError:  # the parser is not installed
            continue
        if not hasattr(protocol, "head_timer"):
            _extend(protocol)


def _extend(protocol: Any) -> None:
    made, received, lost = protocol.connection_made, protocol.data_received, protocol.connection_lost

    def wait_for_head(self: Any) -> None:
        if self.head_timer is None:
            self.head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, close, self)

    def stop_waiting(self: Any) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def close(self: Any) -> None:
        self.head_timer = None
        self.transport.close()

    def connection_made(self: Any, transport: Any) -> None:
        made(self, transport)
        wait_for_head(self)

    def data_received(self: Any, data: bytes) -> None:
        received(self, data)
        # `cycle` is the request whose head has arrived. Between requests, uvicorn's own limit closes the connection.
        if self.cycle is None or self.cycle.response_complete:
            wait_for_head(self)
        else:
            stop_waiting(self)

    def connection_lost(self: Any, error: Exception | None) -> None:
        stop_waiting(self)
        lost(self, error)

    protocol.head_timer = None
    protocol.connection_made = connection_made
    protocol.data_received = data_received
    protocol.connection_lost = connection_lost
