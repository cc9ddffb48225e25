"""Interaural time and level difference as the paper computes them.

They are kept to reproduce published tables. The time difference has a resolution of one sample. It uses the modulus
of the correlation and therefore does not detect inverted polarity. Its whitening gives all frequencies, including
noise, the same weight, which makes it unreliable for bass. :mod:`binaural_metrics.cues` has the corrected versions.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. ITD in µs, positive where the *left* ear is later;
ILD in dB, positive where the left ear is louder.

Metrics
-------
itd_us    lag of the largest \\|GCC-PHAT\\| per frame of half a second (Tukey window, no overlap, float32);
          the result is the lag whose frames have the largest summed level
ild_db    10·log10 of left over right energy of the whole track
d_itd_us  \\|ITD of the estimate − ITD of the reference\\|
d_ild_db  \\|ILD of the estimate − ILD of the reference\\|

A track without a frame above the level threshold has no ITD. A track with a silent channel has neither ITD nor
ILD. The value is then None, and the result has a reason.

References
----------
.. [1] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
   Information in Binaural Audio?," International Society for Music Information Retrieval Conference
   (ISMIR), 2025. arXiv:2507.00155.
.. [2] C. H. Knapp and G. C. Carter, "The generalized correlation method for estimation of time delay,"
   IEEE Transactions on Acoustics, Speech, and Signal Processing, vol. 24, no. 4, pp. 320-327, 1976.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.signal import get_window

from .short_lags import ShortLags
from .signals import (
    FloatArray,
    channel_energies,
    check_pair,
    check_sample_rate,
    check_signal,
    silent_channels,
)
from .threads import one_blas_thread

LEVEL_THRESHOLD = 5e-4
_BATCH = 4  # frames per transform: vector instructions transform several ears at a time
_TINY = np.float32(1e-15)

_Spectra = npt.NDArray[np.complex64]
CrossSpectrum = Callable[[_Spectra, _Spectra, _Spectra], None]
"""Writes the cross-spectrum of the left and the right ear, whitened or not, to the third array."""


@dataclass(frozen=True)
class PaperCues:
    """Interaural differences of one stem; pairs are (reference, estimate), and undefined values are None.

    Attributes
    ----------
    d_itd_us, d_ild_db : float or None
        The absolute differences that the paper reports, in µs and dB.
    itd_us, ild_db : tuple of (float or None)
        Values of reference and estimate in µs and dB.
    itd_reason, ild_reason : str
        Why the difference is None; empty otherwise.
    """

    d_itd_us: float | None
    d_ild_db: float | None
    itd_us: tuple[float | None, float | None]
    ild_db: tuple[float | None, float | None]
    itd_reason: str = ""
    ild_reason: str = ""


@one_blas_thread
def paper_cues(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> PaperCues:
    """Compute ΔITD and ΔILD of one stem [1]_.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter. The reference is used at the level of the stored file.
    sample_rate : int
        In Hz.

    Returns
    -------
    PaperCues

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    first, second = (PaperSignal.of(x, sample_rate, [whitened]) for x in (ref, est))
    return paper_distances(first, second)


@dataclass(frozen=True)
class PaperSignal:
    """What the paper's metrics need of a signal: energies of the ears, and an ITD in µs per cross-spectrum."""

    energies: tuple[float, float]
    itds_us: list[float | None]

    @classmethod
    def of(cls, x: FloatArray, sample_rate: int, spectra: Sequence[CrossSpectrum]) -> PaperSignal:
        energies = channel_energies(x)
        audible = min(energies) > 0.0
        return cls(energies, itds_us(x, sample_rate, spectra) if audible else [None for _ in spectra])

    @property
    def ild_db(self) -> float | None:
        left, right = self.energies
        return 10.0 * (math.log10(left) - math.log10(right)) if min(self.energies) > 0.0 else None


def paper_distances(reference: PaperSignal, estimate: PaperSignal) -> PaperCues:
    """Differences of two signals by the first of their ITDs."""
    pair = {"reference": reference, "estimate": estimate}
    silent = "; ".join(filter(None, (silent_channels(x.energies, name) for name, x in pair.items())))
    itd, ild = (reference.itds_us[0], estimate.itds_us[0]), (reference.ild_db, estimate.ild_db)
    below_threshold = [name for name, value in zip(pair, itd, strict=True) if value is None]
    itd_reason = silent or (
        f"no frame of the {' and the '.join(below_threshold)} is above the level threshold"
        if below_threshold
        else ""
    )
    return PaperCues(_distance(itd), _distance(ild), itd, ild, itd_reason, silent)


