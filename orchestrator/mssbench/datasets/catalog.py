"""Datasets that can be downloaded: ``catalog.toml`` beside this module has their addresses and checksums."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.download import RemoteFile


@dataclass(frozen=True)
class RemoteDataset(RemoteFile):
    """One dataset on a server.

    Attributes
    ----------
    title, licence : str
        Shown to the user before the download.
    content : str
        What the download must contain: ``musdb18hq``, ``stems`` (MUSDB18's coded files, which are decoded), ``hrir``
        or ``angles``.
    unpack : bool
        Whether it is a zip archive to unpack into a folder, or a single file.
    largest : int
        Limit in bytes for the download and for the unpacked content.
    """

    title: str = ""
    licence: str = ""
    content: str = ""
    unpack: bool = True
    largest: int = 0

    @property
    def default_name(self) -> str:
        """Default name of the folder or file."""
        return self.name if self.unpack else f"{self.name}.json"


def load_catalog() -> dict[str, RemoteDataset]:
    """Read the catalog: datasets by name."""
    entries = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8"))
    return {name: RemoteDataset(name=name, **entry) for name, entry in entries.items()}
