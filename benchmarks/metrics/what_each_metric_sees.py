"""What each metric sees: values for estimates with known errors. Runs offline and takes a minute of processor time.

    python benchmarks/metrics/what_each_metric_sees.py              # prints the table of docs/metrics.md
    python benchmarks/metrics/what_each_metric_sees.py --write      # writes it into the page

Four seeded sources are rendered with a simple head: a delay, a shadow and the notch of a pinna for each ear. The error
of each "separator" is known, and so is the value that a spatial metric should have.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from binaural_metrics import Hrirs
from binaural_metrics.scoring import score_track
from scipy.signal import butter, oaconvolve, sosfilt

FS = 44100
SECONDS = 8
ANGLES = {"vocals": 0, "drums": 40, "bass": 320, "other": 70}
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
SPAUQ = ("paper_SSR", "paper_SRR", "SSR", "SRR")
SEES = {
    "in_place": 0, "missing": 0, "cue_error_jnd": 1, "SSR": 1, "SRR": 1, "d_itd_us": 0, "itd_moved": 0,
    "d_ild_db": 1, "d_ic": 2, "lateral_error_deg": 0, "front_back": 0, "timbre_db": 1, "SI_SDR": 1, "SDR": 1,
    "paper_SSR": 1, "paper_SRR": 1, "paper_diff_ITD": 0, "paper2026_diff_ITD": 0, "paper_diff_ILD": 1,
}  # fmt: skip
"""Columns of the table, with their digits."""

Stems = dict[str, np.ndarray]


def pink(rng: np.random.Generator, samples: int) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / FS)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), samples)


def head() -> Hrirs:
    """Impulse responses of a simple head on the horizontal plane, every 5 degrees."""
    azimuths, taps = np.arange(0.0, 360.0, 5.0), 256
    side, ahead = np.sin(np.deg2rad(azimuths))[:, None], np.cos(np.deg2rad(azimuths))[:, None]
    f = np.fft.rfftfreq(taps, 1 / FS)
    irs = np.empty((len(azimuths), 2, taps))
    for ear, sign in enumerate((1.0, -1.0)):
        notch = 7500 - 1500 * np.tanh(3 * ahead)
        level = -9 * (1 - sign * side) * f / (f + 1500) - 15 * np.exp(-(((f - notch) / 800) ** 2))
        late = 2e-3 - 350e-6 * sign * side
        irs[:, ear] = np.fft.irfft(10 ** (level / 20) * np.exp(-2j * np.pi * f * late), taps)
    return Hrirs(azimuths, irs, FS)


HEAD = head()


def dry_stems() -> Stems:
    """Four sources with different rhythms; the bass ends at 700 Hz."""
    rng = np.random.default_rng(1)
    t = np.arange(SECONDS * FS) / FS
    found = {}
    for name, tempo in zip(ANGLES, (0.7, 2.0, 1.0, 0.5), strict=True):
        x = pink(rng, len(t)) * (0.2 + np.exp(-6 * (t * tempo % 1)))
        x = sosfilt(butter(4, 700, fs=FS, output="sos"), x) if name == "bass" else x
        found[name] = 0.12 * x / np.std(x)
    return found


def render(x: np.ndarray, azimuth: float) -> np.ndarray:
    (index,) = np.flatnonzero(HEAD.azimuths == azimuth % 360)
    return np.stack([oaconvolve(x, ir) for ir in HEAD.irs[index]]).astype(np.float32)


def delayed(x: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (samples, 0)))[:, : x.shape[1]]


def errors(dry: Stems, references: Stems) -> dict[str, Stems]:
    """Estimates by the name of their error."""
    mixture = np.sum(list(references.values()), axis=0)
    low = butter(4, 4000, fs=FS, output="sos")
    shelf = butter(1, 3000, fs=FS, output="sos")

    def each(change: Callable[[np.ndarray], np.ndarray]) -> Stems:
        return {name: change(x) for name, x in references.items()}

    def moved(degrees: float) -> Stems:
        return {name: render(x, ANGLES[name] + degrees) for name, x in dry.items()}

    found = {
        "identity": references,
        "half the level": each(lambda x: 0.5 * x),
        "left and right swapped": each(lambda x: x[::-1]),
        "collapsed to mono": each(lambda x: x.mean(0, keepdims=True).repeat(2, 0)),
        "moved by 20°": moved(20),
        "from the front to the back": {n: render(x, 180 - ANGLES[n]) for n, x in dry.items()},
        "right ear at −6 dB": each(lambda x: x * np.array([[1], [0.5]], np.float32)),
        "right ear inverted": each(lambda x: x * np.array([[1], [-1]], np.float32)),
        "right ear 10 samples (227 µs) late": each(lambda x: np.stack([x[0], delayed(x, 10)[1]])),
        "both ears 5 samples late": each(lambda x: delayed(x, 5)),
        "others leak at −40 dB": each(lambda x: x + 0.01 * (mixture - x)),
        "others leak at −20 dB": each(lambda x: x + 0.1 * (mixture - x)),
        "the mixture as every stem": each(lambda x: mixture),
        "nothing above 4 kHz": each(lambda x: sosfilt(low, x)),
        "duller: −6 dB an octave above 3 kHz": each(lambda x: sosfilt(shelf, x)),
    }
    return {name: {n: np.asarray(x, np.float32) for n, x in stems.items()} for name, stems in found.items()}


def medians(dry: Stems, references: Stems, estimates: Stems, gain: float = 1.0) -> dict[str, float | None]:
    rows = score_track(references, estimates, FS, mixture_gain=gain, hrir=HEAD, dry=dry)[0]
    found = {}
    for column in (*SEES, *SPAUQ):
        values = [row[column] for row in rows if row[column] is not None]
        found[column] = float(np.median(values)) if values else None
    return found


def table(dry: Stems, references: Stems) -> str:
    """Errors as rows, metrics as columns, medians over the four stems."""
    lines = [f"| estimate | {' | '.join(f'`{c}`' for c in SEES)} |", f"|---|{'---|' * len(SEES)}"]
    for name, estimates in errors(dry, references).items():
        values = medians(dry, references, estimates)
        cells = [_number(values[column], digits) for column, digits in SEES.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def main() -> None:
    dry = dry_stems()
    references = {name: render(x, ANGLES[name]) for name, x in dry.items()}
    gain = 1 / float(np.abs(sum(references.values())).max())
    print("Perfect stems of a mixture that was stored with the gain g, the references without it (medians)\n")
    for g in (gain, 1.333, 0.8):
        scaled = {name: np.float32(g) * x for name, x in references.items()}
        values = medians(dry, references, scaled, g)
        shown = "  ".join(f"{column} {values[column]:.2f}" for column in SPAUQ)
        print(f"g = {g:.3f}  {shown}  −20 log10 |g − 1| = {-20 * np.log10(abs(g - 1)):.2f}")
    text = table(dry, references)
    print(f"\nWhat each metric sees (medians over four stems)\n\n{text}")
    if "--write" in sys.argv:
        page = DOCS.read_text(encoding="utf-8")
        page = re.sub(r"\| estimate \| `in_place`.*?\n\n", lambda _: text + "\n", page, flags=re.DOTALL)
        DOCS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
