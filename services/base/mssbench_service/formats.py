"""Files that outlive the version that wrote them: each says the version of its format, and earlier ones are read.

Version 1 of every format is from before files said so. A format's version is raised when a field comes, goes or
changes its meaning, and a function is added that makes the earlier version the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput
from .files import read_json

Fields = dict[str, Any]
Migration = Callable[[Fields], Fields]


def unchanged(fields: Fields) -> Fields:
    """The migration to a version that says more, all of which has a default."""
    return fields


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    migrations : tuple of function
        The first makes version 2 out of version 1, and so on; the current version is one more than there are.
    """

    name: str
    migrations: tuple[Migration, ...] = ()

    @property
    def version(self) -> int:
        return 1 + len(self.migrations)

    def stamped(self, fields: Mapping[str, Any]) -> Fields:
        """`fields` as they are to be written."""
        return {"version": self.version} | dict(fields) | {"version": self.version}

    def read(self, path: Path) -> Fields:
        """The file's fields, as the current version has them.

        Raises
        ------
        NotFound, BadInput
            It is not there, no JSON object, or of a version that this one does not know; the message names it.
        """
        return self.current(read_json(path), str(path))

    def current(self, found: object, where: str) -> Fields:
        """What :meth:`read` makes of a file's content; `where` names it in messages."""
        if not isinstance(found, dict):
            raise BadInput(f"{where} is no {self.name}: expected an object")
        version = found.get("version", found.get("schema", 1))
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise BadInput(f"{where} has version {version!r:.40}; expected a number from 1 to {self.version}")
        if version > self.version:
            raise BadInput(
                f"{where} has version {version} of {self.name}, written by a newer version of this software; "
                f"this one reads up to {self.version}"
            )
        if version == self.version:
            return found
        fields = {name: value for name, value in found.items() if name != "schema"}
        for migrate in self.migrations[version - 1 :]:
            fields = migrate(fields)
        return fields | {"version": self.version}


SEPARATION_FORMAT = Format("separation.json", (unchanged,))
"""Beside estimates. 2: `details` of the separator; it says its version."""


def _rendering_2(fields: Fields) -> Fields:
    # The profile "matched" had no need for it, and "paper" divided by it.
    gain = fields.get("mixture_gain")
    if "peak" not in fields and isinstance(gain, int | float) and gain > 0:
        fields = fields | {"peak": 1.0 / gain if fields.get("profile") == "paper" else 0.0}
    return fields


RENDERING_FORMAT = Format("metadata.json", (_rendering_2,))
"""Beside rendered tracks. 2: `peak`; it says its version."""
