"""How the registered services stand, for a person who wonders what is up."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mssbench_service.errors import BenchError, NotReady, Starting, Unreachable

from .registry import Service
from .runtime import Runtime

HERE = "this process"


@dataclass(frozen=True)
class ServiceHealth:
    """One service now. `state` is ready, starting, not ready, not there or failed; `reason` says why."""

    name: str
    state: str
    where: str
    reason: str = ""
    version: str = ""
    device: str = ""
    model: str = ""
    separators: list[str] = field(default_factory=list)
    weights: list[Mapping[str, Any]] = field(default_factory=list)


def survey_health(runtime: Runtime) -> list[ServiceHealth]:
    """How every registered service stands, tools first, in the order of registration."""
    registry = runtime.registry
    services = [*registry.tools.values(), *registry.separators.values()]
    with ThreadPoolExecutor(max_workers=len(services)) as pool:  # one that hangs must not hold up the others
        return list(pool.map(lambda service: _look_at(runtime, service), services))


def _look_at(runtime: Runtime, service: Service) -> ServiceHealth:
    where = service.url if runtime.is_elsewhere(service) else HERE
    try:
        info = runtime.transport.info(service)
    except BenchError as error:
        return ServiceHealth(service.name, _state(error), where, error.detail)
    separators = [item for item in info.get("separators", []) if isinstance(item, dict)]
    first = separators[0] if separators else info
    details = first.get("details", info)
    weights = details.get("weights", [])
    return ServiceHealth(
        name=service.name,
        state="ready",
        where=where,
        version=str(info.get("version", "")),
        device=str(first.get("device", "")),
        model=str(details.get("model", "")),
        separators=[str(item.get("name", "")) for item in separators],
        weights=[weight for weight in weights if isinstance(weight, dict)],
    )


def _state(error: BenchError) -> str:
    if isinstance(error, Starting):
        return "starting"
    if isinstance(error, Unreachable):
        return "not there"
    return "not ready" if isinstance(error, NotReady) else "failed"
