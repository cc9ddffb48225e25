"""What is kept of estimates: as the separator wrote them, as FLAC, or nothing.

The separator's files are 32-bit floating point. After they were scored, they may be replaced by FLAC files of 24
bits, or removed. ``stored.json`` beside them says so; ``separation.json`` stays as it was written, so that the cell
counts as separated.

A FLAC file holds the estimate times a power of two that brings its peak to between a half and full scale. Samples
beyond full scale do not clip, and no sample changes by more than 2**-23 of full scale after scaling, which is 138 dB
or more below the peak of the estimate, however quiet it is.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mssbench_service.checksums import checksum_of, damage
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import TEMPORARY, atomic_file, write_json
from mssbench_service.separation import SEPARATION_FILE
from mssbench_service.wire import SeparateResult, parse

from .formats import SEPARATION_FORMAT, STORED

_BLOCK = 1 << 18  # samples
_FULL_SCALE = 1.0 - 2.0**-23
"""Largest sample of 24 bits."""


@dataclass(frozen=True)
class Stored:
    """Content of ``stored.json``.

    Attributes
    ----------
    exponents : dict of str to int
        By stem: the estimate is the content of ``<stem>.flac`` times two to this power.
    checksums : dict of str to str
        Of the FLAC files, by name.
    removed : bool
        Whether the estimates were removed.
    """

    exponents: dict[str, int]
    checksums: dict[str, str]
    removed: bool


def read_separation(folder: Path) -> SeparateResult:
    """Read the record beside estimates. Raises NotFound or BadInput."""
    return parse(SeparateResult, SEPARATION_FORMAT.read(folder / SEPARATION_FILE))


def read_stored(folder: Path) -> Stored | None:
    """What was stored in place of the separator's files; None if these are there. Raises BadInput."""
    path = folder / STORED.name
    return parse(Stored, STORED.read(path)) if path.exists() else None


def kept_file(folder: Path, stem: str) -> tuple[Path, float]:
    """The file of an estimate, and the factor of its samples.

    Raises
    ------
    NotFound
        The estimates were removed.
    BadInput
        The file is not as it was written.
    """
    stored = read_stored(folder)
    if stored is None:
        record = folder / SEPARATION_FILE
        checksums = SEPARATION_FORMAT.read(record).get("checksums") or {} if record.exists() else {}
        name, factor = f"{stem}.wav", 1.0
    elif stored.removed or stem not in stored.exponents:
        raise NotFound(f"{folder} has no estimate of {stem!r}: the estimates were removed")
    else:
        checksums, name, factor = stored.checksums, f"{stem}.flac", 2.0 ** stored.exponents[stem]
    if problem := damage(folder, checksums, [name]):
        raise BadInput(f"{folder}: {problem}")
    return folder / name, factor


def store_as_flac(folder: Path) -> None:
    """Replace the separator's files in `folder` by FLAC files. Does nothing if they were replaced or removed.

    It may be stopped at any time: the record is written after the FLAC files, and before the others are removed.

    Raises
    ------
    OSError, BenchError, soundfile.LibsndfileError
        A file cannot be read or written. The separator's files are kept.
    """
    stems = read_separation(folder).stems
    if read_stored(folder) is None:
        exponents = {stem: _encode(folder / f"{stem}.wav", folder / f"{stem}.flac") for stem in stems}
        checksums = {name: checksum_of(folder / name) for name in (f"{stem}.flac" for stem in stems)}
        _write(folder, Stored(exponents, checksums, removed=False))
    for stem in stems:
        (folder / f"{stem}.wav").unlink(missing_ok=True)


def remove_audio(folder: Path) -> None:
    """Remove the files of the estimates in `folder`, and record it."""
    stems = read_separation(folder).stems
    _write(folder, Stored({}, {}, removed=True))
    for stem in stems:
        for suffix in ("wav", "flac"):
            (folder / f"{stem}.{suffix}").unlink(missing_ok=True)


def _write(folder: Path, stored: Stored) -> None:
    write_json(folder / STORED.name, STORED.stamped(vars(stored)))


def _encode(source: Path, out: Path) -> int:
    """Write `source` as FLAC; return the exponent of its factor."""
    import numpy as np
    import soundfile as sf

    with sf.SoundFile(source) as file:
        peak = max(
            (float(np.abs(block).max(initial=0.0)) for block in file.blocks(_BLOCK, dtype="float64")),
            default=0.0,
        )
        exponent = math.frexp(peak / _FULL_SCALE)[1] if peak > 0 else 0
        file.seek(0)
        with (
            atomic_file(out) as temporary,
            sf.SoundFile(temporary, "w", file.samplerate, file.channels, "PCM_24", format="FLAC") as target,
        ):
            for block in file.blocks(_BLOCK, dtype="float64", always_2d=True):
                # Rounded here, because libsndfile truncates. Its 32-bit integers have the sample in the upper bits.
                scaled = np.rint(np.ldexp(block, 23 - exponent)).astype(np.int32)
                target.write(np.left_shift(scaled, 8))
    return exponent


@contextlib.contextmanager
def separated_files(folder: Path) -> Iterator[Path]:
    """Yield a folder with the estimates as the separator writes them: `folder`, or a temporary one beside it.

    Raises
    ------
    NotFound
        The estimates were removed.
    BadInput
        A file is not as it was written.
    """
    stored = read_stored(folder)
    if stored is None:
        yield folder
        return
    with TemporaryDirectory(dir=folder.parent, prefix=TEMPORARY) as unpacked:
        for stem in read_separation(folder).stems:
            source, factor = kept_file(folder, stem)
            _decode(source, Path(unpacked) / f"{stem}.wav", factor)
        shutil.copyfile(folder / SEPARATION_FILE, Path(unpacked) / SEPARATION_FILE)
        Path(unpacked).chmod(0o755)  # a service of another user reads it
        yield Path(unpacked)


def _decode(source: Path, out: Path, factor: float) -> None:
    import soundfile as sf

    with (
        sf.SoundFile(source) as file,
        sf.SoundFile(out, "w", file.samplerate, file.channels, "FLOAT", format="WAV") as target,
    ):
        for block in file.blocks(_BLOCK, dtype="float64", always_2d=True):
            target.write(block * factor)
