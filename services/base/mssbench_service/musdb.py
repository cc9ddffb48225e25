"""The MUSDB18-HQ layout: ``{train,test}/<title>/{mixture,vocals,drums,bass,other}.wav``, and the same with other stems.

A track's stems are what its folder holds, so that tracks of one dataset may differ, as those of MoisesDB do.

Rafii, Liutkus, Stöter, Mimilakis & Bittner, "MUSDB18-HQ - an uncompressed version of MUSDB18", 2019.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .audio import check_length, read_header
from .errors import BadInput
from .names import path_suggestion
from .stems import ACCOMPANIMENT, ALIASES, VOCALS, WELL_KNOWN, in_order
from .stems import MIXTURE as MIXTURE
from .stems import SPLITS as SPLITS
from .stems import STEMS as STEMS

HRIR_FILE = "hrir.npz"
"""Beside rendered stems: their HRIR set (``azimuths``, ``irs``, ``sample_rate``)."""


@dataclass(frozen=True)
class Track:
    """One checked track folder.

    Attributes
    ----------
    folder : Path
    sample_rate : int
        Hz.
    samples : int
        Length of every file of the track.
    stems : tuple of str
    """

    folder: Path
    sample_rate: int
    samples: int
    stems: tuple[str, ...] = STEMS

    @property
    def title(self) -> str:
        return self.folder.name

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


def track_folders(dataset: Path, split: str) -> list[Path]:
    """Track folders of one split, sorted by title. Hidden entries and folders without any track file are ignored.

    Raises
    ------
    BadInput
        `dataset` does not have the layout; the message names it and what was expected.
    """
    if split not in SPLITS:
        raise BadInput(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    expected = f"expected {split}/<title>/{{{','.join((MIXTURE, *STEMS))}}}.wav"
    if not dataset.is_dir():
        raise BadInput(
            f"{dataset} is not a folder in the MUSDB18-HQ layout; {expected}{path_suggestion(dataset)}"
        )
    try:
        entries = sorted((dataset / split).iterdir())
    except OSError:
        raise BadInput(f"{dataset} has no readable folder {split!r}; {expected}{_hint(dataset)}") from None
    folders = [entry for entry in entries if _is_track(entry)]
    if not folders:
        raise BadInput(f"{dataset / split} contains no track; {expected}{_hint(dataset / split)}")
    return folders


def _hint(folder: Path) -> str:
    """A suggestion, depending on what `folder` contains instead of the layout."""
    if any(folder.glob("*.stem.mp4")) or any(folder.glob("*/*.stem.mp4")):
        return "; these are MUSDB18's .stem.mp4 files, which `mssbench data convert` turns into that layout"
    if folder.resolve().name in SPLITS and any(_is_track(entry) for entry in folder.iterdir()):
        return f"; did you mean {folder.parent}?"
    return next(filter(None, map(_spelled_otherwise, folder.glob("*/*.[wW][aA][vV]"))), "")


def _spelled_otherwise(path: Path) -> str:
    """A suggestion if the name of a file of a track has capital letters."""
    wanted = path.name.lower()
    known = wanted.removesuffix(".wav") in _KNOWN and path.name != wanted
    return f"; {path.name} should be called {wanted}" if known else ""


_KNOWN = {MIXTURE, *WELL_KNOWN}


def _is_track(folder: Path) -> bool:
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    return any((folder / f"{name}.wav").exists() for name in _KNOWN)


def stems_of(folder: Path) -> tuple[str, ...]:
    """Names of the stems in the folder of a track, in the order of all tables.

    Each ``<name>.wav`` with a name of ``a-z``, ``0-9`` and ``_`` is one, except the mixture. Beside vocals and other
    stems, ``accompaniment`` and its aliases are the sum of the others, and not a stem.

    Raises
    ------
    BadInput
        The folder cannot be read, or the name of a stem is spelled otherwise than it should be.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".wav")
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror or error}") from None
    names = {path.stem for path in files if re.fullmatch(r"[a-z0-9_]{1,64}\.wav", path.name)} - {MIXTURE}
    for path in files:
        if (hint := _spelled_otherwise(path)) and (name := path.stem.lower()) != MIXTURE:
            if name in names:
                raise BadInput(
                    f"{folder} has {name}.wav and {path.name}, two files of one stem; expected one"
                )
            raise BadInput(f"{folder / name}.wav is missing{hint}")
    rest = names & {ACCOMPANIMENT, *ALIASES}
    if VOCALS in names and names > {VOCALS, *rest}:
        names -= rest
    elif VOCALS in names and rest and rest != {ACCOMPANIMENT}:
        if len(rest) > 1:
            raise BadInput(f"{folder} has {' and '.join(sorted(rest))}, two names of one stem; expected one")
        raise BadInput(f"{folder / min(rest)}.wav should be called {ACCOMPANIMENT}.wav")
    return in_order(names)


def stem_sets(folders: Sequence[Path]) -> list[tuple[str, ...]]:
    """Return the stems of each track of a dataset (:func:`stems_of`).

    In a dataset that has no stems but those of MUSDB18-HQ, a track without one of the four is incomplete, so the four
    are returned for it. Only a dataset whose tracks all have the same two stems is one of two stems.
    """
    sets = [stems_of(folder) for folder in folders]
    every = set().union(*sets)
    if every <= set(STEMS) and not (len(every) == 2 and len(set(sets)) == 1):
        return [STEMS for _ in sets]
    return sets


def check_track(
    folder: Path, names: Sequence[str] | None = None, *, max_seconds: float | None = None
) -> Track:
    """Read the headers of a track's files and check that they have the same rate and length.

    `names` are those of the files; default: the mixture and the stems of the folder.

    Raises
    ------
    BadInput
        A file is missing, not audio, empty, not stereo, or of another rate or length than the first; or the
        title is not UTF-8 and so cannot be written to files and tables.
    TooLarge
        The track is longer than `max_seconds`.
    """
    first: tuple[str, int, int] | None = None
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"the title {folder.name!r} is not UTF-8; rename the folder") from None
    if names is None:
        names = (MIXTURE, *stem_sets([folder])[0])
    if not set(names) - {MIXTURE}:
        raise BadInput(f"{folder} has no stems; expected <stem>.wav beside {MIXTURE}.wav")
    for name in names:
        path = folder / f"{name}.wav"
        if not path.is_file():
            hint = next(filter(None, map(_spelled_otherwise, sorted(folder.glob("*.[wW][aA][vV]")))), "")
            raise BadInput(f"{path} is missing; a track needs {', '.join(f'{n}.wav' for n in names)}{hint}")
        info = read_header(path)
        check_length(path, info, max_seconds)
        if info.channels != 2:
            raise BadInput(f"{path} has {info.channels} channel(s); expected 2")
        if first is None:
            first = (name, info.sample_rate, info.samples)
        elif info.sample_rate != first[1]:
            raise BadInput(f"{path} is at {info.sample_rate} Hz; expected {first[1]} Hz as {first[0]}.wav")
        elif info.samples != first[2]:
            raise BadInput(f"{path} has {info.samples} samples; expected {first[2]} as {first[0]}.wav")
    assert first is not None
    return Track(folder, first[1], first[2], tuple(name for name in names if name != MIXTURE))
