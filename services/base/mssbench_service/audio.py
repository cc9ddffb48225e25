"""Audio files. Arrays are float32, shape (channels, samples), full scale ±1, channel 0 = left."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile as sf

from . import audio_headers, mp3
from .errors import BadInput, TooLarge
from .files import atomic_file

FloatArray = npt.NDArray[np.float32]

SAMPLE_RATES = (1_000, 192_000)
"""Accepted range in Hz. A file with another rate has a wrong header, and its length in seconds would be wrong."""

USUAL_RATE = 48_000
"""Highest rate in Hz at which a stereo file may have the longest accepted duration. It limits the memory for a file."""

_UNKNOWN_LENGTH = 1 << 62
"""libsndfile reports this number of samples, or more, if the file does not contain its length."""


@dataclass(frozen=True)
class AudioInfo:
    """Header of an audio file: `sample_rate` in Hz, `samples` per channel, `subtype` as libsndfile names it."""

    sample_rate: int
    channels: int
    samples: int
    subtype: str = field(default="", compare=False)


def read_header(path: Path) -> AudioInfo:
    """Read the header of an audio file.

    Raises
    ------
    BadInput
        The file is not audio, has no samples or an unknown length, has a sample rate outside of
        :data:`SAMPLE_RATES`, or its header does not match the data (:mod:`mssbench_service.audio_headers`).
    """
    try:
        if not path.is_file():  # opening a named pipe would block until another process writes
            raise BadInput(
                f"{path} cannot be read as audio: {'not a file' if path.exists() else 'there is no such file'}"
            )
        if audio_headers.is_bw64(path):
            raise BadInput(f"{path} is a BW64 file, which is not read; expected WAV or RF64")
        info = sf.info(str(path))
        wrong = audio_headers.header_error(
            path, audio_headers.Samples(info.frames, info.channels, info.subtype)
        )
        coded = info.subtype == "MPEG_LAYER_III"
        counted, stored = mp3.samples_in_all_frames(path) if coded else (0, True)
    except (sf.LibsndfileError, OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} cannot be read as audio: {_reason(error)}") from None
    if info.format not in audio_headers.CHECKED:
        raise BadInput(
            f"{path} is a file of the format {info.format}, which does not store its length, so that it may be "
            "truncated; expected WAV, FLAC, AIFF or another format that does"
        )
    if wrong:
        raise BadInput(f"{path} {wrong}")
    if info.frames >= _UNKNOWN_LENGTH:
        raise BadInput(f"{path} does not say how long it is; expected a file that was not written to a pipe")
    if counted > info.frames and not stored:  # libsndfile would not read all of them
        raise BadInput(f"{path} does not say how long it is, and is truncated or of a varying bit rate")
    if counted > info.frames + mp3.LARGEST_GAP:
        raise BadInput(f"{path} has a wrong header: {info.frames} samples, and there are {counted}")
    if info.frames <= 0:
        raise BadInput(f"{path} holds no samples")
    if not SAMPLE_RATES[0] <= info.samplerate <= SAMPLE_RATES[1]:
        low, high = SAMPLE_RATES
        raise BadInput(f"{path} claims a sample rate of {info.samplerate} Hz; expected {low} to {high} Hz")
    return AudioInfo(info.samplerate, info.channels, info.frames if stored else counted, info.subtype)


def read(path: Path, *, max_seconds: float | None = None) -> tuple[FloatArray, int]:
    """Read a whole audio file.

    Integer formats are scaled to ±1. Floating-point samples are not changed, also beyond ±1.

    Parameters
    ----------
    path : Path
    max_seconds : float, optional
        Longest track that is accepted.

    Returns
    -------
    samples : array, shape (channels, samples), float32
    sample_rate : int
        Hz.

    Raises
    ------
    BadInput
        The file is not audio, is empty or truncated, or has samples that are NaN or infinite.
    TooLarge
        It is longer than `max_seconds` by its header (checked before it is decoded), or does not fit into memory.
    """
    return _read(path, read_header(path), "float32", max_seconds)


def read_unrounded(
    path: Path, *, max_seconds: float | None = None
) -> tuple[npt.NDArray[np.floating[Any]], int]:
    """Read a sound file as :func:`read` does, but a file of 64-bit floats as float64.

    For code that compares samples: rounding to float32 changes the ratio of two nearly equal signals.

    Raises
    ------
    BadInput, TooLarge
        As :func:`read`.
    """
    info = read_header(path)
    return _read(path, info, "float64" if info.subtype == "DOUBLE" else "float32", max_seconds)


def _read(path: Path, info: AudioInfo, dtype: str, max_seconds: float | None) -> tuple[Any, int]:
    check_length(path, info, max_seconds)
    try:
        data, sample_rate = sf.read(str(path), dtype=dtype, always_2d=True)
    except (sf.LibsndfileError, OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as audio: {_reason(error)}") from None
    except MemoryError:
        raise TooLarge(f"{path} claims {info.samples} samples, for which there is no memory") from None
    if len(data) < info.samples:
        raise BadInput(f"{path} is truncated: {len(data)} of {info.samples} samples could be read")
    if not np.isfinite(data).all():
        raise BadInput(f"{path} holds samples that are NaN or infinite")
    return np.ascontiguousarray(data.T), sample_rate


def check_length(path: Path, info: AudioInfo, max_seconds: float | None) -> None:
    """Raise :class:`TooLarge` if the file lasts longer than `max_seconds`, or has too many samples, by its header."""
    if max_seconds is None:
        return
    if info.samples > max_seconds * info.sample_rate:
        seconds = info.samples / info.sample_rate
        raise TooLarge(
            f"{path} lasts {seconds:.0f} s; at most {max_seconds:.0f} s are accepted (MSSBENCH_MAX_SECONDS)"
        )
    if (samples := info.samples * info.channels) > (most := int(2 * max_seconds * USUAL_RATE)):
        raise TooLarge(
            f"{path} has {samples} samples in all channels; at most {most} are accepted, as many as in "
            f"{max_seconds:g} s of stereo at {USUAL_RATE} Hz (MSSBENCH_MAX_SECONDS)"
        )


def write_wav(path: Path, audio: FloatArray, sample_rate: int, subtype: str = "FLOAT") -> None:
    """Write (channels, samples) as a WAV file, which appears complete or not at all.

    The same samples give the same bytes.
    """
    with atomic_file(path) as temporary:
        sf.write(str(temporary), audio.T, sample_rate, subtype=subtype, format="WAV")
        clear_peak_timestamp(temporary)


def clear_peak_timestamp(path: Path) -> None:
    """Make the bytes of a floating-point WAV file depend on its samples alone.

    libsndfile stores the time of writing in the PEAK chunk (bytes 12 to 15 of it).
    """
    with path.open("r+b") as file:
        header = file.read(256).partition(b"data")[0]
        if (peak := header.find(b"PEAK")) >= 0:
            file.seek(peak + 12)
            file.write(bytes(4))


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return str(text).rstrip(".") or type(error).__name__
