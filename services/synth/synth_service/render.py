"""Rendering one track: every stem to mono, then through the HRIR at its azimuth.

There are two profiles. Their mixtures differ only in the sample format:

matched  one gain g = 1/peak(sum) on the mixture and on the stems, float32: stems and mixture stay consistent.
paper    stems unscaled and the mixture divided by its peak, all 16 bit, as in Namballa, Roginska & Fuentes,
         "Do music source separation models preserve spatial information in binaural audio?", ISMIR 2025
         (arXiv 2507.00155). Stem samples beyond ±1 clip, as libsndfile does it.

Tracks are processed in blocks. The gain depends on the peak of the whole mixture, so the stems are kept in float64 in a
temporary file until the peak is known (170 MB per minute). Where there is no room for it, they are convolved twice.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import soundfile as sf
from mssbench_service.audio import clear_peak_timestamp
from mssbench_service.checksums import checksums_of
from mssbench_service.errors import BadInput, BenchError, StepFailed, TooLarge
from mssbench_service.files import atomic_folder, read_json, write_json
from mssbench_service.formats import RENDERING_FORMAT
from mssbench_service.musdb import HRIR_FILE, MIXTURE, Track, check_track, stem_sets, stems_of
from mssbench_service.stems import STEMS
from mssbench_service.wire import RENDER_PROFILES, RenderResult, Scene, SceneResult

from .blocks import KeptBlocks, regular
from .hrir import HrirSet
from .measured import Float64Array
from .moving import convolved
from .scenes import Moving, Response, at_rest, place
from .sofa import ELEVATION_TOLERANCE

METADATA = "metadata.json"
"""Name of the record beside the rendered files."""

SUBTYPES = {"matched": "FLOAT", "paper": "PCM_16"}

_LONGEST_COMPARED = 0.1  # seconds: responses that the evaluation compares with

_FFT_LENGTH = 2**14  # samples: much longer than most HRIRs, and small enough for the cache of a processor


def render_track(
    track: Path,
    out: Path,
    hrir: HrirSet,
    angles: Mapping[str, float],
    profile: str = "matched",
    *,
    resample_hrir: bool = False,
    max_seconds: float | None = None,
    scene: Scene | None = None,
) -> RenderResult:
    """Render the stems in the folder `track` to ``<out>/{mixture,<stem>}.wav`` and ``metadata.json``.

    A scene in a room may have ``<out>/<stem>.direct.wav`` as well.

    Parameters
    ----------
    track
        Folder with ``<stem>.wav`` for every stem, stereo. Its mixture is not read: the rendered mixture is
        the sum of the rendered stems.
    out
        Output folder, which appears complete or not at all. An earlier rendering is replaced.
    hrir
        HRIR set of K taps: n samples become n + K − 1 (in a simulated room, K is the length of its responses).
    angles
        Azimuth per stem, degrees counter-clockwise; exactly the stems of the track.
    profile
        ``matched`` or ``paper``; see the module's docstring.
    resample_hrir
        Whether a set at another sample rate may be resampled to the track's.
    max_seconds
        Longest track.
    scene
        Elevations, movements and a simulated room. Without a scene, the set must have a response within 0.5° of each
        angle.

    Returns
    -------
    RenderResult
        A ``SceneResult`` if there is a scene. ``mixture_gain`` brings the *written* stems to their level in the
        written mixture: 1 for matched, 1/peak for paper. ``clipped_samples`` is the number of samples beyond ±1 that
        16 bit cannot represent, per file and over both channels.

    Raises
    ------
    BadInput
        The track or the angles are not as above, the set has no HRIR at an angle or is at another rate, or
        `out` cannot be written or contains other files.
    TooLarge
        The track is longer than `max_seconds`.
    StepFailed
        Writing failed (for example on a full disk).
    """
    if profile not in RENDER_PROFILES:
        raise BadInput(f"unknown profile {profile!r}; expected one of {', '.join(RENDER_PROFILES)}")
    azimuths = _check_angles(track, angles)
    stems = tuple(azimuths)
    checked = check_track(track, stems)
    if max_seconds is not None and checked.seconds > max_seconds:
        raise TooLarge(f"{track} lasts {checked.seconds:.0f} s; at most {max_seconds:.0f} s are accepted")
    _check_out(track, out)
    hrir = hrir.at_rate(checked.sample_rate, resample=resample_hrir)
    placed = place(hrir, azimuths, scene) if scene else at_rest({s: hrir.at(azimuths[s]) for s in stems})
    rendering = _Rendering(track, checked, placed.responses)
    # If several processes render the track at once, the first result may already be in use.
    with atomic_folder(out, replace=(out / METADATA).exists()) as folder:
        with KeptBlocks(folder) as kept:
            peak = rendering.peak(kept)
            # Silence, and peaks whose reciprocal overflows, are not scaled.
            gain = 1.0 / peak if peak > np.finfo(np.float64).tiny else 1.0
            gains = dict.fromkeys(stems, gain if profile == "matched" else 1.0) | {MIXTURE: gain}
            clipped = rendering.write(folder, gains, checked.sample_rate, SUBTYPES[profile], kept)
        if placed.direct:
            direct = _Rendering(track, checked, placed.direct, "{}.direct")
            clipped |= direct.write(folder, gains, checked.sample_rate, SUBTYPES[profile])
        _write_set(folder / HRIR_FILE, hrir)
        common = RenderResult(
            title=checked.title,
            profile=profile,
            angles=azimuths,
            mixture_gain=gains[MIXTURE] / gains[stems[0]],
            peak=peak,
            sample_rate=checked.sample_rate,
            samples=checked.samples + placed.taps - 1,
            hrir=hrir.name,
            hrir_sha256=hrir.sha256,
            hrir_resampled_from=hrir.resampled_from,
            clipped_samples=clipped,
            checksums=checksums_of(folder),
        )
        result = SceneResult(**vars(common), scene=scene, placed=placed.record) if scene else common
        write_json(folder / METADATA, RENDERING_FORMAT.stamped(asdict(result)))
    return result


def _write_set(path: Path, hrir: HrirSet) -> None:
    """Keep the set: the horizontal plane, and other directions apart from it.

    The evaluation of directions needs it, and may not have access to the original. In a room, it compares with the
    direct sound; it refuses longer responses than these.
    """
    level = np.ones(hrir.azimuths.size, dtype=bool)
    if hrir.elevations is not None:
        level = np.abs(hrir.elevations) <= ELEVATION_TOLERANCE
    if not level.any():
        return
    long = hrir.room and hrir.irs.shape[2] > _LONGEST_COMPARED * hrir.sample_rate
    irs = hrir.direct() if long else hrir.irs
    azimuths, plane = (hrir.azimuths, irs) if level.all() else (hrir.azimuths[level], irs[level])
    off: dict[str, Any] = {}
    if hrir.elevations is not None and not level.all():
        off = {
            "off_azimuths": hrir.azimuths[~level],
            "off_elevations": hrir.elevations[~level],
            "off_irs": irs[~level].astype(np.float32),  # half of the size: there may be thousands
        }
    np.savez_compressed(path, azimuths=azimuths, irs=plane, sample_rate=np.asarray(hrir.sample_rate), **off)


class _Rendering:
    """The binaural stems and their sum, as a stream of blocks."""

    def __init__(
        self, track: Path, checked: Track, responses: Mapping[str, Response], name: str = "{}"
    ) -> None:
        self._track, self._checked, self._responses, self._name = track, checked, responses, name
        self._moving = any(isinstance(response, Moving) for response in responses.values())

    def _blocks(self) -> Iterator[Sequence[Float64Array]]:
        """Yield blocks of the stems, each of shape (2, n). Every pass gives the same bits."""
        streams = [
            self._stream(self._track / f"{stem}.wav", self._responses[stem]) for stem in self._checked.stems
        ]
        return zip(*streams, strict=True)

    def _stream(self, path: Path, response: Response) -> Iterator[Float64Array]:
        if isinstance(response, Moving):
            mono = _mono(path, _FFT_LENGTH)
            wet = convolved(mono, self._checked.samples, self._checked.sample_rate, *response)
        else:
            wet = _convolved(path, response)
        return regular(wet, _FFT_LENGTH) if self._moving else wet

    def peak(self, kept: KeptBlocks) -> float:
        """Largest absolute sample of the sum of the stems, which are kept as far as there is room."""
        peak = 0.0
        for blocks in self._blocks():
            kept.add(blocks)
            peak = max(peak, float(np.max(np.abs(_sum(blocks)), initial=0.0)))
        return peak

    def write(
        self,
        folder: Path,
        gains: Mapping[str, float],
        sample_rate: int,
        subtype: str,
        kept: KeptBlocks | None = None,
    ) -> dict[str, int]:
        """Write every signal times its gain; return the number of clipped samples per file.

        The mixture is written only with the stems themselves, not with their direct sound.
        """
        stems = self._checked.stems
        written = (MIXTURE, *stems) if self._name == "{}" else stems
        names = {signal: self._name.format(signal) for signal in written}
        clipped = dict.fromkeys(names.values(), 0)
        try:
            with contextlib.ExitStack() as stack:
                files = {
                    name: stack.enter_context(
                        sf.SoundFile(str(folder / f"{name}.wav"), "w", sample_rate, 2, subtype, format="WAV")
                    )
                    for name in clipped
                }
                again = kept.read() if kept else None
                for blocks in self._blocks() if again is None else again:
                    signals = dict(zip(stems, blocks, strict=True))
                    if MIXTURE in names:
                        signals[MIXTURE] = _sum(blocks)
                    for signal, name in names.items():
                        file = files[name]
                        scaled = signals[signal] * gains[signal]
                        if subtype == "PCM_16":
                            clipped[name] += int(np.count_nonzero(np.abs(scaled) > 1.0))
                        file.write(scaled.T)
            for name in clipped:
                clear_peak_timestamp(folder / f"{name}.wav")
        except (sf.LibsndfileError, OSError) as error:
            raise StepFailed(f"writing the rendering failed: {error}") from None
        return clipped


def _sum(blocks: Iterable[Float64Array]) -> Float64Array:
    return np.asarray(sum(blocks, np.zeros(())))


def _convolved(path: Path, ir: Float64Array) -> Iterator[Float64Array]:
    """Full convolution of the mono of `path` with `ir` (2, K), by overlap-add, in blocks of shape (2, n)."""
    taps = ir.shape[1]
    length = max(_FFT_LENGTH, scipy.fft.next_fast_len(4 * taps, real=True))
    spectrum = scipy.fft.rfft(ir, length)
    tail = np.zeros((2, taps - 1))
    for mono in _mono(path, length - taps + 1):
        wet = scipy.fft.irfft(spectrum * scipy.fft.rfft(mono, length), length)
        wet[:, : taps - 1] += tail
        yield wet[:, : mono.size]
        tail = wet[:, mono.size : mono.size + taps - 1]
    yield tail


def _mono(path: Path, block: int) -> Iterator[Float64Array]:
    """Mean of the two channels of `path` in blocks of `block` samples, the last one shorter."""
    read = 0
    try:
        with sf.SoundFile(str(path)) as file:
            for stereo in file.blocks(block, dtype="float64", always_2d=True):
                mono = 0.5 * stereo[:, 0] + 0.5 * stereo[:, 1]
                if not np.isfinite(mono).all():
                    raise BadInput(f"{path} holds samples that are NaN or infinite")
                read += mono.size
                yield mono
            expected = file.frames
    except (sf.LibsndfileError, OSError) as error:
        raise BadInput(f"{path} cannot be read as audio: {error}") from None
    if read != expected:
        raise BadInput(f"{path} is truncated: {read} of {expected} samples could be read")


def _check_angles(track: Path, angles: Mapping[str, float]) -> dict[str, float]:
    """Angles of the track's stems from 0 to less than 360 degrees, in the order of the stems."""
    # The four of MUSDB18-HQ are enough: earlier versions ignored further files.
    stems = STEMS if set(angles) == set(STEMS) else stem_sets([track])[0]
    if set(angles) != set(stems):
        found = ", ".join(sorted(angles)) or "none"
        raise BadInput(f"there are angles for {found}; expected exactly {', '.join(stems)}")
    return wrapped({stem: angles[stem] for stem in stems})


