"""The two-channel signals of ``data/golden.json``: seeded random noise of three seconds, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


def pink(rng: np.random.Generator, channels: int, samples: int) -> FloatArray:
    """1/f noise, RMS 0.1 per channel."""
    spectrum = np.fft.rfft(rng.standard_normal((channels, samples)))
    frequency = np.fft.rfftfreq(samples, 1.0)
    frequency[0] = frequency[1]
    x = np.fft.irfft(spectrum / np.sqrt(frequency), samples)
    scaled: FloatArray = 0.1 * x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True))
    return scaled


def delay(x: FloatArray, samples: int) -> FloatArray:
    """Return `x` delayed by `samples` (advanced if negative) and padded with zeros."""
    y = np.zeros_like(x)
    if samples >= 0:
        y[..., samples:] = x[..., : x.shape[-1] - samples]
    else:
        y[..., :samples] = x[..., -samples:]
    return y


def cases(fs: int = 44100) -> dict[str, tuple[FloatArray, FloatArray, int]]:
    """Return (reference, estimate, sample rate) by name. The golden values depend on the order of the draws."""
    n = 3 * fs + 1234
    rng = np.random.default_rng(20251)
    white = 0.1 * rng.standard_normal((2, n))
    music = pink(rng, 2, n)
    noise = 0.1 * rng.standard_normal((2, n))
    mono = pink(rng, 1, n)
    hrir = np.vstack([mono, 0.5 * delay(mono, 29)])  # left leads by 29 samples and is 6 dB louder

    gated = music.copy()
    gated[:, fs : 2 * fs + fs // 2] = 0.0
    crosstalk = np.array([[0.9, 0.2], [0.1, 0.8]]) @ music
    short = slice(0, fs)
    pairs = {
        "identity_pink": (music, music.copy()),
        "gain_half_pink": (music, 0.5 * music),
        "gain_1p3_white": (white, 1.3 * white),
        "polarity_pink": (music, -music),
        "noise_10db_white": (white, white + noise * 10 ** (-10 / 20)),
        "noise_0db_pink": (music, music + noise),
        "delay_5_white": (white, delay(white, 5)),
        "delay_5_pink": (music, delay(music, 5)),
        "advance_7_pink": (music, delay(music, -7)),
        "delay_right_only_12_pink": (music, np.vstack([music[0], delay(music[1], 12)])),
        "swap_channels_pink": (music, music[::-1].copy()),
        "crosstalk_pink": (music, crosstalk),
        "crosstalk_noise_pink": (music, crosstalk + 0.3 * noise),
        "mono_down_hrir": (hrir, np.repeat(hrir.mean(0, keepdims=True), 2, 0)),
        "hrir_gain_noise": (hrir, 0.8 * hrir + 0.05 * noise),
        "hrir_ild_change": (hrir, hrir * np.array([[0.7], [1.2]])),
        "hrir_itd_change": (hrir, np.vstack([hrir[0], delay(hrir[1], 9)])),
        "right_silent_reference": (music * np.array([[1.0], [0.0]]), music + 0.1 * noise),
        "silent_estimate": (music, np.zeros_like(music)),
        "silent_both_middle": (gated, 0.9 * gated),
        "silent_reference_middle": (gated, gated + 0.01 * noise),
        "fade_pink": (music, np.linspace(0.1, 1.0, n) * music),
        "one_second_exact": (music[:, short], 0.7 * music[:, short] + 0.1 * noise[:, short]),
        "unequal_length": (music, 0.9 * music[:, : n - 500]),
    }
    return {name: (reference, estimate, fs) for name, (reference, estimate) in pairs.items()}


def extreme(music: FloatArray, fs: int) -> dict[str, FloatArray]:
    """Signals on which metrics may have no value, but never a warning, an infinity or NaN; a second of `music`."""
    music, time, ears = music[:, :fs], np.arange(fs) / fs, np.array([[1.0], [0.7]])
    return {
        "silence": np.zeros((2, fs)),
        "one silent ear": music * [[1.0], [0.0]],
        "identical ears": np.repeat(music[:1], 2, axis=0),
        "inverted ears": music[:1] * [[1.0], [-1.0]],
        "constant": np.full((2, fs), 0.25),
        "clipped square": np.clip(3.0 * np.sign(np.sin(2 * np.pi * 200 * time)), -1.0, 1.0) * ears,
        "click": np.where(np.arange(fs) == fs // 2, 1.0, 0.0) * ears,
        "tone": np.sin(2 * np.pi * 1000 * time) * ears,
        "tiny": 1e-300 * music,
        "subnormal": 5e-324 * np.sign(music),
        "float32 dust": (1e-38 * music).astype(np.float32),
        "huge": 1e6 * np.clip(music, -1.0, 1.0),
        "half silent": music * (time < 0.5),
        "shorter than a frame": music[:, : fs // 27],
        "one sample": music[:, :1],
    }
