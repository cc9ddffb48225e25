"""Numbers and words in messages and pages."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 cell`` or ``12,000 cells``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


__all__ = ["plural"]