def wrapped(angles: Mapping[str, float]) -> dict[str, float]:
    """Angles by stem, wrapped to 0 to less than 360 degrees. Raises ``BadInput`` if one is not finite."""
    for stem, angle in angles.items():
        if not math.isfinite(angle):
            raise BadInput(f"the angle of {stem} is {angle}; expected degrees")
    # Twice: −1e-20 % 360.0 is 360.0.
    return {stem: float(angle) % 360.0 % 360.0 for stem, angle in angles.items()}


def _check_out(track: Path, out: Path) -> None:
    """Raise ``BadInput`` if `out` contains anything but a rendering: a wrong path must not destroy a dataset."""
    if track.resolve().is_relative_to(out.resolve()):
        raise BadInput(f"the output folder holds the track {track} itself; expected another folder")
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; expected an output folder")
    if not out.is_dir():
        return
    stems = _recorded_stems(out / METADATA)
    ours = {HRIR_FILE, METADATA, f"{MIXTURE}.wav"}
    ours |= {f"{stem}{kind}.wav" for stem in stems or stems_of(out) for kind in ("", ".direct")}
    foreign = [path.name for path in _visible(out) if path.name not in ours or not path.is_file()]
    if foreign or (any(_visible(out)) and not stems):
        what = foreign[0] if foreign else f"no {METADATA} of ours"
        raise BadInput(
            f"{out} holds something that is not a rendering ({what}); expected a new or an empty folder"
        )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _recorded_stems(path: Path) -> list[str]:
    """Stems of the rendering that the record describes; empty if it is not a record."""
    try:
        record = read_json(path)
    except BenchError:
        return []
    if not (isinstance(record, dict) and {"profile", "mixture_gain", "hrir_sha256"} <= record.keys()):
        return []
    angles = record.get("angles")
    return list(angles) if isinstance(angles, dict) and angles else list(STEMS)
