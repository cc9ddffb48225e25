"""The separator contract, and running one separator on one track.

A separator is an adapter around a model: ``setup()`` is called once, ``separate(audio, sample_rate)`` many times. It
does not depend on HTTP, files or queues. :func:`separate_track` does what is the same for all separators: it reads the
mixture, converts mono and sample rates, checks the result, and writes the stems.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import soundfile as sf
import soxr

from . import audio
from .audio import FloatArray
from .checksums import checksum_of, checksums_of
from .errors import BadInput, BadOutput, NotFound, NotReady, OutOfMemory
from .files import DataRoot, atomic_folder, write_json
from .formats import SEPARATION_FORMAT
from .stems import STEMS, check_stem_names
from .wire import Expectation, ModelCard, SeparateResult, SeparatorInfo, parse

WEIGHTS_FILE = "weights.toml"
"""Pinned weights (:mod:`mssbench_service.weights`), a file beside the separator's module."""

SEPARATION_FILE = "separation.json"
"""Name of the record beside the estimates; a folder with this file is a finished separation."""

MOST_STEMS = 32
"""Largest number of stems of one track."""

_MAX_GAIN = 1e9  # of references: far above 1/peak of any mixture that is not silent, far below overflow


class Separator(ABC):
    """One separator.

    Attributes
    ----------
    description : str
        One line for tables and ``GET /info``.
    sample_rate : int or None
        The only rate the model takes, in Hz; None if it takes any. Other inputs are resampled to it and back.
    expected : sequence of Expectation
        Known scores; only separators for known-answer tests have any.
    stems : sequence of str
        Names of the stems that it estimates, by default MUSDB18-HQ's four. Empty if it takes any stem set.
    """

    description: str = ""
    sample_rate: int | None = None
    expected: Sequence[Expectation] = ()
    stems: Sequence[str] = STEMS

    def setup(self) -> None:  # noqa: B027 - there may be nothing to load
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
            One entry per name in :attr:`stems`, at the mixture's level and length.
        """

    @property
    def device(self) -> str:
        return "cpu"

    def details(self) -> Mapping[str, object]:
        """Further details for ``GET /info``: weights and their hashes, library versions, settings."""
        return {}

    def card(self) -> ModelCard:
        """What is known of the model, for ``GET /info`` and reports. Complete once it is loaded."""
        return ModelCard()


class AnyStemsSeparator(Separator):
    """A separator that estimates the stems that it is asked for."""

    stems = ()

    @abstractmethod
    def separate_into(
        self, mixture: FloatArray, stems: Sequence[str], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        """Like :meth:`separate`, for the stems with these names."""

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        return self.separate_into(mixture, STEMS, sample_rate)


class ReferenceSeparator(Separator):
    """A separator that needs the true stems, such as an ideal mask. It estimates the stems that it receives."""

    stems = ()

    @abstractmethod
    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        """Like :meth:`separate`, with the true stems (each of the shape of `mixture`)."""

    def card(self) -> ModelCard:
        """A model without training."""
        return ModelCard(self.description, 0, "none: it receives the true stems", contains_test_set="no")

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        raise BadInput("this separator is defined by the true stems; send them along with the mixture")


Separators = Mapping[str, Callable[[], Separator]]
"""``SEPARATORS`` of a service's package: a function that creates each separator, by name."""


def weights_file(separator: Separator) -> Path:
    """The ``weights.toml`` beside the module of `separator`, which need not exist."""
    return Path(inspect.getfile(type(separator))).with_name(WEIGHTS_FILE)


def set_up(setups: Mapping[str, Callable[[], object]]) -> dict[str, NotReady]:
    """Call the functions that set up separators. Return the errors of those that cannot be used, by name.

    Raises
    ------
    NotReady
        None of them can be used; this is the error of the first one.
    BadInput
        A setting is wrong.
    """
    failed = {}
    for name, setup in setups.items():
        try:
            setup()
        except NotReady as error:
            failed[name] = error
    if failed and len(failed) == len(setups):
        raise next(iter(failed.values()))
    return failed


def describe(
    separators: Mapping[str, Separator], failed: Mapping[str, NotReady] = MappingProxyType({})
) -> list[SeparatorInfo]:
    """Describe separators, by name. Their devices and weights are known once they are set up.

    `failed` holds the errors of those that cannot be used (:func:`set_up`).
    """
    return [
        SeparatorInfo(
            name,
            separator.description,
            needs_references=isinstance(separator, ReferenceSeparator),
            expected=list(separator.expected),
            device=separator.device,
            details=dict(separator.details()),
            stems=list(separator.stems),
            reason=failed[name].detail if name in failed else "",
            card=separator.card(),
        )
        for name, separator in separators.items()
    ]


