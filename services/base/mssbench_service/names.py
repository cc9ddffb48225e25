"""Names: the one check of those that become parts of paths, and suggestions for misspelt ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from .errors import BadInput, printable

_LONGEST = 255
"""Longest name in characters that is compared: the time grows with the square."""

_MOST = 1000
"""Number of files beside a missing one that are compared with it."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it is a plain name, which stays inside its folder as a part of a path.

    Names come from services, run records, summaries and tables, which may have been written by others.

    Parameters
    ----------
    name : str
    what : str
        What it names, for the message. A ``track`` is named after a folder of the user, which may contain characters
        that are not printable.

    Raises
    ------
    BadInput
        It is empty, begins with a dot, contains ``/``, a backslash or a character that is not printable, is not
        UTF-8, or has more than 255 bytes.

    Examples
    --------
    >>> check_name("oracle-irm", "separator")
    'oracle-irm'
    """
    shown = printable(name)
    escapes = not name or name.startswith(".") or "/" in name or "\0" in name
    odd = what != "track" and ("\\" in name or shown != name)
    if escapes or odd or not _fits(name):
        raise BadInput(f"the {what} is called {shown[:80]!r}; expected a plain name, which is no path")
    return name


def suggestion(text: str, names: Iterable[str]) -> str:
    """``; did you mean 'NAME'?`` with the name that is most similar to `text`; empty if none is.

    Examples
    --------
    >>> suggestion("oracle-imr", ["oracle-irm", "spleeter"])
    "; did you mean 'oracle-irm'?"
    """
    near = difflib.get_close_matches(text[:_LONGEST], [name for name in names if len(name) <= _LONGEST], 1)
    return f"; did you mean {printable(near[0])!r}?" if near else ""


def path_suggestion(path: Path, base: Path = Path()) -> str:
    """The same for a path that does not exist: its first missing part is compared with what is beside it.

    Parameters
    ----------
    path : Path
    base : Path
        Paths below it are shown relative to it.
    """
    missing = path
    try:
        while not missing.parent.exists():
            missing = missing.parent
        beside = [one.name for one in islice(missing.parent.iterdir(), _MOST) if not one.name.startswith(".")]
        near = difflib.get_close_matches(missing.name, beside, 1)
        found = missing.with_name(near[0]) / path.relative_to(missing) if near else path
        if found == path or not found.exists():
            return ""
    except (OSError, ValueError):  # not readable, or too long
        return ""
    shown = found.relative_to(base) if found.is_relative_to(base) else found
    return f"; did you mean {printable(str(shown))!r}?"


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= 255
    except UnicodeEncodeError:
        return False
