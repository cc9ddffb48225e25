"""Versions of file formats, and reading of files that earlier versions of the software wrote.

Each file contains the version of its format. Files of version 1 have no such field. The version is raised when a field
is added, removed or changes its meaning; then a function is added that migrates the previous version to the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput
from .files import read_json

Fields = dict[str, Any]
Migration = Callable[[Fields], Fields]


def unchanged(fields: Fields) -> Fields:
    """The migration to a version that has more fields, all with defaults."""
    return fields


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    name : str
        Name of the file, for messages.
    migrations : tuple of function
        The first one migrates version 1 to version 2, and so on. The current version is their number plus one.
    sealed : bool
        Whether the file has a checksum of its own content, so that a change of it is found.
    """

    name: str
    migrations: tuple[Migration, ...] = ()
    sealed: bool = False

    @property
    def version(self) -> int:
        return 1 + len(self.migrations)

    def stamped(self, fields: Mapping[str, Any]) -> Fields:
        """`fields` with the version, and the checksum of a sealed file, as they are written."""
        found = {"version": self.version} | dict(fields) | {"version": self.version}
        return found | {"checksum": _checksum(found)} if self.sealed else found

    def is_intact(self, found: Fields) -> bool:
        """False if a sealed file was changed after it was written. Version 0.2 wrote no checksum."""
        return not self.sealed or found.get("checksum", "") in ("", _checksum(found))

    def read(self, path: Path) -> Fields:
        """Read a file and migrate its fields to the current version.

        Raises
        ------
        NotFound, BadInput
            It does not exist, is not a JSON object, has an unknown version, or is not as it was written; the message
            names it.
        """
        found = read_json(path)
        current = self.current(found, str(path))
        if not self.is_intact(found):
            raise BadInput(f"{path} was changed after it was written: its checksum does not match")
        return current

    def current(self, found: object, where: str) -> Fields:
        """Migrate the content of a file to the current version; `where` names the file in messages."""
        if not isinstance(found, dict):
            raise BadInput(f"{where} is not a {self.name}: expected an object")
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


def _checksum(fields: Fields) -> str:
    content = {name: value for name, value in fields.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


SEPARATION_FORMAT = Format("separation.json", (unchanged,), sealed=True)
"""Beside estimates. Version 2 adds `details` of the separator, and the version itself."""


def _rendering_2(fields: Fields) -> Fields:
    # The profile "matched" did not store the peak. With "paper", the gain is its inverse.
    gain = fields.get("mixture_gain")
    if "peak" not in fields and isinstance(gain, int | float) and gain > 0:
        fields = fields | {"peak": 1.0 / gain if fields.get("profile") == "paper" else 0.0}
    return fields


RENDERING_FORMAT = Format("metadata.json", (_rendering_2,), sealed=True)
"""Beside rendered tracks. Version 2 adds `peak`, and the version itself."""
