"""Interface of the transports: how a call reaches a service."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .registry import Service

T = TypeVar("T")


class Transport(Protocol):
    """Calls services, in this process or over HTTP."""

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        """Run `step` of `service` on a track of `seconds` (None: unknown).

        Raises the errors of :mod:`mssbench_service.errors`.
        """

    def info(self, service: Service) -> dict[str, Any]:
        """Return the answer of ``GET /info``. Raises if the service is not ready."""

    def close(self) -> None:
        """Close all connections."""
