"""Health of the registered services: one survey for the command line, the API, the dashboard and the planner."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from mssbench_service.errors import BenchError, NotReady, Starting, Unreachable
from mssbench_service.wire import SeparatorInfo, parse

from .registry import Registry, Service
from .runtime import Runtime

log = logging.getLogger("mssbench")

IN_PROCESS = "this process"
"""`ServiceHealth.where` of a service that runs in this process."""


@dataclass(frozen=True)
class ServiceHealth:
    """Health of one service at the time of the survey.

    `kind` is tool or separator. `state` is ready, starting, not ready, not there or failed; `reason` says why
    it is not ready.
    """

    name: str
    kind: str = "separator"
    state: str = "ready"
    where: str = ""
    reason: str = ""
    version: str = ""
    device: str = ""
    model: str = ""
    separators: list[SeparatorInfo] = field(default_factory=list)
    weights: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with the names of the separators, and the stems and model card of each."""
        form = asdict(self) | {
            "separators": [separator.name for separator in self.separators],
            "cards": {one.name: {"stems": one.stems, **asdict(one.card)} for one in self.separators},
        }
        del form["kind"]
        return form


def survey(runtime: Runtime, services: Iterable[Service] | None = None) -> list[ServiceHealth]:
    """Request the health of each of `services` once, in parallel; default: of all registered services, tools first.

    A service that does not answer delays the survey by one timeout, however many others there are.
    """
    chosen = list(runtime.registry.services.values() if services is None else services)
    if not chosen:
        return []
    with ThreadPoolExecutor(max_workers=len(chosen), thread_name_prefix="survey") as pool:
        return list(pool.map(lambda service: _health(runtime, service), chosen))


def survey_separators(
    runtime: Runtime, names: Sequence[str] = (), *, tools: bool = False
) -> list[ServiceHealth]:
    """Survey the separator services that `names` need (default: all), and with `tools` synth and evaluator.

    A name is that of a service, or that of a separator: ``oracle-mixture`` belongs to the service ``oracle``. The other
    services are surveyed too if one of these services does not offer the separator, or no service has such a name.
    The result is in the order of registration, tools first.
    """
    registry = runtime.registry
    separators = list(registry.separators.values())
    owners = {name: service_of(name, registry) for name in names}
    needed = [one for one in separators if one in owners.values()] if all(owners.values()) else separators
    surveyed = survey(runtime, [*(registry.tools.values() if tools else ()), *(needed or separators)])
    known = {*registry.separators, *(offer.name for health in surveyed for offer in health.separators)}
    if not known.issuperset(names):
        names_of_surveyed = {health.name for health in surveyed}
        surveyed += survey(runtime, [one for one in separators if one.name not in names_of_surveyed])
    order = list(registry.services)
    return sorted(surveyed, key=lambda health: order.index(health.name))


def service_of(name: str, registry: Registry) -> Service | None:
    """The separator service called `name`, or else the one with the longest name that `name` starts with."""
    parts = re.split("([-:])", name)  # with its separators, so that any number of parts can be joined again
    prefixes = ("".join(parts[:count]) for count in range(len(parts), 0, -2))
    return next((registry.separators[one] for one in prefixes if one in registry.separators), None)


def _health(runtime: Runtime, service: Service) -> ServiceHealth:
    kind = "separator" if service in runtime.registry.separators.values() else "tool"
    where = service.url if runtime.is_remote(service) else IN_PROCESS
    try:
        info = runtime.transport.info(service)
        separators = parse(list[SeparatorInfo], info.get("separators", []))
    except BenchError as error:
        return ServiceHealth(service.name, kind, _state(error), where, error.detail)
    except Exception as error:  # a package that fails during import must not fail the survey
        log.exception("service %s", service.name)
        return ServiceHealth(service.name, kind, "failed", where, f"{type(error).__name__}: {error}")
    details = separators[0].details if separators else info
    devices = {one.device for one in separators if not one.reason}
    if not separators:
        devices = {str(info.get("device", ""))}
    weights = details.get("weights", [])
    return ServiceHealth(
        service.name,
        kind,
        where=where,
        version=str(info.get("version", "")),
        device=", ".join(sorted(devices - {""})),
        model=str(details.get("model", "")),
        separators=separators,
        weights=[one for one in weights if isinstance(one, dict)] if isinstance(weights, list) else [],
    )


def _state(error: BenchError) -> str:
    if isinstance(error, Starting):
        return "starting"
    if isinstance(error, Unreachable):
        return "not there"
    return "not ready" if isinstance(error, NotReady) else "failed"
