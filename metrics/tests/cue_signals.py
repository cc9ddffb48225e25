"""Signals with known interaural cues, which several tests use."""

from __future__ import annotations

from typing import Any

import numpy as np
from binaural_metrics.cues import Hrirs, interaural_cues
from binaural_metrics.signals import FloatArray
from golden_signals import delay, pink
from scipy.signal import fftconvolve

FS = 44100
VALUES = ("d_itd_us", "d_ild_db", "d_ic")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def both_ears(x: FloatArray) -> FloatArray:
    return np.repeat(x, 2, axis=0)


def mono(x: FloatArray) -> FloatArray:
    return both_ears(x.mean(axis=0, keepdims=True))


def cues(reference: FloatArray, estimate: FloatArray, fs: int = FS, **options: Any) -> list[float]:
    found = interaural_cues(reference, estimate, fs, **options)
    return [getattr(found, name).value for name in VALUES]


MUSIC = pink(rng(4), 2, 4 * FS)
SOURCE = pink(rng(5), 1, 4 * FS)
LATERAL = np.vstack([delay(SOURCE, 20), 0.5 * SOURCE])  # left later by 453.5 us and 6 dB louder
WIDE = both_ears(SOURCE) + 0.3 * MUSIC  # ears with different, but coherent signals


def head() -> Hrirs:
    """HRIR set of a delay (Woodworth) and a level per ear, from 0 to 355 degrees in steps of 5."""
    angles = np.arange(0.0, 360.0, 5.0)
    lateral = np.arcsin(np.sin(np.deg2rad(angles)))
    lag = 0.5 * 0.0875 / 343 * (np.sin(lateral) + lateral) * FS
    taps = np.arange(128)
    irs = [
        [
            10 ** (side * 5 * np.sin(a) / 20) * np.sinc(taps - 60 + side * d) * np.hanning(128)
            for side in (1, -1)
        ]
        for a, d in zip(lateral, lag, strict=True)
    ]
    return Hrirs(angles, np.array(irs), FS)


HEAD = head()


def rendered_at(angle: float, source: FloatArray = SOURCE[0]) -> FloatArray:
    return np.stack([fftconvolve(source, ir) for ir in HEAD.irs[list(HEAD.azimuths).index(angle)]])
