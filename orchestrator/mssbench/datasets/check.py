"""Is a folder the MUSDB18-HQ dataset that it should be? Or MUSDB18, whose tracks are decoded one by one to see?

A *problem* makes a track unusable: a file missing, damaged, of another length, rate or number of channels, or with
samples that are not finite. A *note* is worth knowing: stems that do not add up to the mixture, a known erratum,
a title that MUSDB18 has not. Tracks are read in blocks, five files side by side.
"""

from __future__ import annotations

import json
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf
from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import BadInput, printable
from mssbench_service.musdb import MIXTURE, SPLITS, STEMS, Track, check_track, track_folders

from .stems import coded_tracks, convert, require_decoder, title_of

SAMPLE_RATE = 44100
"""Of MUSDB18-HQ, Hz."""

RESIDUAL_DB = -20.0
"""Stems whose sum differs from the mixture by more, in one channel, do not add up. Coding the five signals of
MUSDB18 apart leaves about −30 dB."""

FULL_SCALE = 1.0 - 2.0**-15
"""Samples this large have probably been clipped."""

_BLOCK = 1 << 18  # samples
_KNOWN = Path(__file__).with_name("musdb18.json")

Float64Array = npt.NDArray[np.float64]


@dataclass
class TrackReport:
    """What was found about one track.

    Attributes
    ----------
    seconds : float or None
        None where the track cannot be opened.
    residual_db : list of (float or None)
        Per channel, level of mixture − Σ stems relative to the mixture; None where either is silent.
    clipped : dict of str to int
        Samples at full scale, both channels, per file that has any.
    """

    split: str
    title: str
    seconds: float | None = None
    sample_rate: int | None = None
    residual_db: list[float | None] = field(default_factory=list)
    clipped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return "problem" if self.problems else "note" if self.notes else "ok"


@dataclass
class DatasetReport:
    """What was found about a dataset: per track, and about each split as a whole (`notes`)."""

    folder: str
    tracks: list[TrackReport]
    notes: list[str]

    def unusable(self) -> list[TrackReport]:
        return [track for track in self.tracks if track.problems]


def check_dataset(
    folder: Path, splits: Sequence[str] = (), show: Callable[[int, int], None] = lambda done, total: None
) -> DatasetReport:
    """Read every sample of the splits named, or of those that `folder` has.

    Raises
    ------
    BadInput
        `folder` does not have the layout at all.
    """
    if not splits:
        splits = [split for split in SPLITS if (folder / split).is_dir()] or list(SPLITS)
    found = [(split, track) for split in splits for track in _tracks(folder, split)]
    if any(track.is_file() for _, track in found):
        require_decoder()
    known = _known()
    tracks = []
    for number, (split, track) in enumerate(found, start=1):
        report = check_coded(track, split) if track.is_file() else check_one(track, split)
        _compare_with_musdb18(report, known)
        tracks.append(report)
        show(number, len(found))
    notes = [note for split in splits for note in _split_notes(split, tracks, known)]
    return DatasetReport(str(folder), tracks, notes)


def _tracks(folder: Path, split: str) -> list[Path]:
    """The split's track folders; or its stem files, where it has those instead."""
    coded = coded_tracks(folder, split)
    try:
        return track_folders(folder, split)
    except BadInput:
        if not coded:
            raise
        return coded


def check_coded(path: Path, split: str) -> TrackReport:
    """:func:`check_one` of what a stem file decodes to, which is forgotten again."""
    with tempfile.TemporaryDirectory(prefix="mssbench-") as folder:
        decoded = Path(folder) / title_of(path)
        try:
            convert(path, decoded)
        except BadInput as error:
            problem = _without(error.detail, path.parent)
            return TrackReport(split, title_of(path), problems=[problem])
        return check_one(decoded, split)


def check_one(folder: Path, split: str) -> TrackReport:
    """Read every sample of one track; whatever is wrong with it is in the report."""
    report = TrackReport(split, folder.name)
    try:
        track = check_track(folder, max_seconds=max_track_seconds())
        report.seconds, report.sample_rate = track.seconds, track.sample_rate
        if track.sample_rate != SAMPLE_RATE:
            report.notes.append(f"at {track.sample_rate} Hz; MUSDB18-HQ is at {SAMPLE_RATE} Hz")
        _read(track, report)
    except BadInput as error:
        report.problems.append(_without(error.detail, folder))
    return report


