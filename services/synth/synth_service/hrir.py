"""An HRIR set on the horizontal plane from any source, and the checks of all sets.

Azimuths are degrees counter-clockwise: 0 = front, 90 = left ear, 270 = right ear, as in SADIE II and SOFA.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft
import soxr
from mssbench_service.errors import BadInput, TooLarge
from mssbench_service.wire import HrirInfo

from . import sadie, sofa, sphere
from .measured import LARGEST, Float64Array, Measured

SPHERE = "sphere"
"""Name of the built-in set."""

AZIMUTH_TOLERANCE = 0.5
"""Largest difference in degrees between a requested azimuth and that of the stored HRIR."""

ITD_BAND = 1500.0
"""Interaural time differences are measured below this frequency, Hz: above it the phase is ambiguous."""

MAX_ITD = 1000
"""Largest interaural time difference that is measured, in µs."""

SIDE = 90.0
"""Azimuth of the left ear, degrees. The HRIR nearest to it shows which channel is the left ear."""

SIDE_TOLERANCE = 30.0
"""Largest distance of that HRIR from 90°, degrees: some sets have none at 90°."""

_RESAMPLING_ROOM = 64  # samples at either end


@dataclass(frozen=True, eq=False)
class HrirSet:
    """Checked HRIRs of the horizontal plane.

    Attributes
    ----------
    name : str
        ``sphere``, or the name of the folder or file.
    sample_rate : int
        Hz.
    azimuths : array, shape (A,)
        Degrees, ascending within [0, 360).
    irs : array, shape (A, 2, K)
        Left and right ear.
    sha256 : str
        Hash of the stored content (rate, azimuths and responses), which does not depend on the file format.
    resampled_from : int or None
        The stored sample rate in Hz, if the set was resampled.
    """

    name: str
    sample_rate: int
    azimuths: Float64Array
    irs: Float64Array
    sha256: str
    resampled_from: int | None = None

    def at(self, azimuth: float) -> Float64Array:
        """Return the HRIR at `azimuth` degrees (modulo 360), shape (2, K).

        Raises
        ------
        BadInput
            There is none within 0.5°; the message names the set, the azimuth and the nearest one.
        """
        if not math.isfinite(azimuth):
            raise BadInput(f"{azimuth} is not an azimuth in degrees")
        nearest, apart = self.nearest(azimuth)
        if apart > AZIMUTH_TOLERANCE + 1e-6:
            there_is = f"the nearest is at {self.azimuths[nearest]:g}°"
            raise BadInput(f"{self.name} has no HRIR at azimuth {azimuth:g}°; {there_is}")
        return np.asarray(self.irs[nearest])

    def nearest(self, azimuth: float) -> tuple[int, float]:
        """Index of the HRIR nearest to `azimuth` degrees, and its distance in degrees."""
        apart = np.abs((self.azimuths - azimuth + 180.0) % 360.0 - 180.0)
        index = int(np.argmin(apart))
        return index, float(apart[index])

    def at_rate(self, sample_rate: int, *, resample: bool = False) -> HrirSet:
        """Return this set at `sample_rate` Hz. Resampling delays it by 64 of its stored samples and makes it longer.

        Raises
        ------
        BadInput
            It is at another rate, and `resample` is false.
        TooLarge
            It would have more than :data:`synth_service.measured.LARGEST` numbers.
        """
        if sample_rate == self.sample_rate:
            return self
        if not resample:
            raise BadInput(
                f"{self.name} is at {self.sample_rate} Hz; expected {sample_rate} Hz as the track, "
                "or leave to resample it (--resample-hrir, resample_hrir)"
            )
        if self.irs.size * sample_rate / self.sample_rate > LARGEST:
            raise TooLarge(f"{self.name} would hold more than {LARGEST} numbers at {sample_rate} Hz")
        # Room for the ringing of the resampler, since truncating it would change the spectrum. The delay is allowed
        # because it is the same for all responses.
        padded = np.pad(self.irs, ((0, 0), (0, 0), (_RESAMPLING_ROOM, _RESAMPLING_ROOM)))
        flat = padded.reshape(-1, padded.shape[2])
        resampled = soxr.resample(np.ascontiguousarray(flat.T), self.sample_rate, sample_rate, quality="VHQ")
        # Resampling keeps the values of the waveform; a filter must keep its gain, the sum over its taps.
        irs = np.asarray(resampled.T, dtype=np.float64).reshape(*self.irs.shape[:2], -1)
        irs *= self.sample_rate / sample_rate
        origin = self.resampled_from or self.sample_rate
        return replace(self, sample_rate=sample_rate, irs=irs, resampled_from=origin)


def load_hrir(spec: str | Path, sample_rate: int = 44100) -> HrirSet:
    """Load ``sphere``, a SADIE II folder or a SOFA file.

    From a folder with sets at several rates, the one at `sample_rate` Hz is chosen; its name says which one.

    Raises
    ------
    BadInput
        There is no such file, it cannot be read, or the set is not valid: a value is NaN or infinite, an ear is
        silent, two different responses have one azimuth, or the ears are exchanged.

    Examples
    --------
    >>> hrir = load_hrir("sphere")
    >>> hrir.sample_rate, hrir.irs.shape
    (44100, (72, 2, 256))
    """
    if spec == SPHERE:
        return _sphere()
    path = Path(spec)
    if path.is_dir():
        chosen = sadie.find_set(path, sample_rate)
        return _checked(chosen, sadie.read_folder(chosen), sadie.name_below(path, chosen))
    if path.is_file():
        return _checked(path, sofa.read_file(path))
    raise BadInput(f"there is no HRIR set {path}; expected 'sphere', a SADIE II folder or a SOFA file")


@functools.cache
def _sphere() -> HrirSet:
    return _checked(Path(SPHERE), Measured(sphere.SAMPLE_RATE, *sphere.impulse_responses()))


def describe(hrir: HrirSet, *, curves: bool = False) -> HrirInfo:
    """Describe the set, with its interaural differences at the side or, with `curves`, at every azimuth."""
    side, _ = hrir.nearest(SIDE)
    itd, ild = interaural(hrir.irs[side], hrir.sample_rate)
    info = HrirInfo(
        name=hrir.name,
        sha256=hrir.sha256,
        sample_rate=hrir.sample_rate,
        taps=hrir.irs.shape[2],
        azimuths=[float(azimuth) for azimuth in hrir.azimuths],
        itd_90_us=itd,
        ild_90_db=ild,
        side=float(hrir.azimuths[side]),
    )
    if curves:
        energy = np.sum(hrir.irs**2, axis=2)
        levels = 10 * np.log10(energy / energy.max())
        info.itd_us = [interaural(ir, hrir.sample_rate)[0] for ir in hrir.irs]
        info.left_db, info.right_db = levels.T.tolist()
    return info


def interaural(ir: Float64Array, sample_rate: int) -> tuple[float, float]:
    """Measure the interaural time and level difference, positive if the left ear is earlier and louder.

    Parameters
    ----------
    ir : array, shape (2, K)
    sample_rate : int
        Hz.

    Returns
    -------
    itd : float
        µs. Lag of the maximum of the cross-correlation below 1.5 kHz, within ±1 ms, to 1 µs.
    ild : float
        dB. Ratio of the energies.
    """
    # Imported here, since the import takes half a second and rendering does not need it.
    from scipy.signal import czt

    length = scipy.fft.next_fast_len(max(4096, 2 * ir.shape[1]), real=True)
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    left, right = scipy.fft.rfft(ir, length)[:, frequencies <= ITD_BAND]
    lags = np.arange(-MAX_ITD, MAX_ITD + 1)
    # The bins of the band are evaluated at whole microseconds, which an inverse transform to samples cannot do.
    step = 2j * np.pi * 1e-6 * frequencies[1]
    correlation = czt(right * np.conj(left), lags.size, np.exp(step), np.exp(MAX_ITD * step)).real
    energy = np.sum(ir**2, axis=1)
    return float(lags[np.argmax(correlation)]), float(10 * np.log10(energy[0] / energy[1]))


def _checked(path: Path, measured: Measured, name: str = "") -> HrirSet:
    azimuths = np.round(measured.azimuths % 360.0, 6) % 360.0
    order = np.argsort(azimuths, kind="stable")
    azimuths, irs = azimuths[order], measured.irs[order]
    if not np.isfinite(irs).all():
        where = azimuths[~np.isfinite(irs).all(axis=(1, 2))][0]
        raise BadInput(f"{path} has values that are NaN or infinite in its HRIR at azimuth {where:g}°")
    silent = (irs == 0.0).all(axis=2).any(axis=1)
    if silent.any():
        where = azimuths[silent][0]
        raise BadInput(f"{path} has an ear that is silent in its HRIR at azimuth {where:g}°")
    again = np.flatnonzero(np.diff(azimuths) == 0.0) + 1
    differ = (irs[again] != irs[again - 1]).any(axis=(1, 2))
    if differ.any():
        where = azimuths[again[differ]][0]
        raise BadInput(f"{path} has different HRIRs at one azimuth, {where:g}°; expected one")
    azimuths, irs = np.delete(azimuths, again), np.delete(irs, again, axis=0)
    azimuths.flags.writeable = irs.flags.writeable = False
    sha256 = _digest(measured.sample_rate, azimuths, irs)
    hrir = HrirSet(name or path.name, measured.sample_rate, azimuths, irs, sha256)
    _check_ears(path, hrir)
    return hrir


def _check_ears(path: Path, hrir: HrirSet) -> None:
    side, apart = hrir.nearest(SIDE)
    if apart > SIDE_TOLERANCE:
        raise BadInput(
            f"{path} has no HRIR within {SIDE_TOLERANCE:g}° of azimuth {SIDE:g}°, to tell which ear is which; "
            f"the nearest is at {hrir.azimuths[side]:g}°"
        )
    itd, ild = interaural(hrir.irs[side], hrir.sample_rate)
    if not (itd > 0 and ild > 0):
        raise BadInput(
            f"{path} has the ears the wrong way round: at azimuth {hrir.azimuths[side]:g}° the left ear is "
            f"{itd:+.0f} µs earlier and {ild:+.1f} dB louder; expected both above zero"
        )


def _digest(sample_rate: int, azimuths: Float64Array, irs: Float64Array) -> str:
    digest = hashlib.sha256(f"{sample_rate} {irs.shape}".encode())
    for values in (azimuths, irs):
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()
