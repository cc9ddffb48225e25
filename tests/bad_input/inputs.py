"""Bad inputs by the names that they have in the tables, and how to make them.

Sound files are made from a valid signal, so that music and impulse responses can be damaged in the same way.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

Signal = npt.NDArray[np.float64]
"""Shape (samples, 2), as files have it."""

# ---------------------------------------------------------------------------------------------------- sound files

Make = Callable[[Signal, int], bytes]


def coded(subtype: str | None, container: str = "WAV", rate: int | None = None) -> Make:
    def make(signal: Signal, given: int) -> bytes:
        file = io.BytesIO()
        sf.write(file, signal, rate or given, format=container, subtype=subtype)
        return file.getvalue()

    return make


_float, _pcm, _flac = coded("FLOAT"), coded("PCM_16"), coded("PCM_16", "FLAC")


def _one(value: float) -> Make:
    """A file in which one sample of the right channel has this value."""

    def make(signal: Signal, rate: int) -> bytes:
        damaged = signal.copy()
        damaged[len(signal) // 2, 1] = value
        return _float(damaged, rate)

    return make


def _sizes(data: int, riff: Callable[[int], int] = lambda size: size) -> Make:
    """A WAV file with this size in the header of its data chunk, and a RIFF size computed from the true one."""

    def make(signal: Signal, rate: int) -> bytes:
        file = bytearray(_pcm(signal, rate))
        at = file.index(b"data") + 4
        file[at : at + 4] = struct.pack("<I", data)
        file[4:8] = struct.pack("<I", riff(len(file) - 8))
        return bytes(file)

    return make


def _format(**changes: int) -> Make:
    """A WAV file with these fields of its ``fmt`` chunk changed."""

    def make(signal: Signal, rate: int) -> bytes:
        file = bytearray(_pcm(signal, rate))
        at = file.index(b"fmt ") + 8
        names = ("tag", "channels", "rate", "bytes_a_second", "block", "bits")
        said = dict(zip(names, struct.unpack_from("<HHIIHH", file, at), strict=True)) | changes
        struct.pack_into("<HHIIHH", file, at, *said.values())
        return bytes(file)

    return make


def _flac_of(samples: int) -> Make:
    """A FLAC file whose header claims `samples` samples. 0 means that the number is not known."""

    def make(signal: Signal, rate: int) -> bytes:
        file = bytearray(_flac(signal, rate))
        said = int.from_bytes(file[18:26], "big") >> 36 << 36 | samples
        file[18:26] = said.to_bytes(8, "big")
        return bytes(file)

    return make


def flac_bomb(hours: float, rate: int = 44100) -> bytes:
    """Stereo silence as FLAC: each frame of about 15 bytes decodes to 65535 samples, half a megabyte."""
    block, frames = 65535, int(hours * 3600 * rate / 65535)
    sixteen_bit_stereo = 1 << 41 | 15 << 36
    stream_info = struct.pack(">HH", block, block) + bytes(6)
    stream_info += (rate << 44 | sixteen_bit_stereo | frames * block).to_bytes(8, "big") + bytes(16)
    file = [b"fLaC\x80\x00\x00\x22" + stream_info]
    for number in range(frames):
        # Sync code; a block size of 16 bit that follows, the rate of the stream; two channels of 16 bit.
        head = b"\xff\xf8\x70\x18" + _as_utf8(number) + struct.pack(">H", block - 1)
        frame = head + bytes([_crc(head, 8, 0x07)]) + bytes(6)  # two constant subframes of the value 0
        file.append(frame + struct.pack(">H", _crc(frame, 16, 0x8005)))
    return b"".join(file)


def _as_utf8(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(content: bytes, bits: int, polynomial: int) -> int:
    crc, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in content:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial if crc & top else crc << 1) & mask
    return crc


def three_hours_of_wav() -> bytes:
    return (
        b"RIFF"
        + struct.pack("<I", 36 + _LONG)
        + _pcm(np.zeros((1, 1)), 8000)[8:40]
        + struct.pack("<I", _LONG)
    )


_LONG = 3 * 3600 * 8000 * 2  # bytes, mono of 16 bit at 8 kHz

SOUNDS: dict[str, Make] = {
    "float32 WAV": _float,
    "8-bit PCM": coded("PCM_U8"),
    "16-bit PCM": _pcm,
    "24-bit PCM": coded("PCM_24"),
    "64-bit float": coded("DOUBLE"),
    "FLAC": _flac,
    "AIFF": coded("PCM_16", "AIFF"),
    "8 kHz": coded("FLOAT", rate=8000),
    "44.1 kHz": coded("FLOAT", rate=44100),
    "192 kHz": coded("FLOAT", rate=192000),
    "mono": lambda signal, rate: _float(signal[:, :1], rate),
    "32 channels": lambda signal, rate: _float(np.tile(signal, (1, 16)), rate),
    "1 sample": lambda signal, rate: _float(signal[:1], rate),
    "silence": lambda signal, rate: _float(0 * signal, rate),
    "denormals": lambda signal, rate: _float(signal * 1e-41, rate),
    "four times full scale": lambda signal, rate: _float(signal / np.abs(signal).max() * 4, rate),
    "one NaN": _one(np.nan),
    "one infinite sample": _one(-np.inf),
    "zero bytes": lambda *_: b"",
    "zero samples": lambda signal, rate: _float(signal[:0], rate),
    "text": lambda *_: b"This is not a sound file.\n" * 50,
    "random bytes": lambda *_: np.random.default_rng(0).bytes(5000),
    "truncated WAV": lambda signal, rate: _float(signal, rate)[:-101],
    "truncated FLAC": lambda signal, rate: _flac(signal, rate)[:-101],
    "truncated RF64": lambda signal, rate: coded("FLOAT", "RF64")(signal, rate)[:-101],
    "truncated AU": lambda signal, rate: coded("FLOAT", "AU")(signal, rate)[:-101],
    "WAV, data chunk claims 1 GB": _sizes(10**9),
    "WAV, all sizes claim 1 GB": _sizes(10**9, lambda _: 10**9 + 36),
    "WAV, data chunk claims 40 bytes": _sizes(40),
    "WAV of a pipe (sizes not known)": _sizes(2**32 - 1, lambda _: 2**32 - 1),
    "WAV that claims 0 Hz": _format(rate=0),
    "WAV that claims 1 Hz": _format(rate=1),
    "WAV that claims 2 GHz": _format(rate=2**31 - 1),
    "WAV that claims 0 channels": _format(channels=0),
    "WAV that claims 65535 channels": _format(channels=65535),
    "WAV that claims 7 bits": _format(bits=7),
    "FLAC of a pipe (length not known)": _flac_of(0),
    "FLAC that claims 2³⁶ − 1 samples": _flac_of(2**36 - 1),
    "FLAC bomb (3 hours in 120 KB)": lambda *_: flac_bomb(3),
    "3 hours of WAV": lambda *_: three_hours_of_wav(),
}


def write_sound(name: str, path: Path, signal: Signal, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SOUNDS[name](signal, rate))
    if name == "3 hours of WAV":
        os.truncate(path, 44 + _LONG)  # sparse: it takes no space on disk


def music(samples: int, seed: int = 0) -> Signal:
    """Noise of shape (samples, 2) that differs between the channels."""
    noise = np.random.default_rng(seed).standard_normal((samples, 2))
    return np.asarray(0.1 * noise @ [[1.0, 0.4], [0.3, 0.8]])


# ---------------------------------------------------------------------------------------------------------- names

FOLDER = "{folder}"
"""Placeholder for the folder of the cell, as a reference."""

OUTSIDE = "{outside}"
"""Placeholder for a folder beside the data root. Real paths of the machine are never used, because a faulty entry point
may write to them."""

NAMES: dict[str, object] = {
    "a right-to-left name": FOLDER + "/שלום עולם ‮txt.exe",
    "emoji": FOLDER + "/🎧🔥👩‍🎤",
    "quotes, spaces, percent": FOLDER + '/it\'s "50 %20" {x} $HOME; rm',
    "a symbolic link inside": FOLDER + "/link-inside",
    "a symbolic link that leads out": FOLDER + "/link-out",
    "a symbolic link to itself": FOLDER + "/link-loop",
    "a dangling link": FOLDER + "/link-dangling",
    "a named pipe": FOLDER + "/pipe",
    "an absolute path": OUTSIDE + "/good",
    "..": "../outside/good",
    ".. half-way": FOLDER + "/../../outside/good",
    "the root itself": ".",
    "a null byte": FOLDER + "/a\0b",
    "a line feed": FOLDER + "/a\nb",
    "half a surrogate pair": FOLDER + "/\ud83d",
    "a name of 4 KB": FOLDER + "/" + "x" * 4096,
    "a path of 8 KB": FOLDER + "/x" * 4096,
    "nothing": "",
    "a number": 5,
    "null": None,
    "a list": ["x"],
    "an object": {"x": "y"},
}

COMMAND_NAMES = [
    name
    for name, value in NAMES.items()
    if isinstance(value, str) and "\0" not in value and name != "the root itself"
]
"""Names that a shell can pass: arguments cannot contain a null byte. Commands have no root that a name could leave."""

# ------------------------------------------------------------------------------------------------------- requests

JSON = "application/json"

BODIES: dict[str, tuple[str, bytes]] = {
    "no body": (JSON, b""),
    "no content type": ("", b"{}"),
    "text/plain": ("text/plain", b"{}"),
    "application/x-www-form-urlencoded": ("application/x-www-form-urlencoded", b"a=1&a=2"),
    "a form without its boundary": ("multipart/form-data", b"{}"),
    "an empty object": (JSON, b"{}"),
    "an unknown field": (JSON, b'{"colour": 1}'),
    "a list": (JSON, b"[]"),
    "null": (JSON, b"null"),
    "a string": (JSON, b'"text"'),
    "half an object": (JSON, b'{"a": '),
    "not UTF-8": (JSON, b'{"a": "\xff\xfe"}'),
    "zero bytes of 0": (JSON, bytes(1000)),
    "NaN": (JSON, b"NaN"),
    "1e400": (JSON, b"1e400"),
    "a number of 10,000 digits": (JSON, b'{"seed": ' + b"9" * 10_000 + b"}"),
    "100,000 brackets": (JSON, b"[" * 100_000),
    "100,000 nested objects": (JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "compressed, and says so": (JSON, b"\x1f\x8b\x08\x00" + bytes(30)),
    "larger than is accepted": (JSON, b" " * (3 << 20)),
}

# ------------------------------------------------------------------------------------------------------- archives


def _zip(members: dict[str, bytes], **options: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name) if not options else _info(name, **options), content)
    return file.getvalue()


def _info(name: str, **attributes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def _stems(content: bytes) -> dict[str, bytes]:
    """The members of a response of a separator."""
    return {f"{stem}.wav": content for stem in ("vocals", "drums", "bass", "other")}


def _claiming(size: int) -> bytes:
    """An archive with a member whose size differs from its header."""
    file = bytearray(_zip(_stems(b"x" * 1000)))
    local, central = file.index(b"PK\x03\x04"), file.index(b"PK\x01\x02")
    for at in (local + 22, central + 24):
        file[at : at + 4] = struct.pack("<I", size)
    return bytes(file)


def _twice() -> bytes:
    return _zip({**_stems(b"1"), "vocalz.wav": b"2"}).replace(b"vocalz.wav", b"vocals.wav")


def _encrypted() -> bytes:
    file = bytearray(_zip(_stems(b"x" * 100)))
    for at in (file.index(b"PK\x03\x04") + 6, file.index(b"PK\x01\x02") + 8):
        file[at] |= 1
    return bytes(file)


def _damaged() -> bytes:
    noise = np.random.default_rng(0).bytes(1000)
    file = bytearray(_zip(_stems(noise), compress_type=zipfile.ZIP_DEFLATED))
    file[200:210] = bytes(10)
    return bytes(file)


BOMB = 3 * 2**30
"""Unpacked size in bytes: larger than the dataset or the stems that it is sent for."""


def zip_bomb() -> bytes:
    """Four members of zeros with correct sizes in their headers. The checksums, which are verified last, are wrong."""
    each = BOMB // 4
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = block * (each >> 24) + packer.flush(zlib.Z_FINISH)
    locals_, centrals = b"", b""
    for name in map(str.encode, _stems(b"")):
        shared = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, 0, len(content), each, len(name), 0)
        centrals += b"PK\x01\x02" + struct.pack("<H", 20) + shared
        centrals += struct.pack("<HHHII", 0, 0, 0, 0, len(locals_)) + name
        locals_ += b"PK\x03\x04" + shared + name + content
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 4, 4, len(centrals), len(locals_), 0)
    return locals_ + centrals + end


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "text": lambda: b"This is not an archive.\n" * 50,
    "an empty archive": lambda: _zip({}),
    "a truncated archive": lambda: _zip(_stems(b"x" * 1000))[:-30],
    "ZIP bomb (3 GiB in 13 MB)": zip_bomb,
    "a member that claims 4 GB": lambda: _claiming(4_000_000_000),
    "a member that claims 10 bytes": lambda: _claiming(10),
    "damaged": _damaged,
    "encrypted": _encrypted,
    "a member called ../x": lambda: _zip({**_stems(b"x"), "../x": b"x"}),
    "a member called /tmp/x": lambda: _zip({**_stems(b"x"), "/tmp/x": b"x"}),
    "a member called C:\\x": lambda: _zip({**_stems(b"x"), "C:\\x": b"x"}),
    "a member with a null byte": lambda: _zip({**_stems(b"x"), "vocals.wav!x": b"x"}).replace(
        b"wav!x", b"wav\0x"
    ),
    "a member of 4 KB name": lambda: _zip({**_stems(b"x"), "x" * 4096: b"x"}),
    "a symbolic link": lambda: _zip(_stems(b"nothing-there"), create_system=3, external_attr=0o120777 << 16),
    "the same member twice": _twice,
    "a member that is also a folder": lambda: _zip({**_stems(b"x"), "vocals.wav/b": b"y"}),
}

# ----------------------------------------------------------------------------------------------------- text files

TEXTS: dict[str, bytes] = {
    "zero bytes": b"",
    "zero bytes of 0": bytes(100),
    "random bytes": np.random.default_rng(1).bytes(1000),
    "not UTF-8": b'dataset = "\xff"\n',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a list": b"[1, 2]",
    "a number": b"5",
    "null": b"null",
    "a string": b'"text"',
    "half an object": b'{"test": {',
    "an empty object": b"{}",
    "100,000 brackets": b"[" * 100_000,
    "the same key twice": b'{"test": {}, "test": 5}',
    "values of the wrong type": b'{"test": 5, "dataset": [], "schema": "x", "rows": {}}',
    "a number of 10,000 digits": b'{"schema": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"schema": NaN, "test": NaN}',
}
