"""Demo music: short procedural songs in the MUSDB18-HQ layout, so that everything can be tried offline.

A song is a tempo, a key, a chord progression and a groove that its four stems share; what they play is drawn
by a seeded generator. The stems differ in what matters to a separator and to an ear: the bass is low and
decays, the drums are transients and noise, the pads are wide and dense, the voice sits in the middle, glides
and pauses. Stems and mixture are 16 bit, and the mixture is the sum of the stems to the last bit.

Arrays are float64 of shape (channels, samples), channel 0 = left, unless said otherwise.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
from mssbench_service.errors import BadInput
from mssbench_service.files import atomic_folder
from mssbench_service.musdb import MIXTURE, STEMS
from scipy import signal

SAMPLE_RATE = 44100
SPLIT = "test"
SEED = 20250701

NOISE_FLOOR_DB = -70.0
"""RMS of the noise in every stem and channel, dB of full scale. Real recordings are never quite silent."""

LEVELS_DB = {"vocals": -19.0, "drums": -19.0, "bass": -20.0, "other": -22.0}
"""RMS of the stems among one another, before the song as a whole is brought to :data:`PEAK`."""

PEAK = 0.85
"""Largest sample of any file, of full scale."""

_HIGHEST_PARTIAL = 16000.0  # Hz: nothing is synthesised above, so nothing aliases
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)

# One bar of sixteenths: x a hit, o an accent (an open hat).
_GROOVES = {
    "rock": {"kick": "o.....x.o.x.....", "snare": "....o.......o...", "hat": "x.x.x.x.x.x.x.o."},
    "dance": {"kick": "o...o...o...o...", "snare": "....x.......x..x", "hat": "..o...o...o...o."},
    "shuffle": {"kick": "o..x......ox....", "snare": "....o..x.x..o..x", "hat": "xxx.xxx.xxx.xxxx"},
    "ballad": {"kick": "o.......x.x.....", "snare": "........o.......", "hat": "x...x...x...x.x."},
}

# Length of the notes of one sung bar in beats; negative is a rest.
_PHRASES = (
    (-0.5, 0.5, 0.5, 0.5, 1.0, -1.0),
    (0.75, 0.25, 1.0, 1.5, -0.5),
    (-1.0, 0.5, 0.5, 0.75, 1.25),
    (0.5, 0.5, 1.5, 0.5, -1.0),
)

Float64Array = npt.NDArray[np.float64]
Int16Array = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Song:
    """What the stems of one track have in common.

    `tonic` is the MIDI note of the key, `progression` one scale degree (from 0) per bar, `brightness` what
    the voice's formants are multiplied with: the size of the singer.
    """

    title: str
    tempo: float
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    groove: str
    brightness: float

    @property
    def beat(self) -> float:
        """Seconds."""
        return 60.0 / self.tempo

    def pitch(self, degree: int, octave: int = 0) -> float:
        """Frequency in Hz of a scale degree; degrees beyond the scale run on into the next octave."""
        step, within = divmod(degree, len(self.scale))
        note = self.tonic + self.scale[within] + 12 * (step + octave)
        return float(440.0 * 2 ** ((note - 69) / 12))

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Scale degrees of the triad of a bar."""
        root = self.progression[bar % len(self.progression)]
        return root, root + 2, root + 4


# Titles as real ones are: apostrophes, ampersands, brackets, letters beyond ASCII.
SONGS = (
    Song("The Tin Lanterns - Don't Look Down", 104, 57, _MINOR, (0, 5, 2, 6), "rock", 1.0),
    Song("Ada & the Engines - Half Past [Live]", 122, 60, _MAJOR, (0, 4, 5, 3), "dance", 1.08),
    Song("Señor Ångström - Où va l'été", 88, 55, _MAJOR, (0, 5, 1, 4), "shuffle", 0.93),
    Song("Kōji & Søn (feat. Ünal) - 東京 Rain", 76, 62, _MINOR, (0, 3, 6, 2), "ballad", 1.04),
)


def write_demo(out: Path, tracks: int = 4, seconds: float = 12.0, seed: int = SEED) -> list[Path]:
    """Write demo tracks to ``<out>/test/<title>/{mixture,vocals,drums,bass,other}.wav``.

    The same arguments give the same bytes. A track that is there already, with these bytes, is not touched;
    any other appears complete or not at all.

    Returns
    -------
    list of Path
        The tracks' folders.

    Raises
    ------
    BadInput
        Fewer than one track, less than one second, or a folder that cannot be written.
    """
    if tracks < 1:
        raise BadInput(f"{tracks} demo tracks were asked for; expected one or more")
    if not 1.0 <= seconds < math.inf:
        raise BadInput(f"demo tracks of {seconds:g} s were asked for; expected 1 s or more")
    return [_write_track(out / SPLIT, song(index, seed), index, seconds, seed) for index in range(tracks)]


def song(index: int, seed: int = SEED) -> Song:
    """The song with that number. Beyond :data:`SONGS` they come again with other keys, tempi and titles."""
    original = SONGS[index % len(SONGS)]
    if index < len(SONGS):
        return original
    rng = np.random.default_rng([seed, index])
    return replace(
        original,
        title=f"The Procedurals - Study No. {index + 1}",
        tempo=float(rng.integers(72, 132)),
        tonic=int(rng.integers(53, 65)),
        groove=str(rng.choice(list(_GROOVES))),
        brightness=float(rng.uniform(0.92, 1.1)),
    )


