"""The direct sound in the response of a room, from spectra of a dry stem and of what the ears receive.

Definition
----------
S is the spectrum of the dry stem s and C that of an ear and s. Both are divided by S plus a tenth of S smoothed over
bands, so that no frequency outweighs the others and tones are shorter than the window. They are transformed to lags and
multiplied by a window that is 1 from 1 ms before the time of the direct sound to 3 ms after it, with raised cosines of
1 ms at either end (S: the same window around lag 0). Their quotient is the early response. The time of the direct sound
is that of the largest value of its response. An estimate may be later by a common delay, that of the largest sum of the
correlations of both ears with the direct sound.

A bin counts where the early response explains ten times more of the ear than it would of noise: 10 / N of its energy,
where N is the number of independent frames times the number of bins over which the window averages.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from .hrir import Hrirs, HrirSet, elevations_of
from .signals import BoolArray, Float64

BEFORE_S, AFTER_S, FADE_S = 1e-3, 3e-3, 1e-3

_FLOOR = 0.1
_ABOVE_NOISE = 10.0
_LEAST = 0.05  # of the dry spectrum within the window: less is the trough of a tonal sound
_INDEPENDENT = 0.5  # of frames that overlap by 75 %

Complex = npt.NDArray[np.complex128]


def whitening(dry: Float64, weights: Float64) -> Float64:
    """Weights of the bins that whiten the dry stem, shape (bins,); 0 in bands without energy."""
    smooth = weights @ ((dry @ weights) / weights.sum(axis=0))
    use = smooth > 1e-9 * smooth.max()
    return np.asarray(np.divide(1.0, dry + _FLOOR * smooth, out=np.zeros_like(smooth), where=use))


def time_of(cross: Complex, white: Float64, size: int) -> int:
    """Lag of the direct sound in samples."""
    return int(np.argmax(np.abs(fft.irfft(cross * white, size)).max(axis=0)))


def delay_of(cross: Complex, direct: Complex, white: Float64, size: int) -> int:
    """Delay of a signal in samples relative to the direct sound."""
    correlation = fft.irfft(cross * np.conj(direct) * white**2, size)
    return int(np.argmax(np.abs(correlation).sum(axis=0)))


def early(
    cross: Complex,
    own: Float64,
    dry: Float64,
    white: Float64,
    at: int,
    frames: int,
    size: int,
    sample_rate: int,
) -> tuple[Complex, BoolArray]:
    """Response of both ears around the lag `at`, and the bins that count, both of shape (2, bins)."""
    window = _window(size, sample_rate)
    bins = len(dry)
    source, ears = (fft.rfft(fft.irfft(x * white, size) * window)[..., :bins] for x in (dry, own))
    received = fft.rfft(fft.irfft(cross * white, size) * np.roll(window, at))[..., :bins]
    use = np.abs(source) > _LEAST
    response = np.where(use, received / np.where(use, source, 1.0), 0.0)
    noise = _ABOVE_NOISE * window.sum() / (_INDEPENDENT * frames * size)
    explained = np.abs(response) ** 2 * np.abs(source)
    return response, np.asarray(use & (explained > noise * np.abs(ears)))


def cut(hrir: HrirSet, sample_rate: int) -> Hrirs:
    """The set with each response limited to its direct sound."""
    irs = np.asarray(hrir.irs)
    peaks = np.argmax(np.abs(irs).max(axis=1), axis=1)
    size = 2 * irs.shape[2] + 4 * round((AFTER_S + FADE_S) * sample_rate)
    lags = (np.arange(irs.shape[2]) - peaks[:, None]) % size
    return Hrirs(
        np.asarray(hrir.azimuths),
        irs * _window(size, sample_rate)[lags][:, None],
        sample_rate,
        elevations_of(hrir),
    )


def _window(size: int, sample_rate: int) -> Float64:
    """Window of lags, those below zero at the end."""
    lag = (np.arange(size) + size // 2) % size - size // 2
    beyond = np.maximum(lag / sample_rate - AFTER_S, -lag / sample_rate - BEFORE_S) / FADE_S
    return np.asarray(np.cos(np.clip(beyond, 0.0, 1.0) * np.pi / 2) ** 2)
