"""The separator contract, and running one separator on one track.

A separator is an adapter around a model: ``setup()`` once, ``separate(audio, sample_rate)`` many times. It
knows nothing of HTTP, files or queues. :func:`separate_track` is everything around it that is the same for
all: reading, mono and sample rates, checking what came out, writing.
"""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from . import audio
from .audio import FloatArray
from .errors import BadInput, BadOutput, NotFound, OutOfMemory
from .files import atomic_folder, write_json
from .formats import SEPARATION_FORMAT
from .musdb import STEMS
from .wire import Expectation, SeparateResult, SeparatorInfo, parse

SEPARATION_FILE = "separation.json"
"""Name of the record beside the estimates; a folder that has it is a finished separation."""

_MAX_GAIN = 1e9  # of references; far above 1/peak of any mixture that is not silent, far from overflow


class Separator(ABC):
    """One separator.

    Attributes
    ----------
    description : str
        One line for tables and ``GET /info``.
    sample_rate : int or None
        The only rate the model takes, in Hz; None if it takes any. Other inputs are resampled to it and back.
    expected : sequence of Expectation
        Scores known beforehand; only probes have any.
    """

    description: str = ""
    sample_rate: int | None = None
    expected: Sequence[Expectation] = ()

    def setup(self) -> None:  # noqa: B027 - having nothing to load is fine
        """Load weights and warm up. Called once, before the first :meth:`separate`."""

    @abstractmethod
    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        """Estimate the stems of `mixture`.

        Long work calls :func:`mssbench_service.cancellation.raise_if_cancelled` between its chunks.

        Parameters
        ----------
        mixture : array, shape (2, samples), float32
            Full scale ±1, not clipped: samples may lie beyond.
        sample_rate : int
            Hz; equal to :attr:`sample_rate` where that is set.

        Returns
        -------
        dict of str to array, shape (2, samples), float32
            One entry per name in :data:`mssbench_service.musdb.STEMS`, at the mixture's level and length.
        """

    @property
    def device(self) -> str:
        return "cpu"

    def details(self) -> Mapping[str, object]:
        """More for ``GET /info``: weights and their hashes, library versions, segment settings."""
        return {}


class ReferenceSeparator(Separator):
    """A separator that is defined by the true stems, such as an ideal mask."""

    @abstractmethod
    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        """Like :meth:`separate`, given the true stems (same shape as `mixture`) as well."""

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        raise BadInput("this separator is defined by the true stems; send them along with the mixture")


Separators = Mapping[str, Callable[[], Separator]]
"""What a service module offers as ``SEPARATORS``: how to make each separator, by name."""


def describe(separators: Mapping[str, Separator]) -> list[SeparatorInfo]:
    """What there is to say of separators, by name; of their devices and weights once they are set up."""
    return [
        SeparatorInfo(
            name,
            separator.description,
            needs_references=isinstance(separator, ReferenceSeparator),
            expected=list(separator.expected),
            device=separator.device,
            details=dict(separator.details()),
        )
        for name, separator in separators.items()
    ]


@contextlib.contextmanager
def _out_of_memory_typed() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("there was not enough memory for the track", retry_after=30) from error


@_out_of_memory_typed()
def separate_track(
    separator: Separator,
    name: str,
    mixture: Path,
    out: Path,
    references: Mapping[str, Path] | None = None,
    *,
    reference_gain: float = 1.0,
    max_seconds: float | None = None,
) -> SeparateResult:
    """Separate the sound file `mixture` into ``<out>/<stem>.wav`` (float32), complete or not at all.

    `references` are the true stems' files, and `reference_gain` what brings them to the mixture's level.

    Raises
    ------
    BadInput
        `mixture` (or a reference) cannot be read, has more than two channels, a reference differs from it in
        rate or length, the gain is none, or `out` holds something that is not a separation.
    TooLarge
        Longer than `max_seconds`.
    BadOutput
        The separator's result has a stem missing, a wrong shape, or samples that are NaN or infinite.
    StorageFull
        There is no room for the stems.
    OutOfMemory
        Nor enough memory for the work.
    ClientDisconnected
        The client has disconnected, and the separator called
        :func:`mssbench_service.cancellation.raise_if_cancelled`.
    """
    check_output_folder(out)
    # Where two are asked for the same at once, the one who is first may have readers already.
    replace = (out / SEPARATION_FILE).exists()
    if not 0.0 < reference_gain < _MAX_GAIN:
        raise BadInput(f"the reference gain is {reference_gain}; expected a number above 0")
    notes: list[str] = []
    signal, sample_rate = _read_stereo(mixture, notes, max_seconds)
    started = time.perf_counter()
    if isinstance(separator, ReferenceSeparator) and references:
        truth = _read_references(references, signal, sample_rate, reference_gain)
        stems = separator.separate_with(signal, truth, sample_rate)
    else:
        stems = _separate_at_its_rate(separator, signal, sample_rate, notes)
    seconds = time.perf_counter() - started
    for stem in STEMS:
        _check_stem(name, stem, stems.get(stem), signal.shape)
    result = SeparateResult(
        separator=name,
        stems=list(STEMS),
        sample_rate=sample_rate,
        samples=signal.shape[1],
        device=separator.device,
        seconds=seconds,
        notes=notes,
        details=dict(separator.details()),
    )
    with atomic_folder(out, replace=replace) as folder:
        for stem in STEMS:
            audio.write_wav(folder / f"{stem}.wav", stems[stem], sample_rate)
        write_json(folder / SEPARATION_FILE, SEPARATION_FORMAT.stamped(asdict(result)))
    return result


