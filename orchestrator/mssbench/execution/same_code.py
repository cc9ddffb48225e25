"""Whether a run is continued with the weights, versions and settings that it began with."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator

from mssbench_service.errors import BadInput

from ..runs.compare import pairs
from ..runs.provenance import own_versions
from ..runs.records import Cell
from ..runs.run import Run
from ..services.health import ServiceHealth, survey

log = logging.getLogger("mssbench")

_MACHINE = ("threads", "device", "memory")
"""Details of a separator that describe where it runs, not what it computes."""


def present_versions(run: Run, *names: str) -> dict[str, str]:
    """The present versions of the bench, of Python, and of the services called `names` that answer."""
    return _versions(_health(run, names))


def _health(run: Run, names: Collection[str]) -> list[ServiceHealth]:
    services = run.runtime.registry.services
    return survey(run.runtime, [one for name, one in services.items() if name in names])


def _versions(services: Iterable[ServiceHealth]) -> dict[str, str]:
    return own_versions() | {one.name: one.version for one in services if one.ready and one.version}


def changes(run: Run, cells: Collection[Cell] = ()) -> list[str]:
    """What differs from ``run.json`` in the code that the open cells and `cells` need, one line each."""
    record = run.record
    left = [cell for cell in record.cells() if cell in cells or not run.store.ended(cell)]
    if not left:
        return []
    separators = {cell.separator for cell in left if not run.store.separated(cell)}
    services = {"evaluator", *(record.separator(name).service for name in separators)}
    if any(cell.rendered and not run.rendered(cell.title, cell.condition) for cell in left):
        services.add("synth")
    health = _health(run, services)
    versions = _versions(health)
    known = {name: version for name, version in record.versions.items() if version != "unknown"}
    both = {name: version for name, version in versions.items() if name in known}
    lines = list(pairs("version of", known, known | both))
    offers = {info.name: info.details for service in health for info in service.separators}
    for name in sorted(separators & offers.keys()):
        lines += _settings(name, record.separator(name).details, offers[name])
    return lines


def _settings(name: str, before: dict[str, object], now: dict[str, object]) -> Iterator[str]:
    shared = [key for key in before if key not in _MACHINE and before[key]]
    return pairs(f"{name}:", {key: before[key] for key in shared}, {key: now.get(key) for key in shared})


def require_same_code(run: Run, cells: Collection[Cell] = (), *, accept: bool = False) -> None:
    """Compare the present code with ``run.json``. Changes that are accepted are recorded there and in each new result.

    `cells` are those that will be reopened. Runs of earlier versions did not promise this: of these, only
    weights are compared.

    Raises
    ------
    BadInput
        There are changes, and `accept` is false.
    """
    accepted = run.record.accepted
    found = [line for line in changes(run, cells) if line not in (accepted or ())]
    if not found:
        return
    if not accept and (accepted is not None or any(" weights: " in line for line in found)):
        raise BadInput(
            f"run {run.store.id} began with other code: {'; '.join(found)}. Restore it, start a new run, or accept "
            f"this: mssbench resume {run.store.id} --accept-changes"
        )
    log.warning("run %s is continued with other code: %s", run.store.id, "; ".join(found))
    run.record.accepted = [*(accepted or []), *found]
    run.store.save(run.record)