def _without(detail: str, folder: Path) -> str:
    """A message without the folder of the track that it is about."""
    return detail.replace(printable(f"{folder}/"), "")


def _read(track: Track, report: TrackReport) -> None:
    names = (MIXTURE, *STEMS)
    finite = dict.fromkeys(names, True)
    peaks = dict.fromkeys(names, 0.0)
    clipped = dict.fromkeys(names, 0)
    of_mixture, of_residual = np.zeros(2), np.zeros(2)
    read = 0
    try:
        files = {name: sf.SoundFile(str(track.folder / f"{name}.wav")) for name in names}
        try:
            while read < track.samples:
                blocks = {name: file.read(_BLOCK, "float64", always_2d=True) for name, file in files.items()}
                if any(len(block) != len(blocks[MIXTURE]) for block in blocks.values()) or not len(
                    blocks[MIXTURE]
                ):
                    raise BadInput(f"a file ends before its {track.samples} samples")
                read += len(blocks[MIXTURE])
                for name, block in blocks.items():
                    finite[name] &= bool(np.isfinite(block).all())
                    size = np.abs(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0))
                    peaks[name] = max(peaks[name], float(size.max()))
                    clipped[name] += int(np.count_nonzero(size >= FULL_SCALE))
                if all(finite.values()):
                    residual = blocks[MIXTURE] - sum(blocks[stem] for stem in STEMS)
                    of_mixture += np.sum(blocks[MIXTURE] ** 2, axis=0)
                    of_residual += np.sum(residual**2, axis=0)
        finally:
            for file in files.values():
                file.close()
    except (sf.LibsndfileError, OSError) as error:
        raise BadInput(f"a file cannot be read: {error}") from None
    report.clipped = {name: count for name, count in clipped.items() if count}
    report.problems += [
        f"{name}.wav holds samples that are NaN or infinite" for name in names if not finite[name]
    ]
    report.notes += [f"{name}.wav is silent" for name in names if peaks[name] == 0.0 and finite[name]]
    if all(finite.values()):
        _residual(of_mixture, of_residual, report)


def _residual(of_mixture: Float64Array, of_residual: Float64Array, report: TrackReport) -> None:
    missed = []
    for channel, mixture, residual in zip(("left", "right"), of_mixture, of_residual, strict=True):
        level = float(10 * np.log10(residual / mixture)) if mixture > 0.0 and residual > 0.0 else None
        report.residual_db.append(level)
        if level is not None and level > RESIDUAL_DB:
            missed.append(f"{channel} {level:.1f} dB")
        elif level is None and residual > 0.0:
            missed.append(f"{channel}, where the mixture is silent")
    if missed:
        report.notes.append(f"the stems do not add up to the mixture: {', '.join(missed)}")


def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(_KNOWN.read_text(encoding="utf-8"))
    return known


def _compare_with_musdb18(report: TrackReport, known: dict[str, Any]) -> None:
    title = unicodedata.normalize("NFC", report.title)
    if title in known["errata"]:
        report.notes.append(f"known erratum: {known['errata'][title]}")
    for split in SPLITS:
        if split != report.split and title in known["titles"][split]:
            report.notes.append(f"belongs to the {split} split of MUSDB18")


def _split_notes(split: str, tracks: Sequence[TrackReport], known: dict[str, Any]) -> list[str]:
    titles = {unicodedata.normalize("NFC", track.title) for track in tracks if track.split == split}
    of_musdb18 = known["titles"][split]
    missing = [title for title in of_musdb18 if title not in titles]
    if len(missing) == len(of_musdb18):
        return [f"{split}: none of the titles of MUSDB18, so that it seems to be another dataset"]
    strangers = sorted(titles.difference(*known["titles"].values()))
    notes = []
    if missing:
        notes.append(
            f"{split}: {len(missing)} of the {len(of_musdb18)} titles of MUSDB18 are missing{_some(missing)}"
        )
    if strangers:
        notes.append(f"{split}: {len(strangers)} titles that MUSDB18 has not{_some(strangers)}")
    return notes


def _some(titles: Sequence[str]) -> str:
    return f": {', '.join(titles[:3])}" + (", …" if len(titles) > 3 else "")