_BLOCK = 1 << 18  # samples


def check_separation(name: str, folder: Path, mixture: Path) -> None:
    """Check that `folder` holds what :func:`separate_track` promises, whoever wrote it.

    Reads every sample, block by block, so that a damaged estimate never gets as far as a table.

    Raises
    ------
    BadOutput
        The record is none; a stem is missing, damaged, not stereo, of another rate or length than `mixture`, or
        has samples that are NaN or infinite.
    """
    whole = audio.read_header(mixture)
    try:
        record = parse(SeparateResult, SEPARATION_FORMAT.read(folder / SEPARATION_FILE))
        if (record.samples, record.sample_rate) != (whole.samples, whole.sample_rate):
            raise BadOutput(
                f"{name} recorded {record.samples} samples at {record.sample_rate} Hz; "
                f"expected {whole.samples} at {whole.sample_rate} Hz"
            )
        for stem in STEMS:
            path = folder / f"{stem}.wav"
            if not path.is_file():
                raise BadOutput(f"{name} gave no {stem}")
            found = audio.read_header(path)
            if (found.channels, found.samples, found.sample_rate) != (2, whole.samples, whole.sample_rate):
                raise BadOutput(
                    f"{name} gave {stem} with {found.channels} channel(s) of {found.samples} samples at "
                    f"{found.sample_rate} Hz; expected 2 of {whole.samples} at {whole.sample_rate} Hz"
                )
            for block in sf.blocks(str(path), _BLOCK, dtype="float32"):
                if not np.isfinite(block).all():
                    raise BadOutput(f"{name} gave {stem} with samples that are NaN or infinite")
    except (BadInput, NotFound, sf.LibsndfileError) as error:
        raise BadOutput(f"{name} gave what cannot be read: {error}") from None


def check_output_folder(out: Path) -> None:
    """Refuse, before any work, to replace what is no separation: a mistyped `out` must not cost a dataset."""
    try:
        if out.exists() and not out.is_dir():
            raise BadInput(f"{out} is a file; expected an output folder")
        if out.is_dir() and not (out / SEPARATION_FILE).exists() and any(out.iterdir()):
            raise BadInput(f"{out} holds something that is no separation; expected a new or an empty folder")
        nearest = next(parent for parent in out.absolute().parents if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise BadInput(
                f"cannot write in {nearest}; expected a folder that can be written, for {out.name}"
            )
    except OSError as error:  # too long a name, no permission
        raise BadInput(f"{str(out)[:200]} cannot be written: {error.strerror or error}") from None


def _read_references(
    references: Mapping[str, Path], mixture: FloatArray, sample_rate: int, gain: float
) -> dict[str, FloatArray]:
    truth = {}
    for stem, path in references.items():
        info = audio.read_header(path)
        if (info.sample_rate, info.samples) != (sample_rate, mixture.shape[1]):
            raise BadInput(
                f"{path.name} has {info.samples} samples at {info.sample_rate} Hz; "
                f"expected {mixture.shape[1]} at {sample_rate} Hz as the mixture"
            )
        signal, _ = _read_stereo(path, [], None)
        truth[stem] = signal if gain == 1.0 else signal * np.float32(gain)
    return truth


def _separate_at_its_rate(
    separator: Separator, signal: FloatArray, sample_rate: int, notes: list[str]
) -> Mapping[str, FloatArray]:
    if separator.sample_rate in (None, sample_rate):
        return separator.separate(signal, sample_rate)
    notes.append(f"resampled from {sample_rate} Hz to {separator.sample_rate} Hz and back")
    stems = separator.separate(_resample(signal, sample_rate, separator.sample_rate), separator.sample_rate)
    return {
        stem: _fit(_resample(estimate, separator.sample_rate, sample_rate), signal.shape[1])
        for stem, estimate in stems.items()
    }


def _read_stereo(path: Path, notes: list[str], max_seconds: float | None) -> tuple[FloatArray, int]:
    channels = audio.read_header(path).channels  # before decoding: 32 channels of an hour are refused cheaply
    if channels > 2:
        raise BadInput(f"{path.name} has {channels} channels; expected 1 or 2")
    signal, sample_rate = audio.read(path, max_seconds=max_seconds)
    if channels == 1:
        notes.append("mono input: the one channel was duplicated")
        signal = np.repeat(signal, 2, axis=0)
    return signal, sample_rate


def _resample(signal: FloatArray, source: int, target: int) -> FloatArray:
    # A copy, not ascontiguousarray(): that lets the odd strides of a single sample pass, and soxr does not.
    frames = np.array(signal.T, order="C")
    resampled = soxr.resample(frames, source, target, quality="VHQ")
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def _fit(signal: FloatArray, samples: int) -> FloatArray:
    """Trim or zero-pad to `samples`: resampling there and back may differ by a sample."""
    if signal.shape[1] >= samples:
        return signal[:, :samples]
    return np.pad(signal, ((0, 0), (0, samples - signal.shape[1])))


def _check_stem(name: str, stem: str, estimate: FloatArray | None, shape: tuple[int, ...]) -> None:
    if estimate is None:
        raise BadOutput(f"{name} gave no {stem}")
    if estimate.shape != shape:
        raise BadOutput(f"{name} gave {stem} of shape {estimate.shape}; expected {shape}")
    if not np.isfinite(estimate).all():
        raise BadOutput(f"{name} gave {stem} with samples that are NaN or infinite")
