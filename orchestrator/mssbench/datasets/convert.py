"""Conversion of MUSDB18's ``.stem.mp4`` files to the MUSDB18-HQ layout.

A file has five stereo streams in AAC: mixture, drums, bass, other, vocals. The output is 32-bit floating point,
because decoded music exceeds full scale and 16 bit would clip it.

References
----------
* https://sigsep.github.io/datasets/musdb.html
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
from mssbench_service.names import path_suggestion

if TYPE_CHECKING:
    from av.container import InputContainer

SUFFIX = ".stem.mp4"

STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
"""Content of the streams, in order."""

_TOLERANCE = 2048
"""Largest difference of the streams' lengths in samples, two AAC frames; streams are cut to the shortest."""


def stem_files(folder: Path) -> list[tuple[str, Path]]:
    """Return split and path of each ``{train,test}/<title>.stem.mp4``, sorted by title; hidden files are ignored.

    Raises
    ------
    BadInput
        There is none.
    """
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is not a folder; expected {{train,test}}/<title>{SUFFIX} in it{path_suggestion(folder)}"
        )
    found = [(split, path) for split in SPLITS for path in coded_tracks(folder, split)]
    if not found:
        raise BadInput(f"{folder} contains no {{train,test}}/<title>{SUFFIX}")
    return found


def coded_tracks(folder: Path, split: str) -> list[Path]:
    """Return the stem files of one split, sorted by title; an empty list if the folder does not exist."""
    return [
        path
        for path in sorted((folder / split).glob(f"*{SUFFIX}"))
        if not path.name.startswith(".") and path.is_file()
    ]


def title_of(path: Path) -> str:
    """Return the title of the track in a stem file."""
    return path.name.removesuffix(SUFFIX)


def require_decoder() -> None:
    """Raise BadInput unless PyAV is installed."""
    if importlib.util.find_spec("av") is None:
        raise BadInput(f"{SUFFIX} files are read with PyAV: pip install 'mssbench[stems]'")


def convert_dataset(
    folder: Path, out: Path, show: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Convert each stem file of `folder` to ``<out>/<split>/<title>/<name>.wav``; return the number of tracks.

    Existing tracks are checked and kept. `show` is called with (tracks done, tracks in total).

    Raises
    ------
    BadInput
        `folder` contains no stem files, one of them cannot be decoded, or `out` cannot be written.
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
    """Decode one stem file to ``<out>/{mixture,vocals,drums,bass,other}.wav``, atomically.

    Raises
    ------
    BadInput
        The file cannot be decoded, does not have five stereo streams of one rate and length, or PyAV is missing.
    TooLarge
        The track is longer than :func:`mssbench_service.environment.max_track_seconds`.
    StepFailed
        Writing failed, for example because the disk is full.
    """
    require_decoder()
    import av

    try:
        # The format is fixed: FFmpeg would otherwise read a text file as a list of other files to open.
        with av.open(f"file:{path}", format="mp4", options={"protocol_whitelist": "file"}) as container:
            rate = _check_streams(path, container)
            with atomic_folder(out) as temporary:
                lengths = _decode(path, container, temporary, rate)
                _cut_to_shortest(path, temporary, lengths)
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
    """Decode all streams in one pass, packet by packet; return the number of samples of each."""
    import av

    longest = max_track_seconds()
    lengths = dict.fromkeys(STREAMS, 0)
    names = {stream.index: name for stream, name in zip(container.streams.audio, STREAMS, strict=True)}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(sf.SoundFile(str(folder / f"{name}.wav"), "w", rate, 2, "FLOAT"))
            for name in STREAMS
        }
        # AAC decodes to planar floats; other sample formats are converted to that.
        resamplers = {name: av.AudioResampler(format="fltp", layout="stereo", rate=rate) for name in STREAMS}

        def write(name: str, frames: list[Any]) -> None:
            for frame in frames:
                samples = np.asarray(frame.to_ndarray(), dtype=np.float32)
                files[name].write(samples.T)
                lengths[name] += samples.shape[1]
                if lengths[name] > longest * rate:
                    raise TooLarge(
                        f"{path} is longer than {longest:g} s, the longest track accepted (MSSBENCH_MAX_SECONDS)"
                    )

        for packet in container.demux(*container.streams.audio):
            name = names[packet.stream.index]
            for frame in packet.decode():
                assert isinstance(frame, av.AudioFrame)
                write(name, resamplers[name].resample(frame))
        for name in STREAMS:
            write(name, resamplers[name].resample(None))
    return lengths


def _cut_to_shortest(path: Path, folder: Path, lengths: dict[str, int]) -> None:
    """Cut all files to the length of the shortest."""
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
