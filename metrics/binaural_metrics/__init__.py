"""Metrics of music source separation that say whether a stem kept its spatial image."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .cues import Hrirs as Hrirs
    from .signals import InputError as InputError

_EXPORTS = {"Hrirs": "cues", "InputError": "signals"}
"""Public name -> module. A module is imported when one of its names is used first, so that the import is quick."""

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
