"""The lag of the largest correlation is that of the whole inverse transform, also where it is hard to tell."""

from __future__ import annotations

import numpy as np
import pytest
from binaural_metrics.short_lags import ShortLags
from golden_signals import pink
from scipy import fft


@pytest.mark.parametrize("fs", [2000, 11025, 44100, 48000])
def test_largest_lags_equal_those_of_the_whole_inverse_transform(fs: int) -> None:
    samples, reach = 2 * (fs // 2), fs // 1000
    rng, time = np.random.default_rng(fs), np.arange(samples // 2) / fs
    click = np.eye(1, samples // 2, fs // 5)[0]
    pairs = {
        "noise": (pink(rng, 1, samples // 2)[0], pink(rng, 1, samples // 2)[0]),
        "low tone: a flat maximum": (np.sin(40 * np.pi * time), np.sin(40 * np.pi * time + 0.01)),
        "constant": (np.ones(samples // 2), np.ones(samples // 2)),
        "two clicks: equal maxima": (click + np.roll(click, 2), click),
        "same clicks": (click, click),
        "silent ear: all lags are equal": (click, np.zeros(samples // 2)),
    }
    ears = np.array(list(pairs.values()), np.float32)
    left, right = fft.rfft(ears, samples).swapaxes(0, 1)
    cross = left * np.conj(right)
    for spectra in (cross, cross / (np.abs(cross) + np.float32(1e-15))):
        lags = ShortLags.of(samples, reach)
        buffer = lags.buffer(len(pairs))
        buffer[:, : samples // 2 + 1] = spectra
        within = np.abs(fft.irfft(spectra, samples)[:, np.arange(-reach, reach)])
        np.testing.assert_array_equal(lags.first_maxima(buffer), np.argmax(within, axis=1) - reach)
