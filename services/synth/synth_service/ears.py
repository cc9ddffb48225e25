"""Which channel of an HRIR set is the left ear, as the responses themselves show it.

The ear on the side of the source is reached first and is louder. In a room this holds for the direct sound alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.fft

from .measured import Float64Array

ITD_BAND = 1500.0
"""Interaural time differences are measured below this frequency, Hz: above it the phase is ambiguous."""

MAX_ITD = 1000
"""Largest interaural time difference that is measured, in µs."""

LATERAL = 20.0
"""Angle from the median plane, degrees, from which a direction shows which ear is which."""

DIRECT = 2.5e-3
"""The direct sound lasts this long from its onset, seconds. It contains the response of the pinna, and seldom a
reflection."""

_BEFORE = 0.5e-3  # seconds that are kept before the onset; also the length of the fade-out
_ONSET = 0.1  # of the largest value
# Smaller differences (µs, dB) do not show that the ears are exchanged.
_LEAST_ITD, _LEAST_ILD = 40.0, 0.5
# Room responses have at least this share of their energy later than so many seconds after the onset.
_LATE, _LATE_ENERGY = 20e-3, 1e-3
_BLOCK = 256  # responses


def direct(irs: Float64Array, sample_rate: int) -> Float64Array:
    """Cut responses to their direct sound.

    Parameters
    ----------
    irs : array, shape (A, 2, K)
    sample_rate : int
        Hz.

    Returns
    -------
    array, shape (A, 2, L)
        With the delays of `irs`, and zeros from about 3 ms after the onset at the earlier ear. L ≤ K.
    """
    onsets = onset(irs)
    before, length = round(_BEFORE * sample_rate), round(DIRECT * sample_rate)
    taps = min(irs.shape[2], int(onsets.max()) + length + before)
    result = np.array(irs[:, :, :taps])
    fade = np.cos(np.arange(1, before + 1) / (before + 1) * np.pi / 2) ** 2
    for ir, start in zip(result, onsets.tolist(), strict=True):
        ir[:, : max(0, start - before)] = 0.0
        end = start + length
        tail = ir[:, end : end + before]
        tail *= fade[: tail.shape[1]]
        ir[:, end + before :] = 0.0
    return result


def onset(irs: Float64Array) -> npt.NDArray[np.intp]:
    """Index of the first sample of each response beyond a tenth of its largest, at either ear; shape (A,)."""
    return np.concatenate([_onset(irs[block]) for block in _blocks(len(irs))])


def is_room(irs: Float64Array, sample_rate: int) -> bool:
    """Whether most responses have energy later than 20 ms after the direct sound: more than −30 dB of all."""
    late = round(_LATE * sample_rate)
    if irs.shape[2] <= late:
        return False
    shares = [
        np.sum(ir[:, start + late :] ** 2) / np.sum(ir**2)
        for ir, start in zip(irs, onset(irs).tolist(), strict=True)
    ]
    return bool(np.median(shares) > _LATE_ENERGY)


def compare(
    irs: Float64Array, azimuths: Float64Array, elevations: Float64Array, sample_rate: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Compare channel 0 with the left ear at all lateral directions.

    Returns
    -------
    agree, differ : array of bool, shape (A,)
        Where the near ear is earlier and louder, and where the far ear clearly is. Both are false at directions near
        the median plane and where time and level contradict each other.
    """
    side = np.sin(np.radians(azimuths)) * np.cos(np.radians(elevations))
    lateral = np.flatnonzero(np.abs(side) >= np.sin(np.radians(LATERAL)) - 1e-9)
    agree, differ = np.zeros(side.size, dtype=bool), np.zeros(side.size, dtype=bool)
    for block in _blocks(lateral.size):
        at = lateral[block]
        sign = np.sign(side[at])
        itd, ild = (sign * values for values in _differences(direct(irs[at], sample_rate), sample_rate))
        agree[at] = (itd > 0) & (ild > 0)
        differ[at] = (itd < -_LEAST_ITD) & (ild < -_LEAST_ILD)
    return agree, differ


def _differences(irs: Float64Array, sample_rate: int) -> tuple[Float64Array, Float64Array]:
    """ITD in µs, to one sample, and ILD in dB; shape (A,)."""
    length = scipy.fft.next_fast_len(2 * irs.shape[2], real=True)
    spectra = scipy.fft.rfft(irs, length)
    cross = spectra[:, 1] * np.conj(spectra[:, 0])
    cross[:, np.fft.rfftfreq(length, 1 / sample_rate) > ITD_BAND] = 0.0
    correlation = scipy.fft.irfft(cross, length)
    most = min(round(MAX_ITD * 1e-6 * sample_rate), max(length // 2 - 1, 0))
    lags = np.arange(-most, most + 1)
    itd = lags[np.argmax(correlation[:, lags], axis=1)] / sample_rate * 1e6
    energy = np.sum(irs**2, axis=2) + np.finfo(np.float64).tiny
    return itd, 10 * np.log10(energy[:, 0] / energy[:, 1])


def _onset(irs: Float64Array) -> npt.NDArray[np.intp]:
    level = np.abs(irs).max(axis=1)
    return np.asarray(np.argmax(level >= _ONSET * level.max(axis=1, keepdims=True), axis=1))


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
