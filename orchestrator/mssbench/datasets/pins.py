"""Where datasets come from: ``pins.toml`` beside this module."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.download import RemoteFile

PINS = Path(__file__).with_name("pins.toml")


@dataclass(frozen=True)
class Source(RemoteFile):
    """One dataset on a server.

    Attributes
    ----------
    title, licence : str
        For a person.
    content : str
        What it must turn out to be: ``musdb18hq``, ``hrir`` or ``angles``.
    unpack : bool
        Whether it is a zip archive that becomes a folder, or a file that stays one.
    largest : int
        Bytes; more is refused, packed or unpacked.
    """

    title: str = ""
    licence: str = ""
    content: str = ""
    unpack: bool = True
    largest: int = 0

    @property
    def kept_as(self) -> str:
        """Name of the folder or file that it becomes."""
        return self.name if self.unpack else f"{self.name}.json"


def load_pins(path: Path = PINS) -> dict[str, Source]:
    """Every pinned dataset by its name."""
    with path.open("rb") as file:
        pins = tomllib.load(file)
    return {name: Source(name=name, **entry) for name, entry in pins.items()}
