"""Numbers and words in messages and pages."""

from __future__ import annotations


def number(value: float, digits: int = 2) -> str:
    """Return a number with `digits` significant digits, without exponent.

    Examples
    --------
    >>> number(0.0812), number(5.0), number(192_167.1)
    ('0.081', '5', '190,000')
    """
    return f"{float(f'{value:.{digits}g}'):,.10f}".rstrip("0").rstrip(".")


def plural(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> plural(1, "cell"), plural(12_000, "cell")
    ('1 cell', '12,000 cells')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


__all__ = ["number", "plural"]