def reference_files(root: DataRoot, folder: str, stems: Sequence[str]) -> dict[str, Path] | None:
    """Files of the true stems (default: MUSDB18-HQ's) in the folder that a request names; None if it names none."""
    check_stem_names(stems, "the request")
    if not folder:
        return None
    return {stem: root.existing(folder) / f"{stem}.wav" for stem in stems or STEMS}


@contextlib.contextmanager
def _out_of_memory_raised() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("there was not enough memory for the track", retry_after=30) from error


@_out_of_memory_raised()
def separate_track(
    separator: Separator,
    name: str,
    mixture: Path,
    out: Path,
    references: Mapping[str, Path] | None = None,
    *,
    reference_gain: float = 1.0,
    max_seconds: float | None = None,
    stems: Sequence[str] = (),
    version: str = "",
) -> SeparateResult:
    """Separate the sound file `mixture` into ``<out>/<stem>.wav`` (float32), complete or not at all.

    `references` are the files of the true stems, which `reference_gain` brings to the mixture's level. `stems` are
    estimated by a separator that takes any stem set (default: the references', else MUSDB18-HQ's). `version` is that
    of the service, for the record.

    Raises
    ------
    BadInput
        `mixture` (or a reference) cannot be read or has more than two channels, a reference has another rate or
        length, the gain is not positive, or `out` contains other files.
    TooLarge
        The mixture is longer than `max_seconds`.
    BadOutput
        A stem is missing, has an invalid name or a wrong shape, or has samples that are NaN or infinite.
    StorageFull
        There is no room for the stems.
    OutOfMemory
        There is not enough memory.
    ClientDisconnected
        The client has disconnected, and the separator called
        :func:`mssbench_service.cancellation.raise_if_cancelled`.
    """
    check_output_folder(out)
    # Of two equal requests at once, the result of the first one may already be in use.
    replace = (out / SEPARATION_FILE).exists()
    if not 0.0 < reference_gain < _MAX_GAIN:
        raise BadInput(f"the reference gain is {reference_gain}; expected a number above 0")
    notes: list[str] = []
    signal, sample_rate = _read_stereo(mixture, notes, max_seconds)
    names = list(separator.stems) or list(references or stems or STEMS)
    check_stem_names(names, name)
    if len(names) > MOST_STEMS:
        raise BadInput(f"{name} has {len(names)} stems; at most {MOST_STEMS} are possible")
    mixture_checksum = checksum_of(mixture)
    started = time.perf_counter()
    if isinstance(separator, ReferenceSeparator) and references:
        truth = _read_references(references, signal, sample_rate, reference_gain)
        estimates = separator.separate_with(signal, truth, sample_rate)
    else:
        estimates = _separate_at_its_rate(separator, signal, names, sample_rate, notes)
    seconds = time.perf_counter() - started
    for stem in names:
        _check_stem(name, stem, estimates.get(stem), signal.shape)
    result = SeparateResult(
        separator=name,
        stems=names,
        sample_rate=sample_rate,
        samples=signal.shape[1],
        device=separator.device,
        seconds=seconds,
        notes=notes,
        details=dict(separator.details()),
        mixture_checksum=mixture_checksum,
        service_version=version,
    )
    with atomic_folder(out, replace=replace) as folder:
        for stem in names:
            audio.write_wav(folder / f"{stem}.wav", estimates[stem], sample_rate)
        result.checksums = checksums_of(folder)
        write_json(folder / SEPARATION_FILE, SEPARATION_FORMAT.stamped(asdict(result)))
    return result


_BLOCK = 1 << 18  # samples


