"""Find the estimates of titles, in the folders and under the names that separators write.

=============================================  ==================================================================
``<title>/<stem>.wav``                         MSST, and the layout of the references
``<title>/<any>/<any>/<stem>.wav``             one call per title: Demucs, Spleeter, MSST
``<model>/<title>/<stem>.wav``                 Demucs
``<title>_<model>/<stem>.wav``                 Open-Unmix; only models whose names are known
``<title>_(<Stem>)_<model>.wav``               audio-separator; UVR writes a number before it
``<title>_<stem>.wav``                         Demucs and MSST with templates
=============================================  ==================================================================

Names are compared exactly, then with composed accents, then without case. Other names of a stem are in
:data:`ALIASES`. A file or folder with the name of a title is never an estimate of another title. If two folders match a
title, it has no estimates, and the reason names both.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".caf", ".w64")
"""Formats of estimates, in the order in which they are looked for."""

ALIASES = {"accompaniment": ("instrumental", "instrum", "no_vocals", "music", "karaoke")}
"""Other names that separators give to a stem."""

_DEPTH = 4
"""Folders below the given one in which estimates are looked for."""

_MODEL = re.compile(
    r"((x-?)?umx|open-?unmix|(h|ht)?demucs|mdx|spleeter|(bs|mel_band)_roformer)\w*", re.IGNORECASE
)
"""Models whose names may follow a title. Others could be the rest of another title, such as ``live``."""

_SHOWN = 4


@dataclass
class Estimates:
    """The estimates of one title.

    Attributes
    ----------
    folder : Path
        Where they are, or are expected.
    files : dict of str to Path
        By stem.
    problems : dict of str to str
        Why a stem has no file, by stem.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def composed(name: str) -> str:
    """Return the name with composed accents: macOS decomposes them."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return the name without case and with composed accents."""
    return composed(composed(name).casefold())


