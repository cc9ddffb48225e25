"""Audio excerpts: mixture, reference and estimate at one level, with a plot of the interaural cues over time.

Excerpts are the worst, the median and the best stem of each separator by the first headline metric, and those that
the user selects. Each is a few seconds long and written as FLAC. Excerpts beyond the limit on the total size are
counted and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from markupsafe import Markup
from mssbench_service.checksums import damage
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import DataRoot
from mssbench_service.musdb import MIXTURE
from scipy import signal

from ..runs.conditions import condition_of
from ..runs.formats import RENDERING_FORMAT, SEPARATION_FORMAT, Format
from ..runs.records import Cell
from . import svg
from .data import FloatArray, RunData

log = logging.getLogger("mssbench")

SECONDS = 6.0
"""Length of an excerpt."""

MAX_BYTES = 24_000_000
"""Limit on the audio of one report."""

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """One stem of one cell, and why it was selected."""

    cell: Cell
    stem: str
    why: str


@dataclass(frozen=True)
class Player:
    """One player on the page.

    Attributes
    ----------
    files : dict of str to str
        Path relative to the report of "Mixture", "Reference" and "Estimate".
    start, seconds : float
        Position in the track and length, seconds.
    plot : Markup
        Interaural cues over time.
    """

    choice: Choice
    scores: list[tuple[str, str]]
    files: dict[str, str]
    start: float
    seconds: float
    note: str
    plot: Markup


@dataclass(frozen=True)
class Excerpts:
    """All players, and the number of choices without audio and beyond the limit on the size."""

    players: list[Player]
    without_audio: int
    over_limit: int
    bytes: int


def choose(data: RunData, selected: Sequence[tuple[str, str, str, str]] = ()) -> list[Choice]:
    """Choose excerpts: those in `selected` first, then binaural before stereo and worst before best.

    Parameters
    ----------
    data : RunData
    selected : sequence of (condition, separator, title, stem)
        Excerpts that the user selects.

    Raises
    ------
    BadInput
        A selected excerpt is not in this run.
    """
    chosen = []
    for condition, separator, title, stem in selected:
        cell = Cell(data.replicates.get(condition, [condition])[0], separator, title)
        if cell not in data.outcomes or stem not in data.record.stems:
            raise BadInput(f"this run has no {stem!r} of {title!r} by {separator!r} ({condition})")
        chosen.append(Choice(cell, stem, "selected"))
    if data.headline:
        metric = data.headline[0]
        conditions = sorted(data.conditions)  # binaural, stereo
        ranked = {
            (condition, one.name): _ranked(data, condition, one.name)
            for condition in conditions
            for one in data.compared
        }
        for condition in conditions:
            for why, place in (("worst", 0.0), ("median", 0.5), ("best", 1.0)):
                for one in data.compared:
                    order = ranked[condition, one.name]
                    if order:
                        title, stem = order[round(place * (len(order) - 1))]
                        cell = Cell(data.replicates[condition][0], one.name, title)
                        chosen.append(Choice(cell, stem, f"{why} {metric.label} of {one.name}"))
    seen: set[tuple[Cell, str]] = set()
    return [c for c in chosen if (c.cell, c.stem) not in seen and not seen.add((c.cell, c.stem))]  # type: ignore[func-returns-value]


def _ranked(data: RunData, condition: str, separator: str) -> list[tuple[str, str]]:
    """Return (title, stem), worst first."""
    metric = data.headline[0]
    values = data.track_values(metric, condition, separator)
    stems = [target for target in data.targets if target in data.record.stems]
    if not stems:  # sums of stems are not files
        return []
    found = [(float(values[t, s]), t, s) for t, s in zip(*np.nonzero(~np.isnan(values)), strict=True)]
    found.sort(key=lambda item: item[0], reverse=metric.better == "lower")
    return [(data.titles[t], stems[s]) for _, t, s in found]


def write(data: RunData, choices: Sequence[Choice], report: Path, max_bytes: int = MAX_BYTES) -> Excerpts:
    """Write the excerpts under ``report/audio`` and describe their players."""
    writer = _Writer(data, report, max_bytes)
    players, without_audio, over_limit = [], 0, 0
    for choice in choices:
        try:
            player = writer.player(choice)
        except (OSError, soundfile.SoundFileError, BadInput, NotFound):
            without_audio += 1  # estimates may have been deleted to save space
            continue
        if player is None:
            over_limit += 1
        else:
            players.append(player)
    return Excerpts(players, without_audio, over_limit, writer.bytes)


def _require_intact(folder: Path, kind: Format, *names: str) -> None:
    """Raise :class:`BadInput` if one of the files called `names` is not as it was written."""
    if (folder / kind.name).exists():
        checksums = kind.read(folder / kind.name).get("checksums") or {}
        if problem := damage(folder, checksums, names):
            log.warning("%s: %s; the report leaves it out", folder, problem)
            raise BadInput(f"{folder}: {problem}")


class _Writer:
    """Writes excerpts up to a limit on their total size."""

    def __init__(self, data: RunData, report: Path, max_bytes: int) -> None:
        self.data, self.report, self.max_bytes = data, report, max_bytes
        self.root = DataRoot(self.data.store.folder.parent.parent, trusted=True)
        self.bytes = 0
        self.number = 0

    def player(self, choice: Choice) -> Player | None:
        """Write one excerpt and describe its player; None where it is over the limit."""
        cell, stem = choice.cell, choice.stem
        track = self.data.record.track(cell.title)
        folder = self.root.existing(track.folders[cell.condition])
        estimates = self.data.store.layout.estimates(cell)
        _require_intact(folder, RENDERING_FORMAT, f"{MIXTURE}.wav", f"{stem}.wav")
        _require_intact(estimates, SEPARATION_FORMAT, f"{stem}.wav")
        start, length = _loudest(folder / f"{stem}.wav")
        signals = {
            "Mixture": _read(folder / f"{MIXTURE}.wav", start, length),
            "Reference": _read(folder / f"{stem}.wav", start, length),
            "Estimate": _read(estimates / f"{stem}.wav", start, length),
        }
        # The reference is scored at the level of the mixture.
        gain = self.data.mixture_gain(cell) or 1.0
        signals["Reference"] = signals["Reference"] * np.float32(gain)
        peak = max(float(np.abs(audio).max(initial=0)) for audio in signals.values())
        # One gain for all three keeps their relative levels and avoids clipping.
        scale = np.float32(min(1.0, 0.99 / peak)) if peak > 0 else np.float32(1.0)
        files = self._write({name: audio * scale for name, audio in signals.items()}, track.sample_rate)
        if files is None:
            return None
        seconds = length / track.sample_rate
        note = (
            ""
            if scale == 1
            else f"all three at {20 * np.log10(scale):.1f} dB to avoid clipping".replace("-", "−")
        )
        plot = plot_cues(signals["Reference"], signals["Estimate"], track.sample_rate, _name(choice))
        group, row = (condition_of(cell.condition), cell.separator, stem), self.data.titles.index(cell.title)
        scores = [
            (metric.title, metric.format(float(self.data.track_values(metric, *group)[row, 0])))
            for metric in self.data.headline
        ]
        return Player(choice, scores, files, start / track.sample_rate, seconds, note, plot)

    def _write(self, signals: dict[str, Audio], sample_rate: int) -> dict[str, str] | None:
        """Write all three files; None, and no file, where they are over the limit."""
        folder = self.report / "audio"
        folder.mkdir(exist_ok=True)
        files = {}
        for name, audio in signals.items():
            files[name] = f"audio/{self.number:02d}-{name.lower()}.flac"
            soundfile.write(self.report / files[name], audio, sample_rate, subtype="PCM_16", format="FLAC")
        size = sum((self.report / file).stat().st_size for file in files.values())
        if self.bytes + size > self.max_bytes:
            for file in files.values():
                (self.report / file).unlink()
            return None
        self.bytes += size
        self.number += 1
        return files


def _name(choice: Choice) -> str:
    return f"{choice.cell.separator}, {choice.stem} of {choice.cell.title}, {choice.cell.condition}"


def _loudest(path: Path) -> tuple[int, int]:
    """Return start and length (samples) of the excerpt with the largest energy, in steps of half a second."""
    with soundfile.SoundFile(path) as file:
        rate, frames = file.samplerate, file.frames
        hop = max(1, rate // 2)
        energy = np.array([float(np.sum(np.square(block, dtype=np.float64)))
                           for block in _blocks(file, hop)])  # fmt: skip
    window = min(len(energy), round(SECONDS * rate / hop))
    sums = np.convolve(energy, np.ones(window), "valid")
    start = int(np.argmax(sums)) * hop
    return start, min(frames - start, round(SECONDS * rate))


def _blocks(file: soundfile.SoundFile, hop: int) -> Iterator[Audio]:
    yield from file.blocks(blocksize=hop, dtype="float32", always_2d=True)


def _read(path: Path, start: int, length: int) -> Audio:
    """Read an excerpt, shape (length, 2); zeros after the end of the file."""
    audio, _ = soundfile.read(path, start=start, frames=length, dtype="float32", always_2d=True)
    audio = np.nan_to_num(audio[:, [0, -1]])
    return np.pad(audio, ((0, length - len(audio)), (0, 0)))


def plot_cues(reference: Audio, estimate: Audio, sample_rate: int, name: str) -> Markup:
    """Plot interaural time and level differences over time, of reference and estimate.

    Parameters
    ----------
    reference, estimate : array, shape (samples, 2)
    sample_rate : int
        Hz.
    name : str
        Added to the accessible name of the plot.
    """
    frame = max(1, round(0.1 * sample_rate))
    cues = [interaural_differences(audio, sample_rate, frame) for audio in (reference, estimate)]
    active = _levels(reference, frame) > -40
    audible = active & (_levels(estimate, frame) > -60)
    time = (np.arange(len(active)) + 0.5) * frame / sample_rate
    with svg.style():
        figure = svg.new_figure(svg.COLUMN, 1.7)
        for i, (axes, unit) in enumerate(zip(figure.subplots(2, 1, sharex=True), ("ITD (µs)", "ILD (dB)"),
                                             strict=True)):  # fmt: skip
            for cue, mask, colour, width in (
                (cues[0][i], active, svg.MUTED, 2.4),
                (cues[1][i], audible, svg.GREEN, 1.0),
            ):
                axes.plot(time, np.where(mask, cue, np.nan), color=colour, linewidth=width, marker=".",
                          markersize=2)  # fmt: skip
            axes.set_ylabel(unit)
            axes.set_xlim(0, max(len(active), 1) * frame / sample_rate)
            axes.yaxis.set_label_coords(-0.13, 0.5)
            low, high = axes.get_ylim()
            least = (
                200.0 if i == 0 else 4.0
            )  # smallest range of the axis, so that small changes are not enlarged
            if high - low < least:
                middle = (low + high) / 2
                axes.set_ylim(middle - least / 2, middle + least / 2)
        axes.set_xlabel("time in the excerpt (s)")
        return svg.inline(
            figure, f"ITD and ILD over time: {name}. Broad grey line reference, thin line estimate."
        )


def interaural_differences(audio: Audio, sample_rate: int, frame: int) -> tuple[FloatArray, FloatArray]:
    """Return ITD (µs, positive = left ear first) and ILD (dB, positive = left ear louder) of each frame.

    The ITD is the lag of the maximum of the cross-correlation from 100 to 1500 Hz within ±1 ms. It is for the plot
    only; scores are computed by the evaluator.

    Parameters
    ----------
    audio : array, shape (samples, 2)
    sample_rate : int
        Hz.
    frame : int
        Length of a frame in samples.

    Returns
    -------
    itd, ild : array, shape (frames,)
    """
    band = signal.butter(2, [100, min(1500, 0.45 * sample_rate)], "bandpass", fs=sample_rate, output="sos")
    low = (
        signal.sosfiltfilt(band, audio.astype(np.float64), axis=0) if len(audio) > 60 else audio.astype(float)
    )
    frames = len(audio) // frame
    limit = round(1e-3 * sample_rate)
    left, right = (low[: frames * frame, i].reshape(frames, frame) for i in (0, 1))
    lags = np.arange(-limit, limit + 1)
    inner = slice(limit, frame - limit)
    products = np.stack(
        [np.sum(left[:, inner] * np.roll(right, -lag, axis=1)[:, inner], axis=1) for lag in lags], 1
    )
    best = np.argmax(products, axis=1)
    itd = np.array([_peak(row, int(k)) - limit for row, k in zip(products, best, strict=True)])
    energy = [
        np.sum(np.square(audio[: frames * frame, i].reshape(frames, frame), dtype=float), 1) for i in (0, 1)
    ]
    ild = 10 * np.log10((energy[0] + 1e-12) / (energy[1] + 1e-12))
    return itd / sample_rate * 1e6, ild


def _peak(values: FloatArray, k: int) -> float:
    """Return the position of the maximum at `k` between samples, by parabolic interpolation."""
    if k in (0, len(values) - 1):
        return float(k)
    before, at, after = values[k - 1 : k + 2]
    curve = before - 2 * at + after
    return k + (0.5 * (before - after) / curve if curve < 0 else 0.0)


def _levels(audio: Audio, frame: int) -> FloatArray:
    """Return the level of each frame in dB relative to the loudest frame."""
    frames = len(audio) // frame
    energy = np.sum(np.square(audio[: frames * frame], dtype=float).reshape(frames, 2 * frame), axis=1)
    return np.asarray(10 * np.log10((energy + 1e-20) / (energy.max(initial=0) + 1e-20)))
