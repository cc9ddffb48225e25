"""Songs of the demo music: titles, keys, tempi, chords and drum patterns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SEED = 20250701
"""Default seed of the demo music."""

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)

GROOVES: dict[str, dict[str, str]] = {
    "rock": {"kick": "o.....x.o.x.....", "snare": "....o.......o...", "hat": "x.x.x.x.x.x.x.o."},
    "dance": {"kick": "o...o...o...o...", "snare": "....x.......x..x", "hat": "..o...o...o...o."},
    "shuffle": {"kick": "o..x......ox....", "snare": "....o..x.x..o..x", "hat": "xxx.xxx.xxx.xxxx"},
    "ballad": {"kick": "o.......x.x.....", "snare": "........o.......", "hat": "x...x...x...x.x."},
}
"""One bar of sixteenth notes per drum: "x" is a hit, "o" an accented hit (an open hi-hat), "." a rest."""


@dataclass(frozen=True)
class Song:
    """Parameters that the stems of one track share.

    Attributes
    ----------
    tempo : float
        Beats per minute.
    tonic : int
        MIDI note of the key.
    scale : tuple of int
        Semitones above the tonic.
    progression : tuple of int
        Scale degree of the chord of each bar, from 0.
    groove : str
        Drum pattern, a key of :data:`GROOVES`.
    brightness : float
        Factor on the frequencies of the voice's formants.
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
        """Length of a beat in seconds."""
        return 60.0 / self.tempo

    def pitch(self, degree: int, octave: int = 0) -> float:
        """Return the frequency of a scale degree in Hz; degrees beyond the scale continue in the next octave."""
        step, within = divmod(degree, len(self.scale))
        note = self.tonic + self.scale[within] + 12 * (step + octave)
        return float(440.0 * 2 ** ((note - 69) / 12))

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Return the scale degrees of the triad of a bar."""
        root = self.progression[bar % len(self.progression)]
        return root, root + 2, root + 4


# The titles contain apostrophes, ampersands, brackets and non-ASCII letters, as real titles do.
SONGS = (
    Song("The Tin Lanterns - Don't Look Down", 104, 57, _MINOR, (0, 5, 2, 6), "rock", 1.0),
    Song("Ada & the Engines - Half Past [Live]", 122, 60, _MAJOR, (0, 4, 5, 3), "dance", 1.08),
    Song("Señor Ångström - Où va l'été", 88, 55, _MAJOR, (0, 5, 1, 4), "shuffle", 0.93),
    Song("Kōji & Søn (feat. Ünal) - 東京 Rain", 76, 62, _MINOR, (0, 3, 6, 2), "ballad", 1.04),
)


def song(index: int, seed: int = SEED) -> Song:
    """Return the song with that number. Beyond :data:`SONGS`, songs repeat with other keys, tempi and titles."""
    original = SONGS[index % len(SONGS)]
    if index < len(SONGS):
        return original
    rng = np.random.default_rng([seed, index])
    return replace(
        original,
        title=f"The Procedurals - Study No. {index + 1}",
        tempo=float(rng.integers(72, 132)),
        tonic=int(rng.integers(53, 65)),
        groove=str(rng.choice(list(GROOVES))),
        brightness=float(rng.uniform(0.92, 1.1)),
    )
