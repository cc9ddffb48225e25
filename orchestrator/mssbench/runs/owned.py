"""Removal of files that a run wrote, and of no others.

A path may come from an untrusted record, so it is checked before files are removed: it lies in the folder for
such files, no part of it is a link, and the folder has the record that is written beside such files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from mssbench_service.errors import BadInput
from mssbench_service.files import remove_folder


def inside(base: Path, *names: str) -> Path:
    """Return the path of `names` below `base`.

    Raises
    ------
    BadInput
        It leads outside, or a part of it below `base` is a link.
    """
    path = base.joinpath(*names)
    real = os.path.realpath(base)
    if os.path.realpath(path) != os.path.join(real, *names) or os.path.realpath(path) == real:
        raise BadInput(f"{path} leads outside {base}, or through a link; nothing is written or removed there")
    return path


def remove_generated(base: Path, folder: Path, marker: str) -> None:
    """Remove `folder`, which lies below `base` and has the file `marker`. It need not exist.

    Raises
    ------
    BadInput
        It leads outside `base`, or holds files but no `marker`, so that their origin is not known.
    """
    if not os.path.lexists(folder):
        return
    try:
        names = Path(os.path.abspath(folder)).relative_to(os.path.abspath(base)).parts
    except ValueError:
        raise BadInput(f"{folder} is not inside {base}; nothing is removed there") from None
    path = inside(base, *names)
    if not path.is_dir():
        raise BadInput(f"{path} is not a folder; remove it")
    if _is_unknown(path, marker):
        raise BadInput(f"{path} holds files but no {marker}, so no run made it; move it away")
    remove_folder(path)


def move_unknown(folder: Path, marker: str) -> Path | None:
    """Rename `folder` if it holds files but no `marker`, so that the step that makes it can repeat it.

    Return its new path, beside the old one; None if nothing was moved.
    """
    if not folder.is_dir() or not _is_unknown(folder, marker):
        return None
    return folder.rename(folder.with_name(f"unknown-{secrets.token_hex(8)}"))


def _is_unknown(folder: Path, marker: str) -> bool:
    return not (folder / marker).is_file() and any(not name.startswith(".") for name in os.listdir(folder))


def remove_if_empty(folder: Path) -> None:
    """Remove `folder` if it is empty."""
    with contextlib.suppress(OSError):
        folder.rmdir()
