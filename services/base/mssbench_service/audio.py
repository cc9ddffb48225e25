"""Sound files. Arrays are float32, shape (channels, samples), full scale ±1, channel 0 = left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

from .errors import BadInput, TooLarge
from .files import writing

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AudioInfo:
    """Header of a sound file: `sample_rate` in Hz, `samples` per channel."""

    sample_rate: int
    channels: int
    samples: int


def probe(path: Path) -> AudioInfo:
    """Read a sound file's header.

    Raises
    ------
    BadInput
        Not a sound file, one without a single sample, or a WAV or AIFF file that ends too early.
    """
    try:
        info = sf.info(str(path))
        missing = _missing_bytes(path)
    except (sf.LibsndfileError, OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} cannot be read as audio: {_reason(error)}") from None
    if missing > 0:
        raise BadInput(f"{path} is truncated: {missing} bytes are missing by its header")
    if info.frames <= 0:
        raise BadInput(f"{path} holds no samples")
    return AudioInfo(info.samplerate, info.channels, info.frames)


def read(path: Path, *, max_seconds: float | None = None) -> tuple[FloatArray, int]:
    """Whole sound file as (channels, samples) float32, and its sample rate in Hz.

    Integer formats are scaled to ±1; floating-point samples are kept as they are, beyond ±1 too.

    Raises
    ------
    BadInput
        Not audio, empty, truncated, or holding NaN or infinite samples.
    TooLarge
        Longer than `max_seconds` by its header (checked before anything is decoded).
    """
    info = probe(path)
    if max_seconds is not None and info.samples > max_seconds * info.sample_rate:
        seconds = info.samples / info.sample_rate
        raise TooLarge(f"{path.name} lasts {seconds:.0f} s; at most {max_seconds:.0f} s are accepted")
    try:
        data, sample_rate = sf.read(str(path), dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as audio: {_reason(error)}") from None
    if len(data) < info.samples:
        raise BadInput(f"{path} is truncated: {len(data)} of {info.samples} samples could be read")
    if not np.isfinite(data).all():
        raise BadInput(f"{path} holds samples that are NaN or infinite")
    return np.ascontiguousarray(data.T), sample_rate


def write_wav(path: Path, audio: FloatArray, sample_rate: int, subtype: str = "FLOAT") -> None:
    """Write (channels, samples) as a WAV file, which appears complete or not at all.

    The same samples give the same bytes.
    """
    with writing(path) as temporary:
        sf.write(str(temporary), audio.T, sample_rate, subtype=subtype, format="WAV")
        forget_time_of_writing(temporary)


def forget_time_of_writing(path: Path) -> None:
    """Make the bytes of a floating-point WAV file depend on its samples alone.

    libsndfile notes the time of writing in its PEAK chunk (bytes 12 to 15 of it).
    """
    with path.open("r+b") as file:
        header = file.read(256).partition(b"data")[0]
        if (peak := header.find(b"PEAK")) >= 0:
            file.seek(peak + 12)
            file.write(bytes(4))


_STREAMED = 0x7FFF0000
"""A header that claims this much or more was written to a pipe, before the size was known."""


def _missing_bytes(path: Path) -> int:
    # libsndfile takes what there is of a WAV file that was cut off, and says nothing.
    with path.open("rb") as file:
        header = file.read(8)
    if header[:4] not in (b"RIFF", b"FORM"):
        return 0
    size = int.from_bytes(header[4:], "little" if header[:4] == b"RIFF" else "big")
    missing = 8 + size - path.stat().st_size
    # A last chunk of odd size may lack the byte that pads it.
    return missing if size < _STREAMED and missing > 1 else 0


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return str(text).rstrip(".") or type(error).__name__
