"""What is unusual about the signals of a track: their lengths, their level, and a common delay of all estimates.

Such signals have scores, but these are easily misread: an estimate of a part of the track, a file whose samples are not
scaled, or the output of a codec that delays. The reason of the row names what is unusual.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import fft

from .signals import Float64, FloatArray, InputError, check_signal, load

TOLERANCE_S = 0.05
"""Largest difference in length of an estimate and its reference. More is not padding but a missing part."""

PEAK = 32.0
"""Largest plausible modulus of a sample, +30 dB re full scale."""

LONGEST_LAG_S = 0.2
_SHORT = 8
"""Lags of fewer samples may be the effect of a filter."""

_BLOCK = 1 << 16
_BLOCKS = 6
_CLEAR = 0.04
"""Share of the estimate's energy that a shifted reference explains, above which a stem has a clear lag."""


def check_lengths(reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int) -> str:
    """Return a note if the lengths differ a little, "" if they do not.

    Raises
    ------
    InputError
        They differ by more than 50 ms: one of them is not the whole track.
    """
    true, found = np.shape(reference)[-1], np.shape(estimate)[-1]
    if abs(found - true) > TOLERANCE_S * sample_rate:
        raise InputError(
            f"the estimate has {found} samples ({found / sample_rate:.3f} s) and the reference {true} "
            f"({true / sample_rate:.3f} s); expected the same length"
        )
    if found == true:
        return ""
    return f"the estimate has {found} samples and the reference {true}; the first {min(found, true)} are compared"


def level_note(signal: FloatArray, name: str) -> str:
    """Return a note if the signal is far above full scale."""
    peak = max(float(signal.max()), -float(signal.min()))
    return f"the {name} peaks at {peak:.5g} where full scale is 1" if peak > PEAK else ""


def lag_note(
    references: Mapping[str, npt.ArrayLike], estimates: Mapping[str, npt.ArrayLike], sample_rate: int
) -> str:
    """Return a note if the estimates of all stems are late, or early, by the same number of samples."""
    lag = common_lag(references, estimates, sample_rate)
    if not lag:
        return ""
    side, milliseconds = "later" if lag > 0 else "earlier", 1000 * abs(lag) / sample_rate
    return f"every estimate is {abs(lag)} samples {side} than the reference ({milliseconds:.3g} ms)"


def common_lag(
    references: Mapping[str, npt.ArrayLike], estimates: Mapping[str, npt.ArrayLike], sample_rate: int
) -> int:
    """Return the lag of all estimates in samples, positive where they are late; 0 unless it is the same and clear.

    Each stem is correlated with its reference in the loudest blocks of the reference, at lags of up to 0.2 s. The lag
    is clear if the shifted references explain the estimates much better than the references do. Neither a rotation of
    the phase (its correlation is odd), nor a filter that delays by a part of a sample, nor a stem that resembles
    itself after a beat is a lag.
    """
    longest = int(LONGEST_LAG_S * sample_rate)
    correlations = []
    for source in references:
        try:
            reference = check_signal(references[source], "reference")
            estimate = check_signal(estimates[source], "estimate")
        except (KeyError, InputError):
            continue
        if (found := _correlation(reference, estimate, longest)) is not None:
            correlations.append(found)
    clear = [rho for rho in correlations if np.max(rho**2) > _CLEAR]
    if not clear or 2 * len(clear) < len(correlations):
        return 0
    rho = np.array(clear)
    explained = rho**2
    at = int(np.argmax(explained.sum(axis=0)))
    lag, here, unshifted, best = at - longest, explained[:, at], explained[:, longest], explained.max(axis=1)
    same = np.all((here > unshifted) & (here >= 0.5 * best) & (1.0 - here <= 1.1 * (1.0 - best) + 1e-6))
    if not same or (len(clear) == 1 and here[0] < 0.25):
        return 0
    if float(rho[:, at] @ rho[:, 2 * longest - at]) < -0.5 * here.sum():
        return 0
    if abs(lag) < _SHORT and _offset(rho[:, at - 1 : at + 2].sum(axis=0)) > 0.1:
        return 0
    closer = float(np.sum(1.0 - here)) <= 0.5 * float(np.sum(1.0 - unshifted))
    apart = abs(lag) >= _SHORT and unshifted.sum() <= 0.25 * here.sum()
    return lag if closer or apart else 0


def _offset(peak: Float64) -> float:
    """Distance of the vertex of the parabola through three values from the middle one, in samples."""
    curvature = float(peak[0] - 2 * peak[1] + peak[2])
    return abs(0.5 * float(peak[0] - peak[2]) / curvature) if curvature else 0.0


def _correlation(reference: FloatArray, estimate: FloatArray, longest: int) -> Float64 | None:
    """Correlation coefficient of both channels together at lags of −`longest` to `longest`; None for silence."""
    samples = min(reference.shape[1], estimate.shape[1])
    block = min(_BLOCK, samples)
    starts = np.arange(0, samples - block + 1, block)
    energies = np.array([np.sum(np.square(reference[:, s : s + block], dtype=np.float64)) for s in starts])
    chosen = starts[np.argsort(energies)[-_BLOCKS:]]
    size = fft.next_fast_len(block + 2 * longest, real=True)
    spectrum = np.zeros(size // 2 + 1, np.complex128)
    true, found = 0.0, np.zeros(2 * longest + 1)
    for start in chosen:
        x = load(reference, start, start + block)
        y = load(estimate, start - longest, start + block + longest)
        spectrum += np.sum(np.conj(fft.rfft(x, size)) * fft.rfft(y, size), axis=0)
        true += float(np.sum(x**2))
        total = np.concatenate([[0.0], np.cumsum(np.sum(y**2, axis=0))])
        found += total[block:] - total[:-block]
    products = fft.irfft(spectrum, size)[: 2 * longest + 1]
    floor = 1e-3 * float(found.max(initial=0.0))
    if true <= 0.0 or floor <= 0.0:
        return None
    return np.asarray(np.where(found > floor, products, 0.0) / np.sqrt(true * np.maximum(found, floor)))
