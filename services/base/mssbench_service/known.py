"""Refuse unknown fields and parameters of requests. If they were ignored, a misspelt one would have no effect.

Answers are read without this check, because a later version of a service may send further fields.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from fastapi import Depends, Request

from .errors import BadInput
from .names import suggestion


def require_known_parameters(request: Request) -> None:
    """Raise BadInput with a suggestion if the query has a parameter that the route does not have."""
    known = sorted(parameter.alias for parameter in request.scope["route"].dependant.query_params)
    for name in request.query_params:
        _require_known("parameter", name, known)


KNOWN_PARAMETERS: Any = Depends(require_known_parameters)
"""Dependency of a route: its query has no unknown parameter."""


def known_input(kind: type) -> Any:
    """The same, and its body, JSON of the wire type `kind`, has no unknown field."""

    async def require(request: Request) -> None:
        require_known_parameters(request)
        with contextlib.suppress(ValueError, RecursionError):  # not JSON, which the route refuses
            require_known_fields(kind, await request.json())

    return Depends(require)


def require_known_fields(kind: Any, value: object, where: str = "") -> None:
    """Raise BadInput with a suggestion if parsed JSON has a field that its type does not have.

    Parameters
    ----------
    kind : type
        A wire type, or the type of one of its fields.
    value : object
        Parsed JSON. A value of another type passes: :func:`~mssbench_service.wire.parse` refuses it.
    where : str
        Names the value in the request, for the message.

    Raises
    ------
    BadInput

    Examples
    --------
    >>> from mssbench_service.wire import RenderRequest
    >>> require_known_fields(RenderRequest, {"scene": {"room": {"rt6": 0.4}}})
    Traceback (most recent call last):
        ...
    mssbench_service.errors.BadInput: unknown field 'scene.room.rt6'; did you mean 'rt60'?
    """
    types = _types(kind)
    if types is not None and isinstance(value, Mapping):
        for name, part in value.items():
            _require_known("field", name, types, where)
            require_known_fields(types[name], part, f"{where}{name}.")
    for inner in get_args(kind):
        if _has_fields(inner):
            for name, part in _parts(get_origin(kind), value):
                require_known_fields(inner, part, f"{where}{name}")


def _parts(container: Any, value: object) -> Iterable[tuple[str, object]]:
    """The values in a list or dictionary; an optional value itself."""
    if container is list:
        return [(f"{index}.", part) for index, part in enumerate(value)] if isinstance(value, list) else []
    if container is dict:
        return [(f"{name}.", part) for name, part in value.items()] if isinstance(value, Mapping) else []
    return [("", value)]


@functools.cache
def _types(kind: Any) -> dict[str, Any] | None:
    """The types of the fields of a dataclass."""
    if not is_dataclass(kind):
        return None
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@functools.cache
def _has_fields(kind: Any) -> bool:
    return is_dataclass(kind) or any(map(_has_fields, get_args(kind)))


def _require_known(what: str, name: str, known: Iterable[str], where: str = "") -> None:
    if name not in (known := list(known)):
        near = suggestion(name, known) or f"; known: {', '.join(known) or 'none'}"
        raise BadInput(f"unknown {what} {where[:100] + name[:100]!r}{near}")
