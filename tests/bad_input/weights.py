"""Inputs of ``mssbench weights``: pinned weights that a service lists, and tar archives that a server returns."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

PINS = """\
service = "{service}"
default = "{model}"
[models]
small = ["{name}"]
[files."{name}"]
url = {url}
"""
URL = "http://placeholder"
"""Placeholder in pins and messages for the URL of the server of the files."""


def pins(
    service: str = "x", model: str = "small", name: str = "model.bin", url: str = f'"{URL}/m"', more: str = ""
) -> bytes:
    return (PINS.format(service=service, model=model, name=name, url=url) + more).encode()


PINNED: dict[str, bytes] = {
    "one file": pins(),
    "a service called ../y": pins(service="../y"),
    "a service called /tmp": pins(service="/tmp"),
    "a service without a name": pins(service=""),
    "a service that is a number": pins().replace(b'service = "x"', b"service = 5"),
    "a file called ../y": pins(name="../y"),
    "a file called .hidden": pins(name=".hidden"),
    "a file with a null byte": pins(name="a\\u0000b"),
    "a file of 4 KB name": pins(name="x" * 4096),
    "a default that is not pinned": pins(model="large"),
    "a file:// URL": pins(url='"file:///etc/hostname"'),
    "a URL that is a number": pins(url="5"),
    "a URL without a host": pins(url='"http://"'),
    "a URL with a line feed": pins(url=f'"{URL}/a\\nb"'),
    "a checksum of another file": pins(more=f'sha256 = "{"0" * 64}"\n'),
    "an invalid checksum": pins(more='sha256 = "../x"\n'),
    "a size that is text": pins(more='size = "5"\n'),
    "a negative size": pins(more="size = -5\n"),
    "another size": pins(more="size = 3\n"),
    "to be unpacked to ../y": pins(more='unpack = "../y"\n'),
    "to be unpacked, but not an archive": pins(more='unpack = "model"\n'),
    "an unknown member": pins(more="colour = 1\n"),
    "no TOML": b"<html>not found</html>",
    "zero bytes": b"",
    "not UTF-8": b'service = "\xff"\n',
    "nested 5000 levels deep": b"a = " + b"[" * 5000,
    "models that are a number": b'service = "x"\ndefault = "a"\nmodels = 5\nfiles = 5\n',
}

CONTENT = b"weights"
"""Content of the one file."""

Change = Callable[[tarfile.TarInfo], None]


def _tar(*members: tuple[str, bytes], mode: str = "w:gz", change: Change = lambda member: None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        archive.addfile(_member("model/checkpoint", b"x"), io.BytesIO(b"x"))
        for name, content in members:
            member = _member(name, content)
            change(member)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _member(name: str, content: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member


def _kind(kind: bytes, target: str = "") -> bytes:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, target

    return _tar(("model/y", b""), change=change)


def _claiming(size: int) -> bytes:
    def change(member: tarfile.TarInfo) -> None:
        member.size = size

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = _member("model/y", b"")
        change(member)
        archive.addfile(member)
    return file.getvalue()


def _sparse() -> bytes:
    """A sparse file in the format of GNU tar: a hole of one terabyte, then one byte."""

    def change(member: tarfile.TarInfo) -> None:
        member.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": "model/y",
            "GNU.sparse.map": f"{2**40},1",
            "GNU.sparse.size": str(2**40 + 1),
        }

    return _tar(("model/y", b"x"), change=change)


TARS: dict[str, Callable[[], bytes]] = {
    "an archive": _tar,
    "zero bytes": lambda: b"",
    "text": lambda: b"This is not an archive.\n" * 50,
    "an empty archive": lambda: bytes(10240),
    "cut in half": lambda: _tar(("model/y", bytes(range(256)) * 40))[:200],
    "a damaged archive": lambda: _tar(("model/y", bytes(range(256)) * 40))[:100] + bytes(300),
    "a member called ../y": lambda: _tar(("../y", b"y")),
    "a member called /tmp/y": lambda: _tar(("/tmp/mssbench-was-here", b"y")),
    "a member of 4 KB name": lambda: _tar(("x" * 4096, b"y")),
    "a symbolic link": lambda: _kind(tarfile.SYMTYPE, "../../../outside"),
    "a hard link": lambda: _kind(tarfile.LNKTYPE, "../../../outside"),
    "a device": lambda: _kind(tarfile.CHRTYPE),
    "a named pipe": lambda: _kind(tarfile.FIFOTYPE),
    "a member that claims a terabyte": lambda: _claiming(2**40),
    "a hole of a terabyte": _sparse,
    "the same member twice": lambda: _tar(("model/y", b"1"), ("model/y", b"2")),
    "a member that is also a folder": lambda: _tar(("model/checkpoint/y", b"y")),
    "a member called .unpacked.json": lambda: _tar((".unpacked.json", b"{}")),
}
