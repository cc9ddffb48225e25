"""Values of the metrics for estimates with known errors. Runs offline and takes seconds.

    python benchmarks/metrics/known_errors.py

Four seeded sources are rendered with a simple head: a delay and a level for each ear. The error of each "separator" is
known, and so is the value that a spatial metric should have.
"""

from __future__ import annotations

import numpy as np
from binaural_metrics.scoring import score_track

FS = 44100
SECONDS = 8
ANGLES = {"vocals": 0, "drums": 40, "bass": 320, "other": 70}
COLUMNS = (
    ("paper_SSR", "paper SSR"),
    ("paper_SRR", "paper SRR"),
    ("paper_diff_ITD", "paper dITD"),
    ("paper_diff_ILD", "paper dILD"),
    ("SSR", "SSR"),
    ("SRR", "SRR"),
    ("d_itd_us", "d_itd_us"),
    ("d_ild_db", "d_ild_db"),
    ("d_ic", "d_ic"),
)


def pink(rng: np.random.Generator, samples: int) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / FS)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), samples)


def stems() -> dict[str, np.ndarray]:
    """Four rendered sources with different rhythms, float32; the peak of their sum is above full scale."""
    rng = np.random.default_rng(1)
    samples = SECONDS * FS
    t = np.arange(samples) / FS
    found = {}
    for (name, angle), tempo in zip(ANGLES.items(), (0.7, 2.0, 1.0, 0.5), strict=True):
        dry = pink(rng, samples) * (0.2 + np.exp(-6 * (t * tempo % 1)))
        dry *= 0.12 / np.std(dry)
        lateral = np.arcsin(np.sin(np.deg2rad(angle)))
        late = round(0.5 * 0.0875 / 343 * (np.sin(lateral) + lateral) * FS)
        gain = 10 ** (3 * np.sin(lateral) / 20)
        ears = np.stack([gain * np.roll(dry, 20 - late), np.roll(dry, 20 + late) / gain])
        found[name] = ears.astype(np.float32)
    return found


def delayed(x: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (samples, 0)))[:, : x.shape[1]]


def show(name: str, references: dict, estimates: dict, gain: float = 1.0) -> None:
    rows = score_track(references, estimates, FS, mixture_gain=gain, bsseval=False)
    cells = []
    for column, _ in COLUMNS:
        values = [row[column] for row in rows if row[column] is not None]
        cells.append(f"{np.median(values):10.2f}" if values else f"{'-':>10}")
    print(f"{name:<44}" + " ".join(f"{cell:>10}" for cell in cells))


def main() -> None:
    references = stems()
    mixture = sum(references.values())
    gain = 1 / float(np.abs(mixture).max())
    print(f"medians over four stems; g = 1/peak of the mixture = {gain:.3f}\n")
    print(f"{'':<44}" + " ".join(f"{title:>10}" for _, title in COLUMNS))

    print("\n1. No error; the references do not have the level of the mixture")
    scaled = {name: gain * x for name, x in references.items()}
    show("perfect stems of the stored mixture", references, scaled, gain)
    print(
        f"{'':<44}-20 log10 |g - 1| = {-20 * np.log10(abs(gain - 1)):.2f} dB, the paper SSR of perfect stems"
    )
    for other in (1.333, 0.8):
        show(f"perfect stems, g = {other}", references, {n: other * x for n, x in references.items()}, other)

    print("\n2. Spatial errors (g = 1)")
    show("identity", references, references)
    show("left and right swapped", references, {n: x[::-1] for n, x in references.items()})
    show(
        "collapsed to mono",
        references,
        {n: x.mean(0, keepdims=True).repeat(2, 0) for n, x in references.items()},
    )
    show("right ear at -6 dB", references, {n: x * np.float32([[1], [0.5]]) for n, x in references.items()})
    show("right ear inverted", references, {n: x * np.float32([[1], [-1]]) for n, x in references.items()})
    late = {n: np.stack([x[0], delayed(x, 10)[1]]) for n, x in references.items()}
    show("right ear 10 samples (227 us) late", references, late)

    print("\n3. Other errors")
    show("both ears 5 samples late", references, {n: delayed(x, 5) for n, x in references.items()})
    show("the mixture as every stem", references, dict.fromkeys(references, mixture))
    leak = {n: x + 0.1 * (mixture - x) for n, x in references.items()}
    show("others leak at -20 dB", references, leak)


if __name__ == "__main__":
    main()
