"""Templates of pages, and numbers and words in pages and messages."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import jinja2


def templates(package: str) -> jinja2.Environment:
    """Return the environment of the templates of `package`. Values are escaped unless they are Markup."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"plural": plural, "time": utc_time}
    return found


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


def utc_time(created: str) -> str:
    """Return an ISO 8601 time for readers, and any other text as it is.

    Examples
    --------
    >>> utc_time("2026-05-01T14:38:04+02:00")
    '2026-05-01 12:38 UTC'
    """
    try:
        moment = datetime.datetime.fromisoformat(created).astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # not a time, or outside the range of UTC
        return created
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def shortened(name: str) -> str:
    """Return a name with at most 18 characters; its middle is left out, as variants differ at their ends.

    Examples
    --------
    >>> shortened("mel-band-roformer-v2"), shortened("spleeter:2stems")
    ('mel-band-…ormer-v2', 'spleeter:2stems')
    """
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"


def distinct(names: Iterable[str]) -> dict[str, str]:
    """Return the shortened name of each of `names`; whole names where two would be the same.

    Examples
    --------
    >>> distinct(["mel-band-roformer-v2", "oracle-irm"])
    {'mel-band-roformer-v2': 'mel-band-…ormer-v2', 'oracle-irm': 'oracle-irm'}
    >>> distinct(["twins-one-in-the-middle", "twins-one-by-the-middle"])["twins-one-in-the-middle"]
    'twins-one-in-the-middle'
    """
    found = {name: shortened(name) for name in names}
    return found if len(set(found.values())) == len(found) else {name: name for name in found}
