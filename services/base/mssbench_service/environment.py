"""Settings in the environment: numbers within limits, and words from a list."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

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


def whole_number(
    name: str, default: int, low: int, high: float = math.inf, auto: Callable[[], int] | None = None
) -> int:
    """Like :func:`number`, for whole numbers. With `auto`, the value may also be ``auto``: what that returns."""
    if auto is not None and os.environ.get(name, "").strip() == "auto":
        return auto()
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


def processors(control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Number of processors that this process may use: those of its affinity, within the quota of its container.

    Libraries count the processors of the machine. In a container limited to 2 of 64 processors they would start 64
    threads, which slow each other down.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # versions 2 and 1
        try:
            quota, period = " ".join((control_groups / name).read_text() for name in names).split()
            return max(1, min(count, math.ceil(int(quota) / int(period)))) if int(quota) > 0 else count
        except (OSError, ValueError, ZeroDivisionError):  # not a control group, or "max": without a limit
            continue
    return count


def max_track_seconds() -> float:
    """Read ``MSSBENCH_MAX_SECONDS``, the longest track that services and runs accept, in seconds."""
    return number("MSSBENCH_MAX_SECONDS", DEFAULT_MAX_SECONDS, 0)
