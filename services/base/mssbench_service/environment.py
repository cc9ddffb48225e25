"""Settings in the environment: numbers within limits, and words from a list."""

from __future__ import annotations

import math
import os

from .errors import BadInput

DEFAULT_MAX_SECONDS = 3600.0
"""Longest track in seconds, unless ``MSSBENCH_MAX_SECONDS`` is set."""


def number(name: str, default: float, low: float, high: float = math.inf) -> float:
    """Read the environment variable `name` as a number in [`low`, `high`]; `default` if it is unset or empty.

    Raises
    ------
    BadInput
        The value is not such a number; the message names the variable and the range.
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
    """Like :func:`number`, for whole numbers."""
    value = number(name, default, low, high)
    if value != int(value):
        raise BadInput(f"{name}={value:g} is not a whole number")
    return int(value)


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Read the environment variable `name`, one of `choices`; `default` if it is unset or empty."""
    value = os.environ.get(name, "").strip() or default
    if value not in choices:
        raise BadInput(f"{name}={value!r}; expected one of {', '.join(choices)}")
    return value


def max_track_seconds() -> float:
    """Read ``MSSBENCH_MAX_SECONDS``, the longest track that services and runs accept, in seconds."""
    return number("MSSBENCH_MAX_SECONDS", DEFAULT_MAX_SECONDS, 0)
