"""The one check of names that become parts of paths: of separators, services, tracks and runs."""

from __future__ import annotations

from .errors import BadInput, printable


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


def _fits(name: str) -> bool:
    try:
        return len(name.encode()) <= 255
    except UnicodeEncodeError:
        return False
