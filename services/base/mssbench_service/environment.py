"""Settings in the environment: numbers within limits, and words out of a list."""

from __future__ import annotations

import math
import os

from .errors import BadInput

DEFAULT_MAX_SECONDS = 3600.0
"""Seconds that a track may last unless the environment says otherwise."""


def number(name: str, default: float, low: float, high: float = math.inf) -> float:
    """The environment variable `name` as a number in [`low`, `high`]; unset or empty is `default`.

    Raises
    ------
    BadInput
        It is something else; the message names the variable and the range.
    """
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not low <= value <= high or math.isinf(value):
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
        raise BadInput(f"{name}={text!r} is not a number {limits}")
    return value


def whole_number(name: str, default: int, low: int, high: float = math.inf) -> int:
    """Like :func:`number`, for counts."""
    value = number(name, default, low, high)
    if value != int(value):
        raise BadInput(f"{name}={value:g} is not a whole number")
    return int(value)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """The environment variable `name`, which must be one of `choices`; unset or empty is `default`."""
    value = os.environ.get(name, "").strip() or default
    if value not in choices:
        raise BadInput(f"{name}={value!r}; expected one of {', '.join(choices)}")
    return value


def max_track_seconds() -> float:
    """``MSSBENCH_MAX_SECONDS``: what services, runs and the steps of one process accept."""
    return number("MSSBENCH_MAX_SECONDS", DEFAULT_MAX_SECONDS, 0)