def check_separation(name: str, folder: Path, mixture: Path, stems: Sequence[str] = ()) -> None:
    """Check that `folder` is a complete and valid result of :func:`separate_track`, with all of `stems`.

    Every sample is read, in blocks, so that a damaged estimate is never scored.

    Raises
    ------
    BadOutput
        The record is not valid, or a stem is missing, damaged, not stereo, has another rate or length than
        `mixture`, or has samples that are NaN or infinite.
    """
    whole = audio.read_header(mixture)
    try:
        record = parse(SeparateResult, SEPARATION_FORMAT.read(folder / SEPARATION_FILE))
        if (record.samples, record.sample_rate) != (whole.samples, whole.sample_rate):
            raise BadOutput(
                f"{name} recorded {record.samples} samples at {record.sample_rate} Hz; "
                f"expected {whole.samples} at {whole.sample_rate} Hz"
            )
        check_stem_names(record.stems, name)
        for stem in dict.fromkeys([*stems, *record.stems]):
            path = folder / f"{stem}.wav"
            if not path.is_file():
                raise BadOutput(f"{name} returned no {stem}")
            found = audio.read_header(path)
            if (found.channels, found.samples, found.sample_rate) != (2, whole.samples, whole.sample_rate):
                raise BadOutput(
                    f"{name} returned {stem} with {found.channels} channel(s) of {found.samples} samples at "
                    f"{found.sample_rate} Hz; expected 2 of {whole.samples} at {whole.sample_rate} Hz"
                )
            for block in sf.blocks(str(path), _BLOCK, dtype="float32"):
                if not np.isfinite(block).all():
                    raise BadOutput(f"{name} returned {stem} with samples that are NaN or infinite")
    except (BadInput, NotFound, sf.LibsndfileError) as error:
        raise BadOutput(f"{name} returned a result that cannot be read: {error}") from None


def check_output_folder(out: Path) -> None:
    """Raise ``BadInput`` if `out` contains anything but a separation: a wrong path must not destroy a dataset."""
    try:
        if out.exists() and not out.is_dir():
            raise BadInput(f"{out} is a file; expected an output folder")
        if out.is_dir() and not (out / SEPARATION_FILE).exists() and any(out.iterdir()):
            raise BadInput(f"{out} contains files that are no separation; expected a new or an empty folder")
        nearest = next(parent for parent in out.absolute().parents if parent.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            what = "expected a folder that can be written"
            raise BadInput(f"cannot write in {nearest}; {what}, for {out.name}")
    except OSError as error:  # the name is too long, or there is no permission
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
    separator: Separator, signal: FloatArray, names: Sequence[str], sample_rate: int, notes: list[str]
) -> Mapping[str, FloatArray]:
    def separate(mixture: FloatArray, rate: int) -> Mapping[str, FloatArray]:
        if isinstance(separator, AnyStemsSeparator):
            return separator.separate_into(mixture, names, rate)
        return separator.separate(mixture, rate)

    if separator.sample_rate in (None, sample_rate):
        return separate(signal, sample_rate)
    notes.append(f"resampled from {sample_rate} Hz to {separator.sample_rate} Hz and back")
    stems = separate(_resample(signal, sample_rate, separator.sample_rate), separator.sample_rate)
    return {
        stem: _fit(_resample(estimate, separator.sample_rate, sample_rate), signal.shape[1])
        for stem, estimate in stems.items()
    }


def _read_stereo(path: Path, notes: list[str], max_seconds: float | None) -> tuple[FloatArray, int]:
    channels = audio.read_header(path).channels
    if channels > 2:  # before the samples are read
        raise BadInput(f"{path.name} has {channels} channels; expected 1 or 2")
    signal, sample_rate = audio.read(path, max_seconds=max_seconds)
    if channels == 1:
        notes.append("mono input: the one channel was duplicated")
        signal = np.repeat(signal, 2, axis=0)
    return signal, sample_rate


def _resample(signal: FloatArray, source: int, target: int) -> FloatArray:
    # A copy, since ascontiguousarray() keeps the unusual strides of a single sample, which soxr refuses.
    frames = np.array(signal.T, order="C")
    resampled = soxr.resample(frames, source, target, quality="VHQ")
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def _fit(signal: FloatArray, samples: int) -> FloatArray:
    """Trim or zero-pad to `samples`: resampling forth and back may change the length by a sample."""
    if signal.shape[1] >= samples:
        return signal[:, :samples]
    return np.pad(signal, ((0, 0), (0, samples - signal.shape[1])))


def _check_stem(name: str, stem: str, estimate: FloatArray | None, shape: tuple[int, ...]) -> None:
    if estimate is None:
        raise BadOutput(f"{name} returned no {stem}")
    if estimate.shape != shape:
        raise BadOutput(f"{name} returned {stem} of shape {estimate.shape}; expected {shape}")
    if not np.isfinite(estimate).all():
        raise BadOutput(f"{name} returned {stem} with samples that are NaN or infinite")