@one_blas_thread
def itd_us(signal: npt.ArrayLike, sample_rate: int) -> float | None:
    """Compute the interaural time difference of a track by GCC-PHAT [1]_, [2]_.

    Parameters
    ----------
    signal : array_like, shape (2, samples)
        Floating point, full scale ±1.
    sample_rate : int
        In Hz.

    Returns
    -------
    float or None
        In µs, a whole number of samples, positive if the left ear is later. None if a channel is silent or no frame
        is above the level threshold.

    Raises
    ------
    InputError
        The signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    sample_rate, x = check_sample_rate(sample_rate), check_signal(signal, "signal")
    return PaperSignal.of(x, sample_rate, [whitened]).itds_us[0]


def whitened(left: _Spectra, right: _Spectra, out: _Spectra) -> None:
    """Cross-spectrum of the spectra, each divided by its modulus + 1e-15."""
    product(left, right, out)
    divisor, other = np.abs(left), np.abs(right)
    divisor += _TINY
    other += _TINY
    divisor *= other
    divide(out, divisor)


def product(left: _Spectra, right: _Spectra, out: _Spectra) -> None:
    """Cross-spectrum that is not whitened."""
    np.conj(right, out=out)
    out *= left


def divide(cross: _Spectra, divisor: npt.NDArray[np.float32]) -> None:
    """Divide in place, by a multiplication, because NumPy would divide by a complex number."""
    cross *= np.reciprocal(divisor, out=divisor)


def itds_us(x: FloatArray, sample_rate: int, spectra: Sequence[CrossSpectrum]) -> list[float | None]:
    """ITD of a track in µs by each cross-spectrum; None if no frame is above the level threshold."""
    samples, reach = int(0.5 * sample_rate), int(1e-3 * sample_rate)
    if reach < 1:
        return [None] * len(spectra)
    window, lags = _tukey(samples), ShortLags.of(2 * samples, reach)
    levels_of: list[defaultdict[int, float]] = [defaultdict(float) for _ in spectra]
    frames = x.shape[1] // samples
    batch = min(frames, _BATCH)
    zero_padded, cross_spectra = np.zeros((2, batch, 2 * samples), np.float32), lags.buffer(batch)
    for first in range(0, frames, _BATCH):
        part = x[:, first * samples : min(first + _BATCH, frames) * samples].astype(np.float32, copy=False)
        padded = zero_padded[:, : part.shape[1] // samples]
        windowed = np.multiply(part.reshape(2, -1, samples), window, out=padded[..., :samples])
        energies = np.einsum("cfn,cfn->cf", windowed, windowed)
        levels = np.sqrt(energies / samples).max(axis=0).astype(float)
        loud = levels > LEVEL_THRESHOLD
        if not loud.any():
            continue
        left, right = fft.rfft(padded if loud.all() else padded[:, loud])
        used = cross_spectra[: len(left)]
        for cross, level_of in zip(spectra, levels_of, strict=True):
            cross(left, right, used[:, : samples + 1])
            for lag, level in zip(lags.first_maxima(used), levels[loud], strict=True):
                level_of[int(lag)] += float(level)

    def loudest(level_of: dict[int, float]) -> float | None:
        if not level_of:
            return None
        return min(level_of, key=lambda lag: (-level_of[lag], lag)) / sample_rate * 1e6

    return [loudest(level_of) for level_of in levels_of]


@one_blas_thread
def ild_db(signal: npt.ArrayLike) -> float | None:
    """Compute the interaural level difference of a track.

    Parameters
    ----------
    signal : array_like, shape (2, samples)
        Floating point.

    Returns
    -------
    float or None
        In dB, positive if the left ear is louder. None if a channel is silent.

    Raises
    ------
    InputError
        The signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    return PaperSignal(channel_energies(check_signal(signal, "signal")), []).ild_db


@lru_cache(maxsize=4)
def _tukey(samples: int) -> npt.NDArray[np.float32]:
    window: npt.NDArray[np.float32] = get_window("tukey", samples).astype(np.float32)
    window.flags.writeable = False
    return window


def _distance(pair: tuple[float | None, float | None]) -> float | None:
    reference, estimate = pair
    return None if reference is None or estimate is None else abs(estimate - reference)
