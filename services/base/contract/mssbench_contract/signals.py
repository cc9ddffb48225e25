"""Synthetic music, and sound files in memory. Arrays have the shape (channels, samples)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soundfile as sf
from mssbench_service.audio import FloatArray

Samples = npt.NDArray[np.float32] | npt.NDArray[np.int32]


def music(seconds: float, sample_rate: int = 44100, seed: int = 0) -> FloatArray:
    """A stereo mix of a bass line, chords, decaying noise for drums, and a vibrato for a voice.

    Parameters
    ----------
    seconds : float
        Length; at least one sample is returned.
    sample_rate : int
        Hz.
    seed : int
        Chooses the notes and the noise.

    Returns
    -------
    array, shape (2, samples), float32
    """
    random = np.random.default_rng(seed)
    samples = max(1, round(seconds * sample_rate))
    t = np.arange(samples) / sample_rate
    beat = np.floor(t * 2).astype(int)  # two beats in a second
    since = t - beat / 2
    notes = 55.0 * 2 ** (random.integers(0, 12, beat[-1] + 1) / 12)
    bass = 0.25 * np.sin(2 * np.pi * notes[beat] * since) * np.exp(-2 * since)
    drums = 0.3 * random.standard_normal(samples) * np.exp(-25 * since)
    chord = sum(0.05 * np.sin(2 * np.pi * pitch * t + pitch) for pitch in (261.6, 329.6, 392.0, 784.0))
    voice = 0.15 * np.sin(2 * np.pi * 440 * t + 3 * np.sin(2 * np.pi * 5.5 * t)) * (np.sin(0.9 * t) > -0.3)
    left = bass + drums + 1.3 * chord + voice
    right = bass + 0.8 * drums + 0.7 * np.roll(chord, 7) + voice
    return np.ascontiguousarray(np.stack([left, right]) * 0.8, dtype=np.float32)


def split(mixture: FloatArray, stems: Sequence[str]) -> dict[str, FloatArray]:
    """Stems that add up to `mixture`; the share of each rises and falls slowly."""
    time_axis = np.arange(mixture.shape[1]) / 44100
    weights = np.stack([1.0 + np.sin(2 * np.pi * (0.4 + 0.3 * k) * time_axis + k) for k in range(len(stems))])
    weights /= np.maximum(weights.sum(axis=0), 1e-3)
    return {
        stem: np.asarray(mixture * weight, np.float32) for stem, weight in zip(stems, weights, strict=True)
    }


def wav(audio: FloatArray, sample_rate: int = 44100) -> bytes:
    """A float32 WAV file."""
    return encode(audio, sample_rate, "WAV", "FLOAT")


def encode(audio: Samples, sample_rate: int, container: str, subtype: str | None = None) -> bytes:
    """A sound file in a format of libsndfile, such as ``FLAC``."""
    buffer = io.BytesIO()
    sf.write(buffer, audio.T, sample_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def decode(content: bytes) -> FloatArray:
    """The samples of a sound file."""
    data, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return np.ascontiguousarray(data.T)
