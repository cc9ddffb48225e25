"""Instruments of the demo music: each function synthesises one stem of a song.

Stems are float64 arrays of shape (2, samples), channel 0 = left, at any level. Each takes a song, the number of
samples and a random generator.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import signal

from .demo_songs import GROOVES, Song

SAMPLE_RATE = 44100
"""Sample rate of the demo music, Hz."""

_HIGHEST_PARTIAL = 16000.0  # Hz: partials above are left out, so that nothing aliases

# Lengths of the notes of one sung bar in beats; negative lengths are rests.
_PHRASES = (
    (-0.5, 0.5, 0.5, 0.5, 1.0, -1.0),
    (0.75, 0.25, 1.0, 1.5, -0.5),
    (-1.0, 0.5, 0.5, 0.75, 1.25),
    (0.5, 0.5, 1.5, 0.5, -1.0),
)

Float64Array = npt.NDArray[np.float64]


def bass(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Play root, fifth and octave in eighth notes; partials of amplitude k^−1.6, the high ones decay faster."""
    track = np.zeros((2, samples))
    eighth = song.beat / 2
    for bar in range(_bars(song, samples)):
        root, _, fifth = song.chord(bar)
        pattern = rng.choice([root, root, root, fifth, root + 7], size=8)
        pattern[0] = root
        for step, degree in enumerate(pattern):
            if step and rng.random() < 0.25:
                continue
            time = _time(eighth * 0.95)
            frequency = song.pitch(int(degree), -2)
            phase = 2 * np.pi * frequency * time
            partials = np.arange(1.0, 1 + min(24, _HIGHEST_PARTIAL // frequency)) ** -1.6
            dark, bright = partials[:3], np.concatenate([np.zeros(3), partials[3:]])
            note = _partials(phase, dark) * np.exp(-2.5 * time) + _partials(phase, bright) * np.exp(-9 * time)
            velocity = 1.0 if step % 4 == 0 else rng.uniform(0.6, 0.85)
            start = (bar * 8 + step) * eighth
            _add(track, note * _envelope(time.size, 0.004, 0.03), start, velocity, pan=-0.05)
    return track


def drums(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Play kick (a falling chirp), snare (noise and two modes of the skin) and hi-hat (high-passed noise)."""
    track = np.zeros((2, samples))
    groove = GROOVES[song.groove]
    sixteenth = song.beat / 4
    for bar in range(_bars(song, samples)):
        fill = bar % 4 == 3
        for step in range(16):
            start = (bar * 16 + step) * sixteenth + abs(rng.normal(0.0, 0.002))
            for voice, pan in (("kick", 0.0), ("snare", 0.15), ("hat", -0.45)):
                hit = groove[voice][step]
                if voice == "snare" and fill and step >= 12:
                    hit = "x"
                if hit == ".":
                    continue
                velocity = (1.0 if hit == "o" else 0.6) * rng.uniform(0.85, 1.0)
                _add(track, _hit(voice, hit == "o", rng), start, velocity, pan)
    return _room(track, rng, seconds=0.35, wet=0.12)


def _hit(voice: str, accent: bool, rng: np.random.Generator) -> Float64Array:
    if voice == "kick":
        time = _time(0.4)
        phase = 2 * np.pi * (47 * time + 110 * 0.03 * (1 - np.exp(-time / 0.03)))
        click = rng.standard_normal(time.size) * np.exp(-time / 0.002)
        return np.asarray(1.3 * np.sin(phase) * np.exp(-time / 0.13) + 0.15 * click)
    if voice == "snare":
        time = _time(0.35)
        rattle = _high_pass(rng.standard_normal(time.size), 1200.0) * np.exp(-time / 0.09)
        skin = np.sin(2 * np.pi * 187 * time) + 0.6 * np.sin(2 * np.pi * 331 * time)
        return np.asarray(0.35 * rattle + 0.45 * skin * np.exp(-time / 0.06))
    time = _time(0.3 if accent else 0.12)
    hiss = _high_pass(rng.standard_normal(time.size), 7000.0)
    return np.asarray(0.25 * hiss * np.exp(-time / (0.11 if accent else 0.025)))


def other(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Play chord pads (partials 1/k, each note detuned and panned) and a plucked arpeggio."""
    track = np.zeros((2, samples))
    bar_length = 4 * song.beat
    for bar in range(_bars(song, samples)):
        chord = song.chord(bar)
        time = _time(bar_length * 1.06)
        for degree, pan in zip((*chord, chord[0] + 7), (-0.75, 0.35, 0.8, -0.3), strict=True):
            for detune in (0.9985, 1.0015):
                frequency = song.pitch(degree) * detune
                phase = 2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi)
                partials = 1 / np.arange(1.0, 1 + min(12, _HIGHEST_PARTIAL // frequency))
                pad = _partials(phase, partials) * (1 + 0.15 * np.sin(2 * np.pi * 0.4 * time))
                _add(track, pad * _envelope(time.size, 0.12, 0.25), bar * bar_length, 0.25, pan)
        for step in range(8):
            time = _time(0.5)
            degree = (*chord, chord[0] + 7)[int(rng.integers(4))]
            phase = 2 * np.pi * song.pitch(degree, 1) * time
            pluck = _partials(phase, 1 / np.arange(1.0, 7.0)) * np.exp(-time / 0.12)
            start = (bar * 8 + step) * song.beat / 2
            _add(track, pluck * _envelope(time.size, 0.002, 0.05), start, 0.45, pan=0.6 * (-1) ** step)
    return _room(track, rng, seconds=1.2, wet=0.35)


def vocals(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Sing a melody with glides, vibrato, two vowels, breath noise and consonants at the start of notes."""
    degrees, loudness, vowel, onsets = _melody(song, samples, rng)
    time = np.arange(samples) / SAMPLE_RATE
    # Smoothing the logarithm of the pitch produces glides between notes.
    pitch = np.exp(_smooth(np.log([song.pitch(d) for d in range(-7, 15)])[degrees + 7], 0.025))
    vibrato = 0.012 * np.sin(2 * np.pi * 5.5 * time) * _smooth(loudness, 0.15)
    phase = 2 * np.pi * np.cumsum(pitch * (1 + vibrato)) / SAMPLE_RATE
    loudness = _smooth(loudness, 0.02)
    partials = 1 / np.arange(1.0, 1 + min(24, _HIGHEST_PARTIAL // float(pitch.max())))
    breath = rng.standard_normal(samples)
    source = (_partials(phase, partials) + 0.05 * breath) * loudness
    vowel = _smooth(vowel, 0.04)
    voice = _formants(source, (650.0, 1200.0, 2700.0), song.brightness) * vowel
    voice += _formants(source, (560.0, 1050.0, 2600.0), song.brightness) * (1 - vowel)
    for onset in onsets:
        consonant = _high_pass(rng.standard_normal(round(0.05 * SAMPLE_RATE)), 3500.0)
        consonant *= np.hanning(consonant.size) * rng.uniform(0.01, 0.05)
        start = max(0, onset - consonant.size // 2)
        voice[start : start + consonant.size] += consonant[: samples - start]
    track = np.zeros((2, samples))
    _add(track, voice, 0.0, 1.0, pan=0.0)
    return _room(track, rng, seconds=0.9, wet=0.18)


def _melody(
    song: Song, samples: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Float64Array, Float64Array, list[int]]:
    """Return scale degree, loudness (0 for rests) and vowel (0 or 1) of each sample, and the onsets of the notes."""
    degrees = np.zeros(samples, dtype=np.int64)
    loudness, vowel = np.zeros(samples), np.zeros(samples)
    onsets = []
    degree = 2
    # Two phrases alternate, so that the melody repeats like a verse.
    phrases = rng.choice(len(_PHRASES), size=2, replace=False)
    for bar in range(_bars(song, samples)):
        beat = 0.0
        for length in _PHRASES[phrases[bar % 2]]:
            start = round((bar * 4 + beat) * song.beat * SAMPLE_RATE)
            stop = round((bar * 4 + beat + abs(length)) * song.beat * SAMPLE_RATE)
            if length > 0 and start < samples:
                degree = _next_degree(degree, song.chord(bar), length, rng)
                loudness[start : start + round(0.93 * (stop - start))] = rng.uniform(0.75, 1.0)
                vowel[start:stop] = float(rng.random() < 0.6)
                onsets.append(start)
            degrees[start:stop] = degree
            beat += abs(length)
    return degrees, loudness, vowel, onsets


def _next_degree(degree: int, chord: tuple[int, ...], length: float, rng: np.random.Generator) -> int:
    """Move by one or two steps; long notes move to the nearest tone of the chord."""
    moved = int(np.clip(degree + rng.choice([-2, -1, -1, 1, 1, 2]), -3, 9))
    if length < 0.75:
        return moved
    tones = [tone + 7 * octave for tone in chord for octave in (-2, -1, 0, 1)]
    return min((tone for tone in tones if -3 <= tone <= 9), key=lambda tone: (abs(tone - moved), tone))


def _bars(song: Song, samples: int) -> int:
    return math.ceil(samples / SAMPLE_RATE / (4 * song.beat))


def _time(seconds: float) -> Float64Array:
    return np.asarray(np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def _partials(phase: Float64Array, amplitudes: Float64Array) -> Float64Array:
    """Return Σ_k amplitudes[k − 1]·sin(k·phase), by the recurrence of sin(k·phase), which needs only one sine."""
    twice_cosine = 2 * np.cos(phase)
    before, now = np.zeros_like(phase), np.sin(phase)
    total = np.zeros_like(phase)
    for amplitude in amplitudes:
        total += amplitude * now
        before, now = now, twice_cosine * now - before
    return total


def _formants(source: Float64Array, frequencies: tuple[float, ...], brightness: float) -> Float64Array:
    voice = np.zeros_like(source)
    for frequency, gain, quality in zip(frequencies, (1.0, 0.6, 0.35), (5.0, 8.0, 12.0), strict=True):
        b, a = signal.iirpeak(frequency * brightness, quality, fs=SAMPLE_RATE)
        voice += gain * signal.lfilter(b, a, source)
    return voice


def _high_pass(noise: Float64Array, frequency: float) -> Float64Array:
    sections = signal.butter(4, frequency, "highpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(signal.sosfilt(sections, noise))


def _smooth(curve: Float64Array, seconds: float) -> Float64Array:
    """Smooth with a one-pole filter in both directions, which adds no delay."""
    pole = math.exp(-1 / (seconds * SAMPLE_RATE))
    return np.asarray(signal.filtfilt([1 - pole], [1, -pole], curve, padlen=0))


def _envelope(samples: int, attack: float, release: float) -> Float64Array:
    """Return an envelope with raised-cosine attack and release (seconds)."""
    envelope = np.ones(samples)
    for edge, seconds in ((envelope, attack), (envelope[::-1], release)):
        count = min(samples // 2, round(seconds * SAMPLE_RATE))
        edge[:count] *= np.sin(np.pi / 2 * (np.arange(count) + 0.5) / max(count, 1)) ** 2
    return envelope


def fade(samples: int) -> Float64Array:
    """Return the envelope of a whole stem: fade-in and fade-out."""
    return _envelope(samples, 0.005, 0.5)


def _add(track: Float64Array, sound: Float64Array, start: float, gain: float, pan: float) -> None:
    """Add a mono sound at `start` seconds with constant-power panning; `pan` from −1 (left) to 1 (right)."""
    first = round(start * SAMPLE_RATE)
    sound = sound[: max(0, track.shape[1] - first)]
    angle = (pan + 1) * math.pi / 4
    for channel, weight in enumerate((math.cos(angle), math.sin(angle))):
        track[channel, first : first + sound.size] += gain * weight * sound


def _room(track: Float64Array, rng: np.random.Generator, seconds: float, wet: float) -> Float64Array:
    """Add reverberation of `seconds`: exponentially decaying noise, independent in the two channels."""
    time = _time(seconds)
    tail = rng.standard_normal((2, time.size)) * np.exp(-6.9 * time / seconds)
    tail = signal.lfilter([0.5], [1, -0.5], tail, axis=1)
    tail /= np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    return np.asarray(track + wet * signal.fftconvolve(track, tail, axes=1)[:, : track.shape[1]])