def compose(song: Song, seconds: float, seed: int | list[int]) -> dict[str, Int16Array]:
    """Mixture and stems of a song.

    Returns
    -------
    dict of str to array, shape (samples, 2), int16
        The mixture is the sum of the stems, without overflow.
    """
    samples = round(seconds * SAMPLE_RATE)
    players = {"vocals": _vocals, "drums": _drums, "bass": _bass, "other": _other}
    # A generator per stem: what one plays does not depend on how much chance another one needed.
    generators = dict(zip(STEMS, np.random.default_rng(seed).spawn(len(STEMS)), strict=True))
    stems = {}
    for stem in STEMS:
        played = players[stem](song, samples, generators[stem]) * _fade(samples)
        stems[stem] = played * 10 ** (LEVELS_DB[stem] / 20) / np.sqrt(np.mean(played**2))
    mixture = sum(stems.values(), np.zeros(()))
    peak = max(float(np.max(np.abs(sounding))) for sounding in (*stems.values(), mixture))
    parts = {}
    for stem in STEMS:
        noise = generators[stem].standard_normal((2, samples)) * 10 ** (NOISE_FLOOR_DB / 20)
        parts[stem] = np.rint((stems[stem] * (PEAK / peak) + noise).T * 32768).astype(np.int16)
    # PEAK leaves room for the noise: nothing overflows.
    return {MIXTURE: np.add.reduce(list(parts.values()), axis=0, dtype=np.int16)} | parts


def _write_track(split: Path, song: Song, index: int, seconds: float, seed: int) -> Path:
    folder = split / song.title
    files = {f"{name}.wav": _wav(audio) for name, audio in compose(song, seconds, [seed, index]).items()}
    if all(_holds(folder / name, content) for name, content in files.items()):
        return folder
    with atomic_folder(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    return folder


def _wav(audio: Int16Array) -> bytes:
    file = io.BytesIO()
    sf.write(file, audio, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return file.getvalue()


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


# The players. Each gives (2, samples) at any level.


def _bass(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Root, fifth and octave in eighths: partials k^−1.6 that die away, the high ones first."""
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


def _drums(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Kick (a falling chirp), snare (noise and two modes of the skin), hats (high-passed noise)."""
    track = np.zeros((2, samples))
    groove = _GROOVES[song.groove]
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


def _other(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """Chord pads, partials 1/k, every note detuned and at its own place; above them a plucked arpeggio."""
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


def _vocals(song: Song, samples: int, rng: np.random.Generator) -> Float64Array:
    """A sung line: glides and vibrato, two vowels, breath, and consonants at the start of notes."""
    degrees, loudness, vowel, onsets = _melody(song, samples, rng)
    time = np.arange(samples) / SAMPLE_RATE
    # Smoothing the logarithm of the pitch makes the voice glide from note to note.
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
    """Scale degree, loudness (0 where silent) and vowel (0 or 1) at every sample, and the notes' starts."""
    degrees = np.zeros(samples, dtype=np.int64)
    loudness, vowel = np.zeros(samples), np.zeros(samples)
    onsets = []
    degree = 2
    # Two phrases that alternate are heard as a verse; a new one in every bar would be heard as noodling.
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
    """A step or two away; long notes land on the chord."""
    moved = int(np.clip(degree + rng.choice([-2, -1, -1, 1, 1, 2]), -3, 9))
    if length < 0.75:
        return moved
    tones = [tone + 7 * octave for tone in chord for octave in (-2, -1, 0, 1)]
    return min((tone for tone in tones if -3 <= tone <= 9), key=lambda tone: (abs(tone - moved), tone))


# The instruments' parts.


def _bars(song: Song, samples: int) -> int:
    return math.ceil(samples / SAMPLE_RATE / (4 * song.beat))


def _time(seconds: float) -> Float64Array:
    return np.asarray(np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def _partials(phase: Float64Array, amplitudes: Float64Array) -> Float64Array:
    """Σ_k amplitudes[k − 1]·sin(k·phase), by the recurrence of sin(k·phase): one sine instead of many."""
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
    """One-pole smoothing in both directions, so that nothing is late."""
    pole = math.exp(-1 / (seconds * SAMPLE_RATE))
    return np.asarray(signal.filtfilt([1 - pole], [1, -pole], curve, padlen=0))


def _envelope(samples: int, attack: float, release: float) -> Float64Array:
    """Rises and falls as a raised cosine; a step would click. Times in seconds."""
    envelope = np.ones(samples)
    for edge, seconds in ((envelope, attack), (envelope[::-1], release)):
        count = min(samples // 2, round(seconds * SAMPLE_RATE))
        edge[:count] *= np.sin(np.pi / 2 * (np.arange(count) + 0.5) / max(count, 1)) ** 2
    return envelope


def _fade(samples: int) -> Float64Array:
    return _envelope(samples, 0.005, 0.5)


def _add(track: Float64Array, sound: Float64Array, start: float, gain: float, pan: float) -> None:
    """Put a mono sound at `start` seconds; `pan` from −1 (left) to 1 (right), at constant power."""
    first = round(start * SAMPLE_RATE)
    sound = sound[: max(0, track.shape[1] - first)]
    angle = (pan + 1) * math.pi / 4
    for channel, weight in enumerate((math.cos(angle), math.sin(angle))):
        track[channel, first : first + sound.size] += gain * weight * sound


def _room(track: Float64Array, rng: np.random.Generator, seconds: float, wet: float) -> Float64Array:
    """Add a room of that reverberation time: decaying noise, different in the two channels."""
    time = _time(seconds)
    tail = rng.standard_normal((2, time.size)) * np.exp(-6.9 * time / seconds)
    tail = signal.lfilter([0.5], [1, -0.5], tail, axis=1)
    tail /= np.sqrt(np.sum(tail**2, axis=1, keepdims=True))
    return np.asarray(track + wet * signal.fftconvolve(track, tail, axes=1)[:, : track.shape[1]])
