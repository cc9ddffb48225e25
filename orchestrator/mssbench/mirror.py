"""Where the data root really is. Here: in the folder itself, so there is nothing to do.

What steps and stores read and write are always files under a local root. :class:`Mirror` is told before something is
read and after it was written; :class:`mssbench.remote.RemoteMirror` keeps a URL and the local root alike.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.files import write_text


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

    def outlines(self, dataset: str, split: str, first: int | None) -> Path | None:
        """A folder like the dataset with its tracks, or only the `first` so many, to read anything of but samples.

        None: that is the dataset itself.
        """
        return None

    def data_files(self) -> Iterable[str] | None:
        """References of all files under ``data/`` but renderings; None: they are here, to be looked at."""
        return None

    def look(self, *references: str) -> None:
        """Have these small files here as they are now, or not here where they are not."""

    def refresh(self, run_id: str, *, at_once: bool = True) -> None:
        """Have a run's state here as it is now: its record, outcomes and markers. Not its audio."""

    def refresh_names(self, *, at_once: bool = True) -> None:
        """Have the record of every run here, and whether the orchestrator service is to follow it."""

    def stamp(self, path: Path) -> int:
        """Which version there is of a file that came out of a run, going by its last :meth:`refresh`; 0: none."""
        return path.stat().st_mtime_ns if path.exists() else 0

    def current(self, path: Path) -> Path:
        """Where a file that came out of a run can be read as of its last :meth:`refresh`, if there is one."""
        return path

    @contextlib.contextmanager
    def writing(self, reference: str, marker: str) -> Iterator[str]:
        """A reference to write the folder `reference` at; it counts once it has its file `marker`."""
        yield reference

    def push(self, reference: str) -> None:
        """Tell of a file or a folder that was written here; a folder replaces what was there."""

    def write_json(self, path: Path, value: Any) -> None:
        """Write a file of a run's state; it counts when this returns."""
        # As `files.write_json` does.
        self.write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        """Like :meth:`write_json`, for text."""
        write_text(path, text)

    def touch(self, path: Path) -> None:
        path.touch()

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove(self, reference: str, first: str) -> None:
        """Forget a folder, beginning with its files called `first`, without which nobody looks at the rest."""

    def claim(self, run_id: str) -> None:
        """Say that this process follows the run, until :meth:`release`."""

    def claimed(self, run_id: str) -> bool:
        """Whether that is still so: after a long silence, another may have taken it over."""
        return True

    def release(self, run_id: str) -> None:
        """Follow it no longer."""

    def followed(self, run_id: str) -> bool:
        """Whether a process that does not share this folder follows the run."""
        return False

    def taken_up(self, run_id: str) -> float:
        """When such a process took it up (seconds, Unix); 0.0 if that is not known."""
        return 0.0


HERE = Mirror()
