"""How a call reaches a service: the interface that the transports implement."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .registry import Service

T = TypeVar("T")


class Transport(Protocol):
    """How one call reaches a service."""

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        """Run `step` of `service`, over a track of so many `seconds` (None: not known).

        Raises the error family of :mod:`mssbench_service.errors`.
        """

    def info(self, service: Service) -> dict[str, Any]:
        """What ``GET /info`` says, at least ``separators`` for a separator. Raises if it is not ready."""

    def close(self) -> None:
        """Give back the connections that it holds."""
