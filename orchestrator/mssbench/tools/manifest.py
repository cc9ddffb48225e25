"""The manifest beside a copy of a run or a dataset: what it is a copy of, and each file with its size and hash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import DataRoot
from mssbench_service.formats import Format
from mssbench_service.wire import parse

from .object_store import ObjectStore

MANIFEST = "mssbench-manifest.json"
MANIFEST_FORMAT = Format(MANIFEST)
LARGEST_MANIFEST = 64 << 20
"""Bytes."""


@dataclass(frozen=True)
class File:
    """A file of a copy. `path` is relative to the folder, with ``/`` between its parts."""

    path: str
    size: int
    sha256: str
    mtime_ns: int
    """Runs tell one state of a dataset from another by the times of its files, so a pull restores them."""


@dataclass(frozen=True)
class Manifest:
    """What a URL holds. `created` is that of ``run.json``; a dataset has none."""

    kind: Literal["run", "dataset"]
    name: str
    created: str = ""
    complete: bool = False
    files: list[File] = field(default_factory=list)
    version: int = MANIFEST_FORMAT.version

    def describes_same(self, other: Manifest) -> bool:
        """Whether both are copies of the same run, or of a dataset of the same name."""
        return (self.kind, self.name, self.created) == (other.kind, other.name, other.created)

    @property
    def described(self) -> str:
        """For messages: which run or dataset it is."""
        of = f" of {self.created}" if self.created else ""
        return f"the {self.kind} {self.name}{of}"


def write_manifest(store: ObjectStore, manifest: Manifest) -> None:
    text = json.dumps(MANIFEST_FORMAT.stamped(asdict(manifest)), indent=1, ensure_ascii=False)
    store.write(MANIFEST, text.encode())


def read_manifest(store: ObjectStore) -> Manifest:
    """The checked manifest at the URL. Raises NotFound or BadInput."""
    where = f"{store.url}/{MANIFEST}"
    content = bytearray()
    try:
        for block in store.blocks(MANIFEST):
            content += block
            if len(content) > LARGEST_MANIFEST:
                raise BadInput(f"{where} is larger than {LARGEST_MANIFEST >> 20} MiB")
    except NotFound:
        raise NotFound(f"there is no run or dataset at {store.url}: it has no {MANIFEST}") from None
    try:
        fields = MANIFEST_FORMAT.current(json.loads(content), where)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not readable JSON: {error}") from None
    try:
        manifest = parse(Manifest, fields)
    except BadInput as error:
        raise BadInput(f"{where} is not a manifest: {error.detail.partition('; ')[0]}") from None
    _check_names(manifest, where)
    return manifest


def _check_names(manifest: Manifest, where: str) -> None:
    """Raise BadInput where a name could lead outside the folder or hide in it."""
    anywhere = DataRoot(Path("/nonexistent"))
    for name in (manifest.name, *(file.path for file in manifest.files)):
        anywhere.resolve(name)
        if any(part.startswith(".") for part in name.split("/")) or PurePosixPath(name).as_posix() != name:
            raise BadInput(f"{where} names {name!r}, which is not a plain path")
    if "/" in manifest.name:
        raise BadInput(f"{where} names the {manifest.kind} {manifest.name!r}; expected a name without '/'")
    paths = [file.path for file in manifest.files]
    if len(set(paths)) != len(paths):
        raise BadInput(f"{where} names a file twice")
