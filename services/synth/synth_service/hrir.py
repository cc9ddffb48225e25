"""An HRIR set from any source, on the horizontal plane or on the sphere, and the checks of all sets.

Azimuths are degrees counter-clockwise: 0 = front, 90 = left ear, 270 = right ear, as in SADIE II and SOFA.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr
from mssbench_service.errors import BadInput, TooLarge
from mssbench_service.wire import HrirInfo

from . import ears, sadie, sofa, sphere
from .ears import ITD_BAND, MAX_ITD
from .measured import LARGEST, Float64Array, Measured

SPHERE = "sphere"
"""Name of the built-in set."""

AZIMUTH_TOLERANCE = 0.5
"""Largest difference in degrees between a requested azimuth and that of the stored HRIR."""

SIDE = 90.0
"""Azimuth of the left ear, degrees. The HRIR nearest to it shows which channel is the left ear."""

SIDE_TOLERANCE = 30.0
"""Largest distance of that HRIR from 90°, degrees: some sets have none at 90°."""

SAME_RESPONSE = 1e-6
"""Two responses at one direction are one if they differ by less than this share of their energy: −60 dB."""

_RESAMPLING_ROOM = 64  # samples at either end


@dataclass(frozen=True, eq=False)
class HrirSet:
    """Checked HRIRs, of the horizontal plane or of all directions.

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
        Hash of the stored content (rate, directions and responses), which does not depend on the file format.
    resampled_from : int or None
        The stored sample rate in Hz, if the set was resampled.
    elevations : array, shape (A,), or None
        Degrees, 90 = above. None on the horizontal plane. The azimuths then ascend within each elevation.
    room : bool
        Whether the responses are those of a room.
    distances, convention, notes
        As in :class:`synth_service.measured.Measured`.
    """

    name: str
    sample_rate: int
    azimuths: Float64Array
    irs: Float64Array
    sha256: str
    resampled_from: int | None = None
    elevations: Float64Array | None = None
    room: bool = False
    distances: tuple[float, ...] = ()
    convention: str = ""
    notes: tuple[str, ...] = ()

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

    def nearest(self, azimuth: float, elevation: float = 0.0) -> tuple[int, float]:
        """Index of the HRIR nearest to a direction, and its great-circle distance in degrees."""
        if self.elevations is None and elevation == 0.0:
            apart = np.abs((self.azimuths - azimuth + 180.0) % 360.0 - 180.0)
        else:
            apart = great_circle(
                self.azimuths, 0.0 if self.elevations is None else self.elevations, azimuth, elevation
            )
        index = int(np.argmin(apart))
        return index, float(apart[index])

    def direct(self) -> Float64Array:
        """The direct sound of all responses (:func:`synth_service.ears.direct`), shape (A, 2, L)."""
        return ears.direct(self.irs, self.sample_rate)

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
                "or permission to resample it (--resample-hrir, resample_hrir)"
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


def great_circle(
    azimuths: npt.ArrayLike, elevations: npt.ArrayLike, azimuth: npt.ArrayLike, elevation: npt.ArrayLike
) -> Float64Array:
    """Angles between directions (first two arguments) and a direction, in degrees like the arguments."""
    first, second = np.radians(elevations), np.radians(elevation)
    turn = np.radians(np.asarray(azimuths) - np.asarray(azimuth))
    # The haversine is exact for small angles, where the arc cosine is not.
    half = np.sin((first - second) / 2) ** 2 + np.cos(first) * np.cos(second) * np.sin(turn / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))))


def load_hrir(spec: str | Path, sample_rate: int = 44100, *, sphere: bool = False) -> HrirSet:
    """Load ``sphere``, a SADIE II folder or a SOFA file: the horizontal plane or, with `sphere`, all directions.

    From a folder with sets at several rates, the one at `sample_rate` Hz is chosen; its name says which one.

    Raises
    ------
    BadInput
        There is no such file, it cannot be read, or the set is not valid: a value is NaN or infinite, an ear is
        silent (SOFA files: at all directions), two different responses have one direction, or the ears are exchanged.

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
        return _checked(chosen, sadie.read_folder(chosen, sphere=sphere), sadie.name_below(path, chosen))
    if path.is_file():
        return _checked(path, sofa.read_file(path, sphere=sphere))
    raise BadInput(f"there is no HRIR set {path}; expected 'sphere', a SADIE II folder or a SOFA file")


@functools.cache
def _sphere() -> HrirSet:
    return _checked(Path(SPHERE), Measured(sphere.SAMPLE_RATE, *sphere.impulse_responses()))


