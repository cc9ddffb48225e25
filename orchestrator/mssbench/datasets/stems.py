"""MUSDB18's ``.stem.mp4`` files, turned into the MUSDB18-HQ layout.

A file has five stereo streams, coded in AAC: mixture, drums, bass, other, vocals. What the decoder gives is written
as it is, in 32-bit floating point: coded music exceeds full scale, and 16 bit would clip it.

Reference: https://sigsep.github.io/datasets/musdb.html
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf
from mssbench_service.audio import clear_peak_timestamp
from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import BadInput, StepFailed, TooLarge
from mssbench_service.files import atomic_folder, make_folder
from mssbench_service.musdb import MIXTURE, SPLITS, check_track

if TYPE_CHECKING:
    from av.container import InputContainer

SUFFIX = ".stem.mp4"

STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
"""What the streams are, in their order."""

_TOLERANCE = 2048
"""Streams may end this many samples apart, two frames of AAC, and are then cut to the shortest."""


def stem_files(folder: Path) -> list[tuple[str, Path]]:
    """Split and path of every ``{train,test}/<title>.stem.mp4``, by title. Hidden files are passed over.

    Raises
    ------
    BadInput
        There are none.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; expected {{train,test}}/<title>{SUFFIX} in it")
    found = [(split, path) for split in SPLITS for path in coded_tracks(folder, split)]
    if not found:
        raise BadInput(f"{folder} holds no {{train,test}}/<title>{SUFFIX}")
    return found


def coded_tracks(folder: Path, split: str) -> list[Path]:
    """The stem files of one split, by title; none where there is no such folder."""
    return [
        path
        for path in sorted((folder / split).glob(f"*{SUFFIX}"))
        if not path.name.startswith(".") and path.is_file()
    ]


def title_of(path: Path) -> str:
    """The title of the track in a stem file."""
    return path.name.removesuffix(SUFFIX)


def require_decoder() -> None:
    """Raise BadInput unless PyAV is installed."""
    if importlib.util.find_spec("av") is None:
        raise BadInput(f"{SUFFIX} files are read with PyAV: pip install 'mssbench[stems]'")


def convert_dataset(
    folder: Path, out: Path, show: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Write every stem file of `folder` to ``<out>/<split>/<title>/<name>.wav``; the number of tracks.

    Tracks that are there already are kept.

    Raises
    ------
    BadInput
        `folder` holds no stem files, one of them cannot be used, or `out` cannot be written.
    """
    files = stem_files(folder)
    make_folder(out)
    for number, (split, path) in enumerate(files, start=1):
        target = out / split / title_of(path)
        if not target.exists():
            convert(path, target)
        else:
            check_track(target)
        show(number, len(files))
    return len(files)


def convert(path: Path, out: Path) -> None:
    """Decode one stem file to ``<out>/{mixture,vocals,drums,bass,other}.wav``, complete or not at all.

    Raises
    ------
    BadInput
        It cannot be decoded, or has not five stereo streams of one rate and length; or PyAV is not installed.
    TooLarge
        It lasts longer than any track may (:func:`mssbench_service.environment.max_track_seconds`).
    StepFailed
        Writing failed half-way (a full disk).
    """
    require_decoder()
    import av

    try:
        # Of what its name says, and no other: FFmpeg would take a text for a list of files to open instead.
        with av.open(f"file:{path}", format="mp4", options={"protocol_whitelist": "file"}) as container:
            rate = _check_streams(path, container)
            with atomic_folder(out) as temporary:
                lengths = _decode(path, container, temporary, rate)
                _even(path, temporary, lengths)
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadInput(f"{path} cannot be decoded: {reason}") from None
    except sf.LibsndfileError as error:
        raise StepFailed(f"writing {out} failed: {error}") from None


def _check_streams(path: Path, container: InputContainer) -> int:
    streams = container.streams.audio
    if len(streams) != len(STREAMS):
        raise BadInput(
            f"{path} has {len(streams)} audio stream(s); expected {len(STREAMS)}: {', '.join(STREAMS)}"
        )
    for name, stream in zip(STREAMS, streams, strict=True):
        if stream.codec_context.channels != 2:
            raise BadInput(f"{path} has {stream.codec_context.channels} channel(s) in {name}; expected 2")
    rates = {int(stream.codec_context.sample_rate) for stream in streams}
    if len(rates) != 1:
        raise BadInput(f"{path} has streams at {', '.join(map(str, sorted(rates)))} Hz; expected one rate")
    return rates.pop()


def _decode(path: Path, container: InputContainer, folder: Path, rate: int) -> dict[str, int]:
    """Decode all streams in one pass, packet by packet; the number of samples of each."""
    import av

    longest = max_track_seconds()
    lengths = dict.fromkeys(STREAMS, 0)
    names = {stream.index: name for stream, name in zip(container.streams.audio, STREAMS, strict=True)}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(sf.SoundFile(str(folder / f"{name}.wav"), "w", rate, 2, "FLOAT"))
            for name in STREAMS
        }
        # AAC decodes to planar floats; whatever else there is becomes that.
        resamplers = {name: av.AudioResampler(format="fltp", layout="stereo", rate=rate) for name in STREAMS}

        def write(name: str, frames: list[Any]) -> None:
            for frame in frames:
                samples = np.asarray(frame.to_ndarray(), dtype=np.float32)
                files[name].write(samples.T)
                lengths[name] += samples.shape[1]
                if lengths[name] > longest * rate:
                    raise TooLarge(
                        f"{path} lasts longer than {longest:g} s; no more are accepted (MSSBENCH_MAX_SECONDS)"
                    )

        for packet in container.demux(*container.streams.audio):
            name = names[packet.stream.index]
            for frame in packet.decode():
                assert isinstance(frame, av.AudioFrame)
                write(name, resamplers[name].resample(frame))
        for name in STREAMS:
            write(name, resamplers[name].resample(None))
    return lengths


def _even(path: Path, folder: Path, lengths: dict[str, int]) -> None:
    """Cut all files to the shortest."""
    shortest = min(lengths.values())
    if shortest == 0 or max(lengths.values()) - shortest > _TOLERANCE:
        found = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise BadInput(f"{path} has streams of different lengths ({found} samples); expected one")
    for name, count in lengths.items():
        file = folder / f"{name}.wav"
        if count > shortest:
            with sf.SoundFile(str(file), "r+") as opened:
                opened.truncate(shortest)
        clear_peak_timestamp(file)


__all__ = [
    "STREAMS",
    "coded_tracks",
    "convert",
    "convert_dataset",
    "require_decoder",
    "stem_files",
    "title_of",
]
