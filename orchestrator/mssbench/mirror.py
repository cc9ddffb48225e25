"""Where the data root really is. Here: in the folder itself, so there is nothing to do.

What steps and stores read and write are always files under a local root. :class:`Mirror` is told before something is
read and after it was written; :class:`mssbench.remote.RemoteMirror` keeps a URL and the local root alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.files import write_json


class Mirror:
    """The data root is the local folder: everybody who works on it sees the same files."""

    def named(self, value: str) -> str:
        """The reference of what a person called `value`; empty: it is a path of this machine.

        Raises
        ------
        BadInput
            It is a URL, and not one that can be read.
        """
        if "://" in value:
            raise BadInput(
                f"{value} is a URL; set MSSBENCH_DATA_URL to the URL of the data root that it is in"
            )
        return ""

    def check(self, *, write: bool = False) -> None:
        """Ask whether the data root can be read, or also written."""

    def fetch(self, *references: str) -> None:
        """Have these files or folders here as they are now."""

    def fetch_tracks(self, dataset: str, split: str, first: int | None) -> None:
        """Have the tracks of a dataset here, or only the `first` so many, and no others."""

    def look(self, *references: str) -> None:
        """Have these small files here as they are now, or not here where they are not."""

    def refresh(self, run_id: str, *, at_once: bool = True) -> None:
        """Have a run's state here as it is now: its record, outcomes and markers. Not its audio."""

    def refresh_names(self) -> None:
        """Have the record of every run here."""

    @contextlib.contextmanager
    def writing(self, reference: str, marker: str) -> Iterator[str]:
        """A reference to write the folder `reference` at; it counts once it has its file `marker`."""
        yield reference

    def push(self, reference: str) -> None:
        """Tell of a file or a folder that was written here; a folder replaces what was there."""

    def write_json(self, path: Path, value: Any) -> None:
        """Write a file of a run's state; it counts when this returns."""
        write_json(path, value)

    def touch(self, path: Path) -> None:
        path.touch()

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove(self, reference: str, first: str) -> None:
        """Forget a folder, beginning with its file `first`, without which nobody looks at the rest."""

    def claim(self, run_id: str) -> None:
        """Say that this process follows the run, until :meth:`release`."""

    def release(self, run_id: str) -> None:
        """Follow it no longer."""

    def followed(self, run_id: str) -> bool:
        """Whether a process that does not share this folder follows the run."""
        return False


HERE = Mirror()