def describe(hrir: HrirSet, *, curves: bool = False) -> HrirInfo:
    """Describe the set, with its interaural differences at the side or, with `curves`, at every direction.

    Those of a room are the differences of its direct sound.
    """
    side, _ = hrir.nearest(SIDE)
    irs = hrir.direct() if hrir.room else hrir.irs
    itd, ild = interaural(irs[side], hrir.sample_rate)
    info = HrirInfo(
        name=hrir.name,
        sha256=hrir.sha256,
        sample_rate=hrir.sample_rate,
        taps=hrir.irs.shape[2],
        azimuths=[float(azimuth) for azimuth in hrir.azimuths],
        itd_90_us=itd,
        ild_90_db=ild,
        side=float(hrir.azimuths[side]),
        elevations=[] if hrir.elevations is None else hrir.elevations.tolist(),
        distances=list(hrir.distances),
        convention=hrir.convention,
        room=hrir.room,
        notes=list(hrir.notes),
    )
    if curves:
        energy = np.sum(irs**2, axis=2)
        levels = 10 * np.log10(energy / energy.max())
        info.itd_us = [interaural(ir, hrir.sample_rate)[0] for ir in irs]
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
    elevations = np.zeros_like(azimuths)
    if measured.elevations is not None:
        elevations = np.round(measured.elevations, 6)
        azimuths[np.abs(elevations) == 90.0] = 0.0  # where azimuths have no meaning
    order = np.lexsort((azimuths, elevations))
    azimuths, elevations, irs = azimuths[order], elevations[order], measured.irs[order]
    if not np.isfinite(irs).all():
        where = _direction(azimuths, elevations, ~np.isfinite(irs).all(axis=(1, 2)))
        raise BadInput(f"{path} has values that are NaN or infinite in its HRIR at azimuth {where}")
    notes = list(measured.notes)
    silent = (irs == 0.0).all(axis=2).any(axis=1)
    if silent.any():
        # SOFA files have rows for directions that were never measured; a silent file of a folder is a broken one.
        if silent.all() or path.is_dir():
            where = _direction(azimuths, elevations, silent)
            raise BadInput(f"{path} has an ear that is silent in its HRIR at azimuth {where}")
        notes.append(f"{np.count_nonzero(silent)} directions with a silent ear left out")
        azimuths, elevations, irs = azimuths[~silent], elevations[~silent], irs[~silent]
    room = measured.room or ears.is_room(irs, measured.sample_rate)
    again = np.flatnonzero((np.diff(azimuths) == 0.0) & (np.diff(elevations) == 0.0)) + 1
    apart = np.sum((irs[again] - irs[again - 1]) ** 2, axis=(1, 2))
    differ = apart > SAME_RESPONSE * np.sum(irs[again] ** 2, axis=(1, 2))
    if differ.any():
        where = _direction(azimuths, elevations, again[differ])
        if not room:
            raise BadInput(f"{path} has different HRIRs at one azimuth, {where}; expected one")
        notes.append(f"{np.count_nonzero(differ)} further measurements of the same directions left out")
    azimuths, elevations, irs = (np.delete(each, again, axis=0) for each in (azimuths, elevations, irs))
    irs = _in_order(path, measured, azimuths, elevations, irs, room, notes)
    azimuths.flags.writeable = elevations.flags.writeable = irs.flags.writeable = False
    level = not elevations.any()
    hrir = HrirSet(
        name or path.name,
        measured.sample_rate,
        azimuths,
        irs,
        _digest(measured.sample_rate, *((azimuths,) if level else (azimuths, elevations)), irs),
        elevations=None if level else elevations,
        room=room,
        distances=measured.distances,
        convention=measured.convention,
        notes=tuple(notes),
    )
    if not room:
        _check_side(path, hrir)
    return hrir


def _direction(azimuths: Float64Array, elevations: Float64Array, where: Any) -> str:
    """First direction of `where`, which is a mask or indices: "30°" or "30°, elevation 10°"."""
    azimuth, elevation = azimuths[where][0], elevations[where][0]
    return f"{azimuth:g}°" + (f", elevation {elevation:g}°" if elevation else "")


def _in_order(
    path: Path,
    measured: Measured,
    azimuths: Float64Array,
    elevations: Float64Array,
    irs: Float64Array,
    room: bool,
    notes: list[str],
) -> Float64Array:
    """Return `irs` with the left ear first, if all lateral directions agree on which it is.

    If the file lists its ears and the responses show the other order, the responses are right: the ARI API 0.4 wrote
    the right ear first into whole databases whose data have the left ear first.
    """
    agree, differ = ears.compare(irs, azimuths, elevations, measured.sample_rate)
    if agree.any() and differ.any():
        # As the responses lie in the file, which is the order that its reader knows.
        wrong = agree if agree.sum() < differ.sum() else differ
        names = [_direction(azimuths, elevations, [index]) for index in np.flatnonzero(wrong)]
        listed = ("; " if elevations.any() else ", ").join([*names[:5], *["…"] * (len(names) > 5)])
        total = np.count_nonzero(agree | differ)
        raise BadInput(
            f"{path} has the ears the wrong way round at {len(names)} of {total} lateral directions: at azimuth "
            f"{listed} the far ear is earlier and louder; expected one order of the ears in the whole set"
        )
    if room and not (agree.any() or differ.any()):
        raise BadInput(f"{path} has no direction whose direct sound shows which ear is which")
    if differ.any() and measured.receivers:
        second = "left" if measured.receivers == "right" else "right"
        notes.append(
            f"the file lists the {measured.receivers} ear first, but its responses have the {second} ear first; "
            "the responses were followed"
        )
        return irs[:, ::-1]
    return irs


def _check_side(path: Path, hrir: HrirSet) -> None:
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


def _digest(sample_rate: int, *arrays: Float64Array) -> str:
    # The responses come last.
    digest = hashlib.sha256(f"{sample_rate} {arrays[-1].shape}".encode())
    for values in arrays:
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()
