"""Registry of the services: one line each in ``services.toml``, and those that run on this machine (:mod:`.local`).

No code names a separator.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.errors import BadInput
from mssbench_service.names import check_name

from .local import running_services


@dataclass(frozen=True)
class Service:
    """A registered service: its name, its Python package and its URL.

    `remote` is set if ``MSSBENCH_URL_<NAME>`` gives the URL, or if it was started on this machine for this data root.
    The service is then called over HTTP, even if the other services run in this process.
    """

    name: str
    module: str
    url: str
    remote: bool = False


@dataclass(frozen=True)
class Registry:
    """Services by name."""

    tools: dict[str, Service]
    separators: dict[str, Service]

    @property
    def services(self) -> dict[str, Service]:
        """All services, tools first."""
        return self.tools | self.separators


def load_registry(path: Path | None = None) -> Registry:
    """Read the registration file (default: ``MSSBENCH_SERVICES``, else the file in this package).

    Raises
    ------
    BadInput
        The file cannot be read, or an entry lacks its module or URL.
    """
    path = path or Path(os.environ.get("MSSBENCH_SERVICES") or Path(__file__).with_name("services.toml"))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        registry = Registry(_services(table["tools"]), _services(table["separators"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path} is not a list of services: {type(error).__name__}: {error}") from None
    for local in running_services():
        table = registry.tools if local.name in registry.tools else registry.separators
        if not (local.name in table and table[local.name].remote):
            table[local.name] = Service(local.name, local.module, local.url, remote=True)
    return registry


def url_variable(name: str) -> str:
    """Return the environment variable that sets the URL of the service `name`."""
    return f"MSSBENCH_URL_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"


def _services(table: dict[str, dict[str, str]]) -> dict[str, Service]:
    services = {}
    for name, entry in table.items():
        check_name(name, "service")
        given = os.environ.get(url_variable(name), "")
        services[name] = Service(name, entry["module"], (given or entry["url"]).rstrip("/"), bool(given))
    return services
