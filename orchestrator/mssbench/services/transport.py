"""How a call reaches a service: the interface that the transports implement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from mssbench_service.wire import (
    SeparatorInfo,
)

from .registry import Service

T = TypeVar("T")


@dataclass(frozen=True)
class Availability:
    """What a separator service offers now; `reason` says why it offers nothing."""

    service: str
    separators: list[SeparatorInfo]
    reason: str = ""


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
