"""Demo music: short procedural songs in the MUSDB18-HQ layout, so that the bench can be tried offline.

The four stems of a song share tempo, key, chords and drum pattern; their notes are drawn by a seeded generator.
The stems differ as real stems do: the bass is low and decays, the drums are transients and noise, the pads are
wide and dense, the voice is in the centre, glides and pauses. Files are 16-bit WAV, and the mixture is the exact
sum of the stems.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder
from mssbench_service.musdb import MIXTURE, STEMS

from .demo_instruments import SAMPLE_RATE, bass, drums, fade, other, vocals
from .demo_songs import SEED, Song, song

SPLIT = "test"

NOISE_FLOOR_DB = {"vocals": -70.0, "drums": -80.0, "bass": -70.0, "other": -70.0}
"""RMS level of the noise in every channel, dB of full scale. Real recordings are never silent. Between hits, the drums
are more than 60 dB below their loudest frame, which counts as silence (`silence_leak_db`)."""

LEVELS_DB = {"vocals": -19.0, "drums": -19.0, "bass": -20.0, "other": -22.0}
"""RMS levels of the stems relative to each other, before the song is scaled to :data:`PEAK`."""

PEAK = 0.85
"""Largest sample of the song, of full scale."""

Int16Array = npt.NDArray[np.int16]


def write_demo(out: Path, tracks: int = 4, seconds: float = 6.0, seed: int = SEED) -> list[Path]:
    """Write demo tracks to ``<out>/test/<title>/{mixture,vocals,drums,bass,other}.wav``; return their folders.

    The same arguments give the same bytes. Existing tracks with the same content are kept; others are replaced
    atomically.

    Raises
    ------
    BadInput
        Fewer than one track, less than one second, or the folder cannot be written.
    """
    if tracks < 1:
        raise BadInput(f"{tracks} demo tracks requested; expected one or more")
    if not 1.0 <= seconds < math.inf:
        raise BadInput(f"demo tracks of {seconds:g} s requested; expected 1 s or more")
    return [_write_track(out / SPLIT, song(index, seed), index, seconds, seed) for index in range(tracks)]


def compose(song: Song, seconds: float, seed: int | list[int]) -> dict[str, Int16Array]:
    """Synthesise mixture and stems of a song of `seconds`, each of int16 and of shape (samples, 2).

    The mixture is the exact sum of the stems.
    """
    samples = round(seconds * SAMPLE_RATE)
    instruments = {"vocals": vocals, "drums": drums, "bass": bass, "other": other}
    # One random generator per stem, so that a stem does not depend on the others.
    generators = dict(zip(STEMS, np.random.default_rng(seed).spawn(len(STEMS)), strict=True))
    stems = {}
    for stem in STEMS:
        audio = instruments[stem](song, samples, generators[stem]) * fade(samples)
        stems[stem] = audio * 10 ** (LEVELS_DB[stem] / 20) / np.sqrt(np.mean(audio**2))
    mixture = sum(stems.values(), np.zeros(()))
    peak = max(float(np.max(np.abs(audio))) for audio in (*stems.values(), mixture))
    rounded = {}
    for stem in STEMS:
        noise = generators[stem].standard_normal((2, samples)) * 10 ** (NOISE_FLOOR_DB[stem] / 20)
        rounded[stem] = np.rint((stems[stem] * (PEAK / peak) + noise).T * 32768).astype(np.int16)
    # PEAK leaves headroom for the noise, so that no sum overflows.
    return {MIXTURE: np.add.reduce(list(rounded.values()), axis=0, dtype=np.int16)} | rounded


def _write_track(split: Path, song: Song, index: int, seconds: float, seed: int) -> Path:
    folder = split / song.title
    files = {f"{name}.wav": _wav(audio) for name, audio in compose(song, seconds, [seed, index]).items()}
    if all(_has_content(folder / name, content) for name, content in files.items()):
        return folder
    with atomic_folder(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    return folder


def _wav(audio: Int16Array) -> bytes:
    file = io.BytesIO()
    sf.write(file, audio, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return file.getvalue()


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
