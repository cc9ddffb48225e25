"""Files of an excerpt: find the loudest part of a track, and cut its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from mssbench_service.audio import clear_peak_timestamp
from mssbench_service.checksums import checksums_of, damage
from mssbench_service.errors import BadInput, BenchError
from mssbench_service.files import atomic_folder, read_json, write_json
from mssbench_service.musdb import Track
from mssbench_service.stems import MIXTURE

from .selection import EXCERPT_FILE, Excerpt

_STEP_SECONDS = 0.1
"""The loudest excerpt starts at a multiple of this."""

_BLOCK = 1 << 16  # samples


def place_excerpt(excerpt: Excerpt, track: Track) -> tuple[int, int]:
    """First sample and number of samples of `excerpt` in `track`.

    Raises
    ------
    BadInput
        It ends after the track, or is shorter than one sample.
    """
    start = round((excerpt.start or 0.0) * track.sample_rate)
    count = round(excerpt.seconds * track.sample_rate)
    if count < 1:
        raise BadInput(
            f"the excerpt of {excerpt.seconds:g} s is shorter than a sample at {track.sample_rate} Hz"
        )
    if start + count > track.samples:
        raise BadInput(
            f"the excerpt ends at {(start + count) / track.sample_rate:g} s, and {track.title!r} has "
            f"{track.seconds:.3f} s; choose an earlier or shorter excerpt, or other titles"
        )
    if excerpt.start is None:
        start = loudest(track.folder / f"{MIXTURE}.wav", count)
    return start, count


def loudest(path: Path, samples: int) -> int:
    """Start of the `samples` with the largest energy in an audio file; the first of equal ones.

    Starts are multiples of a tenth of a second.

    Raises
    ------
    BadInput
        The file cannot be read, or has samples that are not finite.
    """
    try:
        with sf.SoundFile(path) as file:
            hop = max(1, round(_STEP_SECONDS * file.samplerate))
            blocks = file.blocks(blocksize=hop, dtype="float64", always_2d=True)
            energy = [float(np.sum(np.square(block))) for block in blocks]
            frames = file.frames
    except (sf.LibsndfileError, OSError) as error:
        raise BadInput(f"{path} cannot be read as audio: {error}") from None
    if not math.isfinite(sum(energy)):
        raise BadInput(f"{path} holds samples that are NaN or infinite")
    before = np.concatenate([[0.0], np.cumsum(energy)])
    # A window may end within a block: the energy before its end is interpolated.
    starts = np.arange(0, frames - samples + 1, hop)
    ends = np.interp((starts + samples) / hop, np.arange(before.size), before)
    return int(starts[np.argmax(ends - before[: starts.size])])


def require_excerpt(source: Path, out: Path, start: int, samples: int, names: Sequence[str]) -> None:
    """Write the excerpt of the files ``<source>/<name>.wav`` into the folder `out`, unless it is there and intact.

    The samples and their format are those of the source.

    Raises
    ------
    BadInput
        A file of the source cannot be read, or is too short.
    StorageFull
        There is no room.
    """
    if _is_intact(out, start, samples):
        return
    with atomic_folder(out, replace=True) as folder:
        for name in names:
            _cut(source / f"{name}.wav", folder / f"{name}.wav", start, samples)
        found = {"start": start, "samples": samples, "checksums": checksums_of(folder)}
        write_json(folder / EXCERPT_FILE, found)


def _is_intact(folder: Path, start: int, samples: int) -> bool:
    try:
        found = read_json(folder / EXCERPT_FILE)
        checksums = found["checksums"]
        return (found["start"], found["samples"]) == (start, samples) and not damage(
            folder, checksums, checksums
        )
    except (BenchError, TypeError, KeyError):
        return False


def _cut(source: Path, out: Path, start: int, samples: int) -> None:
    try:
        with sf.SoundFile(source) as file:
            # Integers are copied as integers: no sample is rounded.
            dtype = "float64" if file.subtype in ("FLOAT", "DOUBLE") else "int32"
            with sf.SoundFile(
                out, "w", file.samplerate, file.channels, file.subtype, file.endian, "WAV"
            ) as target:
                file.seek(start)
                left = samples
                while left and len(block := file.read(min(left, _BLOCK), dtype=dtype, always_2d=True)):
                    target.write(block)
                    left -= len(block)
    except sf.LibsndfileError as error:
        raise BadInput(f"{source} cannot be cut: {error}") from None
    if left:
        raise BadInput(f"{source} is truncated: {left} of the {samples} samples of the excerpt are missing")
    clear_peak_timestamp(out)
