"""Check of a dataset in the MUSDB18-HQ layout, or of MUSDB18's ``.stem.mp4`` files.

A *problem* makes a track unusable: a file is missing, damaged, of another length, rate or number of channels, or
has samples that are not finite. A *note* does not: stems that do not add up to the mixture, a known erratum, a title
that is not in MUSDB18. All files of a track are read together in blocks; stem files are decoded into a temporary
folder.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
from binaural_metrics.layouts import composed, twins
from binaural_metrics.plausible import PEAK
from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import BadInput, printable
from mssbench_service.musdb import MIXTURE, SPLITS, Track, check_track, stem_sets, track_folders

from .convert import coded_tracks, convert, require_decoder, title_of
from .musdb18 import musdb18
from .selection import choose_titles

SAMPLE_RATE = 44100
"""Sample rate of MUSDB18-HQ, Hz."""

RESIDUAL_DB = -20.0
"""Limit of the difference between the mixture and the sum of the stems in a channel, relative to the mixture.
The separate AAC coding of the five signals of MUSDB18 leaves about −30 dB."""

FULL_SCALE = 1.0 - 2.0**-15
"""Samples of this size or more are counted as clipped."""

_BLOCK = 1 << 18  # samples

Float64Array = npt.NDArray[np.float64]


@dataclass
class TrackReport:
    """Findings about one track.

    Attributes
    ----------
    seconds : float or None
        Length; None where the track cannot be opened.
    residual_db : list of (float or None)
        Per channel, level of mixture − Σ stems relative to the mixture; None where either is silent.
    clipped : dict of str to int
        Number of samples at full scale in both channels, per file that has any.
    stems : list of str
        Names of the stems; empty where the track cannot be opened.
    """

    split: str
    title: str
    seconds: float | None = None
    sample_rate: int | None = None
    residual_db: list[float | None] = field(default_factory=list)
    clipped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stems: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """Return "problem", "note" or "ok"."""
        return "problem" if self.problems else "note" if self.notes else "ok"


@dataclass
class DatasetReport:
    """Findings about a dataset: per track, and about each split as a whole (`notes`)."""

    folder: str
    tracks: list[TrackReport]
    notes: list[str]

    def unusable(self) -> list[TrackReport]:
        """Return the tracks that have problems."""
        return [track for track in self.tracks if track.problems]


def check_dataset(
    folder: Path,
    splits: Sequence[str] = (),
    show: Callable[[int, int], None] = lambda done, total: None,
    titles: Sequence[str] = (),
) -> DatasetReport:
    """Read and check every sample of a dataset in the MUSDB18-HQ layout, or of MUSDB18's stem files.

    `splits` are by default those that `folder` has. `titles` are titles or patterns of the tracks to check; by default
    all. `show` is called with (tracks done, tracks in total).

    Raises
    ------
    BadInput
        `folder` does not have the layout, or has stem files and PyAV is not installed.
    """
    if not splits:
        splits = [split for split in SPLITS if (folder / split).is_dir()] or list(SPLITS)
    found = [(split, track) for split in splits for track in _tracks(folder, split)]
    if titles:
        chosen = choose_titles(titles, [title_of(track) for _, track in found])
        found = [(split, track) for split, track in found if title_of(track) in chosen]
    if any(track.is_file() for _, track in found):
        require_decoder()
    known = musdb18()
    tracks = []
    sets = _stem_sets([track for _, track in found if track.is_dir()])
    for number, (split, track) in enumerate(found, start=1):
        if track.is_file():
            report = check_stem_file(track, split)
        else:
            report = check_track_folder(track, split, sets.get(track))
        _compare_with_musdb18(report, known)
        tracks.append(report)
        show(number, len(found))
    notes = [note for split in splits for note in _split_notes(split, tracks, known)] if not titles else []
    return DatasetReport(str(folder), tracks, notes)


def _tracks(folder: Path, split: str) -> list[Path]:
    """Return the track folders of a split, or its stem files if it has no track folders."""
    coded = coded_tracks(folder, split)
    try:
        return track_folders(folder, split)
    except BadInput:
        if not coded:
            raise
        return coded


def check_stem_file(path: Path, split: str) -> TrackReport:
    """Decode a stem file into a temporary folder and check the result."""
    with tempfile.TemporaryDirectory(prefix="mssbench-") as folder:
        decoded = Path(folder) / title_of(path)
        try:
            convert(path, decoded)
        except BadInput as error:
            problem = _remove_folder(error.detail, path.parent)
            return TrackReport(split, title_of(path), problems=[problem])
        return check_track_folder(decoded, split)


def _stem_sets(folders: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
    """Stems of each track; empty if the name of a file is wrong, which the check of its track reports."""
    try:
        return dict(zip(folders, stem_sets(folders), strict=True))
    except BadInput:
        return {}


def check_track_folder(folder: Path, split: str, stems: Sequence[str] | None = None) -> TrackReport:
    """Read and check every sample of one track; `stems` are those that it should have (default: it has)."""
    report = TrackReport(split, folder.name)
    try:
        names = None if stems is None else (MIXTURE, *stems)
        track = check_track(folder, names, max_seconds=max_track_seconds())
        report.seconds, report.sample_rate, report.stems = track.seconds, track.sample_rate, list(track.stems)
        if track.sample_rate != SAMPLE_RATE:
            report.notes.append(f"at {track.sample_rate} Hz; MUSDB18-HQ is at {SAMPLE_RATE} Hz")
        _read(track, report)
    except BadInput as error:
        report.problems.append(_remove_folder(error.detail, folder))
    return report


def _remove_folder(detail: str, folder: Path) -> str:
    """Remove the folder of the track from an error message."""
    return detail.replace(printable(f"{folder}/"), "")


def _read(track: Track, report: TrackReport) -> None:
    names = (MIXTURE, *track.stems)
    finite = dict.fromkeys(names, True)
    peaks = dict.fromkeys(names, 0.0)
    clipped = dict.fromkeys(names, 0)
    mixture_energy, residual_energy = np.zeros(2), np.zeros(2)
    read = 0
    try:
        with contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(sf.SoundFile(track.folder / f"{name}.wav")) for name in names}
            while read < track.samples:
                blocks = {name: file.read(_BLOCK, "float64", always_2d=True) for name, file in files.items()}
                lengths = {len(block) for block in blocks.values()}
                if len(lengths) > 1 or 0 in lengths:
                    raise BadInput(f"a file ends before its {track.samples} samples")
                read += lengths.pop()
                for name, block in blocks.items():
                    finite[name] &= bool(np.isfinite(block).all())
                    size = np.abs(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0))
                    peaks[name] = max(peaks[name], float(size.max()))
                    clipped[name] += int(np.count_nonzero(size >= FULL_SCALE))
                if all(finite.values()):
                    residual = blocks[MIXTURE] - sum(blocks[stem] for stem in track.stems)
                    mixture_energy += np.sum(blocks[MIXTURE] ** 2, axis=0)
                    residual_energy += np.sum(residual**2, axis=0)
    except (sf.LibsndfileError, OSError) as error:
        raise BadInput(f"a file cannot be read: {error}") from None
    report.clipped = {name: count for name, count in clipped.items() if count}
    report.problems += [
        f"{name}.wav has samples that are NaN or infinite" for name in names if not finite[name]
    ]
    report.notes += [
        f"{name}.wav peaks at {peaks[name]:.5g} where full scale is 1" for name in names if peaks[name] > PEAK
    ]
    report.notes += [f"{name}.wav is silent" for name in names if peaks[name] == 0.0 and finite[name]]
    if all(finite.values()):
        _check_sum(mixture_energy, residual_energy, report)


def _check_sum(mixture_energy: Float64Array, residual_energy: Float64Array, report: TrackReport) -> None:
    findings = []
    for channel, mixture, residual in zip(("left", "right"), mixture_energy, residual_energy, strict=True):
        level = float(10 * np.log10(residual / mixture)) if mixture > 0.0 and residual > 0.0 else None
        report.residual_db.append(level)
        if level is not None and level > RESIDUAL_DB:
            findings.append(f"{channel} {level:.1f} dB")
        elif level is None and residual > 0.0:
            findings.append(f"{channel}, where the mixture is silent")
    if findings:
        report.notes.append(f"the stems do not add up to the mixture: {', '.join(findings)}")


def _compare_with_musdb18(report: TrackReport, known: dict[str, Any]) -> None:
    title = composed(report.title)
    if title in known["errata"]:
        report.notes.append(f"known erratum: {known['errata'][title]}")
    for split in SPLITS:
        if split != report.split and title in known["titles"][split]:
            report.notes.append(f"belongs to the {split} split of MUSDB18")


def _split_notes(split: str, tracks: Sequence[TrackReport], known: dict[str, Any]) -> list[str]:
    own = [track.title for track in tracks if track.split == split]
    notes = [
        f"{split}: {' and '.join(map(repr, group))} differ only in case or in the coding of accents; some file systems "
        "and tools treat them as one title"
        for group in twins(own)
    ]
    titles = {composed(title) for title in own}
    of_musdb18 = known["titles"][split]
    missing = [title for title in of_musdb18 if title not in titles]
    if len(missing) == len(of_musdb18):
        return [*notes, f"{split}: no title of MUSDB18; this is probably another dataset"]
    unknown = sorted(titles.difference(*known["titles"].values()))
    if missing:
        notes.append(
            f"{split}: {len(missing)} of the {len(of_musdb18)} titles of MUSDB18 are missing{_some(missing)}"
        )
    if unknown:
        notes.append(f"{split}: {len(unknown)} titles that are not in MUSDB18{_some(unknown)}")
    return notes


def _some(titles: Sequence[str]) -> str:
    return f": {', '.join(titles[:3])}" + (", …" if len(titles) > 3 else "")