def twins(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of different names that are equal without case or with composed accents."""
    return [group for group in _groups(sorted(set(names)), folded).values() if len(group) > 1]


def _groups(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[form(name)].append(name)
    return groups


def stem_files(folder: Path, stems: Sequence[str], title: str = "") -> Estimates:
    """Find the files of `stems` in `folder`, which belongs to one title.

    A stem may be called ``vocals.wav``, ``Vocals.WAV`` or ``mixture_(Vocals)_model.wav``, and `title` may be there in
    place of ``mixture``.
    """
    found, sounds = Estimates(folder), _sounds(folder)
    words = _words(stems)
    for stem in stems:
        exact = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
        candidates = [path for path in exact if path in sounds][:1]
        if not candidates:
            candidates = [path for path in sounds if words.get(folded(path.stem)) == stem]
        if not candidates:
            names = [name for name in ("mixture", title) if name]
            candidates = [path for path in sounds if _stem_after(path, names, words) == stem]
        _choose(found, stem, candidates)
    used = set(found.files.values())
    others = [path.name for path in sounds if path not in used and folded(path.stem) != "mixture"]
    for stem in stems:
        if stem not in found.files and stem not in found.problems:
            found.problems[stem] = f"{folder / stem}.wav is missing{_list_of(others)}"
    return found


def find_estimates(estimates: Path, titles: Mapping[str, Sequence[str]]) -> dict[str, Estimates]:
    """Find the estimates of each title below the folder `estimates`; `titles` are the stems of each title."""
    names = _Titles(titles)
    candidates: dict[str, list[tuple[int, Estimates]]] = defaultdict(list)
    for folder, parts in _folders(estimates):
        rank, owner = min(map(names.owner, reversed(parts)), default=(9, None), key=lambda pair: pair[0])
        if owner is not None:
            candidates[owner].append((rank, stem_files(folder, titles[owner], owner)))
        else:
            for title, files in _in_one_folder(folder, names).items():
                candidates[title].append((3, _of_files(folder, titles[title], files)))
            for title in filter(None, map(names.before_model, parts)):
                candidates[title].append((4, stem_files(folder, titles[title], title)))
    return {title: _best(estimates, title, stems, candidates[title]) for title, stems in titles.items()}


def _best(
    estimates: Path, title: str, stems: Sequence[str], candidates: list[tuple[int, Estimates]]
) -> Estimates:
    usable = [(rank, each) for rank, each in candidates if each.files or _is_ambiguous(each)]
    best = [each for rank, each in usable if rank == min(usable, key=lambda pair: pair[0])[0]]
    own = [each for each in best if each.folder.parent == estimates and each.folder.name == title]
    if len(best) == 1 or own:
        return (own or best)[0]
    folder = estimates / title
    if best:
        folder = best[0].folder
        problem = (
            f"{title!r} has estimates in {best[0].folder} and in {best[1].folder}; name one model's folder"
        )
    elif candidates:
        return candidates[0][1]
    else:
        there = sorted(path.name for path in estimates.iterdir() if path.name[0] != ".")
        stem = stems[0] if stems else "vocals"
        problem = (
            f"{estimates} has no estimates of {title!r}; expected {title}/{stem}.wav, <model>/{title}/{stem}.wav or "
            f"{title}_({stem.capitalize()})_<model>.wav{_list_of(there)}"
        )
    return Estimates(folder, {}, dict.fromkeys(stems, problem))


def _is_ambiguous(found: Estimates) -> bool:
    return any("expected one file" in problem for problem in found.problems.values())


class _Titles:
    """The titles of the references, by the names of folders and files."""

    def __init__(self, titles: Mapping[str, Sequence[str]]) -> None:
        self.longest_first = sorted(titles, key=len, reverse=True)
        forms: tuple[Callable[[str], str], ...] = (str, composed, folded)
        self._same = [(form, _groups(titles, form)) for form in forms]
        self.words = {title: _words(stems) for title, stems in titles.items()}

    def owner(self, name: str) -> tuple[int, str | None]:
        """How well `name` fits a title (0 is exact, 9 not at all), and the title; None if several fit as well."""
        for rank, (form, names) in enumerate(self._same):
            if len(found := names.get(form(name), [])) == 1:
                return rank, found[0]
        return 9, None

    def before_model(self, name: str) -> str | None:
        """The title that `name` begins with, where the name of a model follows; the longest of several."""
        for title in self.longest_first:
            if composed(name).startswith(f"{composed(title)}_"):
                return title if _MODEL.fullmatch(composed(name), len(composed(title)) + 1) else None
        return None


def _in_one_folder(folder: Path, names: _Titles) -> dict[str, dict[str, list[Path]]]:
    """Files by title and stem, where the title is part of the file's name."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in _sounds(folder):
        owners = ((title, _stem_after(path, [title], names.words[title])) for title in names.longest_first)
        matches = [(title, stem) for title, stem in owners if stem]
        if matches:  # the longest title, or of twins the one that is spelled like the file
            longest = [pair for pair in matches if folded(pair[0]) == folded(matches[0][0])]
            title, stem = next(
                (pair for pair in longest if composed(pair[0]) in composed(path.name)), longest[0]
            )
            found[title][stem].append(path)
    return found


def _of_files(folder: Path, stems: Sequence[str], files: Mapping[str, list[Path]]) -> Estimates:
    found = Estimates(folder)
    for stem in stems:
        _choose(found, stem, files.get(stem, []))
        if stem not in found.files:
            found.problems.setdefault(stem, f"{folder} has no file of {stem!r}")
    return found


def _choose(found: Estimates, stem: str, candidates: Sequence[Path]) -> None:
    if len(candidates) == 1:
        found.files[stem] = candidates[0]
    elif candidates:
        both = " and ".join(path.name for path in candidates[:2])
        found.problems[stem] = f"{both} in {found.folder} can be {stem!r}; expected one file"


def _words(stems: Sequence[str]) -> dict[str, str]:
    """Names of files without case, with the stem of each. A stem's own name is never an alias of another."""
    own = {folded(stem): stem for stem in stems}
    return {alias: stem for stem in stems for alias in ALIASES.get(stem, ())} | own


def _stem_after(path: Path, names: Sequence[str], words: Mapping[str, str]) -> str:
    """The stem that follows one of `names` in the name of the file: ``1_name_(Vocals)_model`` or ``name_vocals``."""
    text = folded(path.stem)
    for name in names:
        for word, stem in words.items():
            escaped = re.escape(word)
            pattern = rf"(\d+_)?{re.escape(folded(name))}[ _.-]+(\({escaped}\)([ _.-].*)?|{escaped})"
            if re.fullmatch(pattern, text, re.DOTALL):
                return stem
    return ""


def _sounds(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.name[0] != "." and path.suffix.lower() in SUFFIXES and not path.is_dir()
    )


def _folders(top: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folders with sound files, and the names from `top` to them."""
    for place, below, files in os.walk(top, followlinks=True):
        folder = Path(place)
        parts = folder.relative_to(top).parts
        below[:] = sorted(name for name in below if name[0] != ".") if len(parts) < _DEPTH else []
        if any(Path(name).suffix.lower() in SUFFIXES for name in files):
            yield folder, parts


def _list_of(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"; found {', '.join(names[:_SHOWN])}" + (", …" if len(names) > _SHOWN else "")
