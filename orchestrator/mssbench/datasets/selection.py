"""Parts of a dataset: tracks by their titles, and an excerpt of each track."""

from __future__ import annotations

import difflib
import fnmatch
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from mssbench_service.audio import clear_peak_timestamp
from mssbench_service.checksums import checksums_of, damage
from mssbench_service.errors import BadInput, BenchError
from mssbench_service.files import atomic_folder, read_json, write_json
from mssbench_service.musdb import MIXTURE, Track

EXCERPT_FILE = "excerpt.json"
"""Record in the folder of an excerpt: where it lies in the track, and the checksums of its files."""

_STEP_SECONDS = 0.1
"""The loudest excerpt starts at a multiple of this."""

_BLOCK = 1 << 16  # samples
_NUMBER = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)


def choose_titles(wanted: Sequence[str], titles: Sequence[str]) -> list[str]:
    """The `titles` that `wanted` names, in their own order; all of them if `wanted` is empty.

    Each of `wanted` is a title, a pattern such as ``Music Delta*``, or several of them with commas between them.

    Raises
    ------
    BadInput
        One of them matches no title; the message has the nearest one.

    Examples
    --------
    >>> choose_titles(["B*"], ["Aria", "Ballad", "Blues"])
    ['Ballad', 'Blues']
    """
    by_form = {_form(title): title for title in titles}
    chosen: set[str] = set()
    for text in wanted:
        # A title may contain a comma or a bracket, so the whole text is looked up first.
        parts = [text] if _matching(text, by_form) else [part.strip() for part in text.split(",")]
        for part in parts:
            if not (found := _matching(part, by_form)):
                near = [title for title in titles if part and part.casefold() in title.casefold()]
                near = near or difflib.get_close_matches(part, titles, n=1, cutoff=0.4)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"there are {len(titles)}, such as {titles[0]!r}"
                )
                raise BadInput(f"no track has the title {part!r}; {hint}")
            chosen.update(found)
    return [title for title in titles if title in chosen] if wanted else list(titles)


def _matching(text: str, titles: dict[str, str]) -> list[str]:
    form = _form(text)
    if form in titles:
        return [titles[form]]
    return [title for known, title in titles.items() if fnmatch.fnmatchcase(known, form)]


def _form(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def titles_in(path: Path) -> list[str]:
    """Titles or patterns in a text file, one per line. Raises BadInput if it cannot be read or has none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read as a list of titles: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise BadInput(f"{path} contains no title; expected one per line")
    return found


@dataclass(frozen=True)
class Excerpt:
    """`seconds` of a track from `start` on; from the start of its loudest part if `start` is None."""

    seconds: float
    start: float | None = None

    @classmethod
    def parse(cls, text: str) -> Excerpt:
        """Read ``START:LENGTH`` or ``LENGTH``, in seconds.

        Raises
        ------
        BadInput
            It is neither, or the length is 0.

        Examples
        --------
        >>> Excerpt.parse("30:7.5")
        Excerpt(seconds=7.5, start=30.0)
        """
        parts = [part.strip() for part in text.split(":")]
        if len(parts) > 2 or not all(_NUMBER.fullmatch(part) for part in parts) or not float(parts[-1]) > 0:
            raise BadInput(
                f"the excerpt is {text!r}; expected START:LENGTH in seconds, such as 30:10, or LENGTH, with a start "
                "of 0 or more and a length above 0"
            )
        return cls(float(parts[-1]), float(parts[0]) if len(parts) == 2 else None)

    def place(self, track: Track) -> tuple[int, int]:
        """First sample and number of samples of the excerpt in `track`.

        Raises
        ------
        BadInput
            It ends after the track, or is shorter than one sample.
        """
        start, count = round((self.start or 0.0) * track.sample_rate), round(self.seconds * track.sample_rate)
        if count < 1:
            raise BadInput(
                f"the excerpt of {self.seconds:g} s is shorter than a sample at {track.sample_rate} Hz"
            )
        if start + count > track.samples:
            raise BadInput(
                f"the excerpt ends at {(start + count) / track.sample_rate:g} s, and {track.title!r} has "
                f"{track.seconds:.3f} s; choose an earlier or shorter excerpt, or other titles"
            )
        if self.start is None:
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
    # A window may end within a block; the energy before its end is interpolated.
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
