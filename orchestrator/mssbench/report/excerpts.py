"""Audio excerpts, grouped by song: mixture, reference and all estimates of one stem, in each condition.

Excerpts are the worst, the best and the median stem of the run by the leading metric, and those that the user selects.
Each is a few seconds long and written as FLAC. Files beyond the limit on the total size are counted and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
from markupsafe import Markup
from mssbench_service.checksums import damage
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import DataRoot
from mssbench_service.musdb import MIXTURE

from ..runs.estimates import kept_file
from ..runs.formats import RENDERING_FORMAT, Format
from ..runs.records import Cell
from . import timeline
from .chart import Scale
from .data import RunData
from .exports import slug
from .timeline import Audio, Cues

log = logging.getLogger("mssbench")

SECONDS = 5.0
"""Length of an excerpt."""

MAX_BYTES = 24_000_000
"""Limit on the audio of one report."""

MIXTURE_NAME, REFERENCE_NAME = "Mixture", "Reference"


@dataclass(frozen=True)
class Choice:
    """One stem of one song, why it was selected, and the separators and condition to begin with."""

    title: str
    stem: str
    why: str
    condition: str
    separators: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """One signal of a player: its name, its file relative to the report, and the scores of an estimate."""

    name: str
    file: str
    scores: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Take:
    """The signals of one condition, and their picture over time. `values` are the cues of the reference."""

    condition: str
    signals: list[Signal]
    note: str
    picture: Markup
    values: str


@dataclass(frozen=True)
class Player:
    """One player on the page. `start` and `seconds` are the position in the song and the length."""

    choice: Choice
    takes: list[Take]
    start: float
    seconds: float


@dataclass(frozen=True)
class Excerpts:
    """All players, and the number of estimates without audio and beyond the limit on the size."""

    players: list[Player]
    without_audio: int
    over_limit: int
    bytes: int


def choose(data: RunData, selected: Sequence[tuple[str, str, str, str]] = ()) -> list[Choice]:
    """Choose excerpts: those that the user has `selected` first, then the worst, the best and the median stem.

    `selected` has (condition, separator, title, stem) of each.

    Raises
    ------
    BadInput
        A selected excerpt is not in this run.
    """
    names = [one.name for one in data.listed]
    chosen = []
    for condition, separator, title, stem in selected:
        key = data.replicates.get(condition, [condition])[0]
        if Cell(key, separator, title) not in data.outcomes or stem not in data.record.stems:
            raise BadInput(f"this run has no {stem!r} of {title!r} by {separator!r} ({condition})")
        others = [name for name in names if name != separator]
        chosen.append(Choice(title, stem, "selected", condition, (separator, *others)))
    ranked = _ranked(data)
    for why, place in (("worst", 0.0), ("best", 1.0), ("median", 0.5)):
        if ranked:
            title, stem = ranked[round(place * (len(ranked) - 1))]
            reason = f"{why} stem by {data.headline[0].label}"
            chosen.append(Choice(title, stem, reason, data.main, tuple(names)))
    seen: set[tuple[str, str]] = set()
    return [c for c in chosen if (c.title, c.stem) not in seen and not seen.add((c.title, c.stem))]  # type: ignore[func-returns-value]


def _ranked(data: RunData) -> list[tuple[str, str]]:
    """Return (title, stem), worst first: by the median over the models, or over all without a model."""
    subjects = data.models or data.compared
    stems = [target for target in data.targets if target in data.record.stems]
    if not data.headline or not subjects or not stems:  # sums of stems are not files
        return []
    metric = data.headline[0]
    cubes = np.stack([data.track_values(metric, data.main, one.name) for one in subjects])
    found = [
        (float(np.nanmedian(cubes[:, t, s])), t, s)
        for t, s in np.ndindex(cubes.shape[1:])
        if not np.isnan(cubes[:, t, s]).all()
    ]
    found.sort(key=lambda item: item[0], reverse=metric.better == "lower")
    return [(data.titles[t], stems[s]) for _, t, s in found]


@dataclass
class _Draft:
    """A take without its picture, whose scale depends on all takes."""

    condition: str
    signals: list[Signal]
    note: str
    reference: Cues
    estimates: dict[str, Cues]
    place: dict[str, list[float]]


def write(data: RunData, choices: Sequence[Choice], report: Path, max_bytes: int = MAX_BYTES) -> Excerpts:
    """Write the excerpts under ``report/audio`` and describe their players."""
    writer = _Writer(data, report, max_bytes)
    found = [(choice, *writer.drafts(choice)) for choice in choices]
    cues = [
        one
        for _, _, _, drafts in found
        for draft in drafts
        for one in (draft.reference, *draft.estimates.values())
    ]
    scales = timeline.limits(cues)
    players = [
        Player(choice, [_take(choice, draft, seconds, scales) for draft in drafts], start, seconds)
        for choice, start, seconds, drafts in found
        if drafts
    ]
    return Excerpts(players, writer.without_audio, writer.over_limit, writer.bytes)


def _take(choice: Choice, draft: _Draft, seconds: float, scales: dict[str, Scale]) -> Take:
    name = f"{choice.stem} of {choice.title}, {draft.condition}"
    picture = timeline.picture(draft.reference, draft.estimates, draft.place, seconds, scales, name)
    return Take(
        draft.condition, draft.signals, draft.note, picture, timeline.reference_values(draft.reference)
    )


def _require_intact(folder: Path, kind: Format, *names: str) -> None:
    """Raise :class:`BadInput` if one of the files called `names` is not as it was written."""
    if (folder / kind.name).exists():
        checksums = kind.read(folder / kind.name).get("checksums") or {}
        if problem := damage(folder, checksums, names):
            log.warning("%s: %s; the report leaves it out", folder, problem)
            raise BadInput(f"{folder}: {problem}")


_UNREADABLE = (OSError, soundfile.SoundFileError, BadInput, NotFound)


class _Writer:
    """Writes excerpts up to a limit on their total size."""

    def __init__(self, data: RunData, report: Path, max_bytes: int) -> None:
        self.data, self.report, self.max_bytes = data, report, max_bytes
        self.root = DataRoot(data.store.folder.parent.parent, trusted=True)
        self.bytes = self.number = self.without_audio = self.over_limit = 0

    def drafts(self, choice: Choice) -> tuple[float, float, list[_Draft]]:
        """Write the excerpt in each condition; return its start, its length, and what was written."""
        data, track = self.data, self.data.record.track(choice.title)
        conditions = [choice.condition, *(one for one in data.conditions if one != choice.condition)]
        start = length = 0
        drafts = []
        for condition in conditions:
            wanted = [
                name for name in choice.separators if choice.stem in data.record.offered(name, choice.title)
            ]
            try:
                folder = self.root.existing(track.folders[data.replicates[condition][0]])
                _require_intact(folder, RENDERING_FORMAT, f"{MIXTURE}.wav", f"{choice.stem}.wav")
                if not length:  # the same seconds in each condition
                    start, length = _loudest(folder / f"{choice.stem}.wav")
                common = [_read(folder / f"{name}.wav", start, length) for name in (MIXTURE, choice.stem)]
            except _UNREADABLE:
                self.without_audio += len(wanted)
                continue
            if draft := self._draft(choice, condition, wanted, common, start, length):
                drafts.append(draft)
        self.number += bool(drafts)
        return start / track.sample_rate, length / track.sample_rate, drafts

    def _draft(
        self,
        choice: Choice,
        condition: str,
        wanted: Sequence[str],
        common: Sequence[Audio],
        start: int,
        length: int,
    ) -> _Draft | None:
        data, rate = self.data, self.data.record.track(choice.title).sample_rate
        estimates = {}
        for name in wanted:
            folder = data.store.layout.estimates(self._cell(choice, condition, name))
            try:
                stored, factor = kept_file(folder, choice.stem)
                estimates[name] = _read(stored, start, length) * np.float32(factor)
            except _UNREADABLE:
                self.without_audio += 1  # estimates may have been deleted to save space
        if not estimates:
            return None
        mixture, reference = common
        # The reference is scored at the level of the mixture.
        gains = [data.mixture_gain(self._cell(choice, condition, name)) for name in estimates]
        reference = reference * np.float32(next((gain for gain in gains if gain is not None), 1.0))
        signals = {MIXTURE_NAME: mixture, REFERENCE_NAME: reference, **estimates}
        peak = max(float(np.abs(audio).max(initial=0)) for audio in signals.values())
        # One gain for all signals keeps their relative levels and avoids clipping.
        scale = np.float32(min(1.0, 0.99 / peak)) if peak > 0 else np.float32(1.0)
        written = [
            Signal(name, file, self._scores(choice, condition, name) if name in estimates else [])
            for i, (name, audio) in enumerate(signals.items())
            if (
                file := self._write(
                    f"{self.number:02d}-{slug(condition)}-{i:02d}-{slug(name)[:40]}", audio * scale, rate
                )
            )
        ]
        kept = [one.name for one in written]
        if not {MIXTURE_NAME, REFERENCE_NAME} < set(kept):
            return None
        note = (
            ""
            if scale == 1
            else f"all signals at {20 * np.log10(scale):.1f} dB to avoid clipping".replace("-", "−")
        )
        cues = {
            name: timeline.cues_of(reference, audio, rate)
            for name, audio in estimates.items()
            if name in kept
        }
        place = {name: self._place(choice, condition, name, start / rate, length / rate) for name in cues}
        shown = place if any(any(v == v for v in values) for values in place.values()) else {}
        return _Draft(condition, written, note, timeline.cues_of(reference, reference, rate), cues, shown)

    def _cell(self, choice: Choice, condition: str, separator: str) -> Cell:
        """Return the cell of the first replicate of the condition."""
        return Cell(self.data.replicates[condition][0], separator, choice.title)

    def _scores(self, choice: Choice, condition: str, separator: str) -> list[tuple[str, str]]:
        row = self.data.titles.index(choice.title)
        return [
            (metric.title, metric.format(float(values[row, 0])))
            for metric in self.data.headline
            for values in [self.data.track_values(metric, condition, separator, choice.stem)]
        ]

    def _place(
        self, choice: Choice, condition: str, separator: str, start: float, seconds: float
    ) -> list[float]:
        """Return `in_place` of each second of the excerpt; empty where its frames cannot be read."""
        path = self.data.store.layout.frames(self._cell(choice, condition, separator))
        if not path.exists() or not find_spec("pyarrow"):
            return []
        import pyarrow.parquet as pq

        # Without the filters of `read_table`, which import pandas.
        table = pq.ParquetFile(path).read(columns=["source", "metric", "start_s", "value"]).to_pydict()
        by_second = {
            round(at): value
            for source, metric, at, value in zip(*table.values(), strict=True)
            if (source, metric) == (choice.stem, "in_place")
        }
        return [float(by_second.get(int(start) + i, np.nan)) for i in range(round(seconds))]

    def _write(self, name: str, audio: Audio, sample_rate: int) -> str:
        """Write one file and return its path; empty, and no file, where it is over the limit."""
        (self.report / "audio").mkdir(exist_ok=True)
        file = f"audio/{name}.flac"
        soundfile.write(self.report / file, audio, sample_rate, subtype="PCM_16", format="FLAC")
        size = (self.report / file).stat().st_size
        if self.bytes + size > self.max_bytes:
            (self.report / file).unlink()
            self.over_limit += 1
            return ""
        self.bytes += size
        return file


def _loudest(path: Path) -> tuple[int, int]:
    """Return start and length (samples) of the excerpt with the largest energy, in steps of a second."""
    with soundfile.SoundFile(path) as file:
        rate, frames = file.samplerate, file.frames
        blocks = file.blocks(blocksize=max(1, rate), dtype="float32", always_2d=True)
        energy = np.array([float(np.sum(np.square(block, dtype=np.float64))) for block in blocks])
    window = min(len(energy), round(SECONDS))
    sums = np.convolve(energy, np.ones(window), "valid")
    start = int(np.argmax(sums)) * rate
    return start, min(frames - start, round(SECONDS * rate))


def _read(path: Path, start: int, length: int) -> Audio:
    """Read an excerpt, shape (length, 2); zeros after the end of the file."""
    audio, _ = soundfile.read(path, start=start, frames=length, dtype="float32", always_2d=True)
    audio = np.nan_to_num(audio[:, [0, -1]])
    return np.pad(audio, ((0, length - len(audio)), (0, 0)))
