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


def shortened(name: str, limit: int = 18) -> str:
    """Return a name with at most `limit` characters; its middle is left out, as variants differ at their ends.

    Examples
    --------
    >>> shortened("mel-band-roformer-v2"), shortened("spleeter:2stems")
    ('mel-band-…ormer-v2', 'spleeter:2stems')
    """
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[: limit - 1 - half]}…{name[-half:]}"
