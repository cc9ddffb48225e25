"""Reading the horizontal plane of a SOFA file of the convention SimpleFreeFieldHRIR.

References
----------
AES69-2022, "AES standard for file exchange - Spatial acoustic data file format".
"""

from __future__ import annotations

import math
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from mssbench_service.errors import BadInput, TooLarge

from .measured import Float64Array, Measured

CONVENTION = "SimpleFreeFieldHRIR"

ELEVATION_TOLERANCE = 0.5
"""Sources this near to the horizontal plane belong to it, degrees."""

RADIUS_TOLERANCE = 0.05
"""Of several source distances the farthest counts (the far field is what a renderer assumes), and with it
those within this fraction of it (the same distance, measured imprecisely)."""

MAX_DELAY = 1.0
"""Longest ``Data.Delay`` that is believed, seconds."""

LARGEST = 1 << 28
"""Numbers that a file may hold, which is 2 GiB of them; a hundred times what the sets of whole spheres do."""

_HIGHEST_RATE = 1e6  # Hz
_SINC_HALF = 16  # samples on either side of a fractional delay's interpolating sinc
_one_at_a_time = threading.Lock()  # neither the HDF5 library nor warnings.catch_warnings() is thread-safe


def read_file(path: Path) -> Measured:
    """Read the set.

    Source directions count relative to the listener's position and view. The left ear is the receiver with
    the larger y; where they have the same (the positions were never filled in) it is the first, as is the
    custom, and the check of the orientation that follows on every set tells whether that was right.

    Raises
    ------
    BadInput
        Not a SOFA file, another convention, not two receivers, no source on the horizontal plane, or a
        field that cannot be understood. The message names the file.
    TooLarge
        It holds more than :data:`LARGEST` numbers.
    """
    sofa = _open(path)
    convention = getattr(sofa, "GLOBAL_SOFAConventions", None)
    if convention != CONVENTION:
        raise BadInput(f"{path} follows the SOFA convention {convention}; expected {CONVENTION}")
    irs = _array(sofa, "Data_IR", path)
    if irs.ndim != 3 or irs.shape[1] != 2:
        raise BadInput(f"{path} has impulse responses of shape {irs.shape}; expected (sources, 2 ears, taps)")
    azimuths, chosen = _horizontal_plane(sofa, path, irs.shape[0])
    rate = _array(sofa, "Data_SamplingRate", path)
    rates = np.unique(rate)  # some files give it once for every measurement
    if rates.size != 1 or not 0 < rates[0] < _HIGHEST_RATE or rates[0] != np.round(rates[0]):
        found = ", ".join(f"{value:g}" for value in rates[:3])
        raise BadInput(f"{path} has the sampling rate {found or 'none'}; expected one whole number of Hz")
    sample_rate = round(float(rates[0]))
    delays = _array(sofa, "Data_Delay", path, default=np.zeros((1, 2)))
    if delays.size == 2:  # the same for all sources
        delays = delays.reshape(1, 2)
    try:
        delays = np.broadcast_to(delays, irs.shape[:2])[chosen]
    except ValueError:
        found = f"delays of shape {delays.shape}"
        raise BadInput(f"{path} has {found}; expected one per ear and source") from None
    if not (np.isfinite(delays) & (delays >= 0) & (delays <= MAX_DELAY * sample_rate)).all():
        raise BadInput(f"{path} has a Data.Delay that is negative or beyond {MAX_DELAY:g} s")
    ears = _ears(sofa, path)
    return Measured(sample_rate, azimuths, delayed(irs[chosen], delays)[:, ears])


def delayed(irs: Float64Array, delays: Float64Array) -> Float64Array:
    """Impulse responses with their delays put in.

    Parameters
    ----------
    irs : array, shape (A, 2, K)
    delays : array, shape (A, 2)
        Samples, zero or more. Fractions are interpolated with a windowed sinc, which needs room: if there
        are any, all responses come 16 samples later, which they share and which therefore means nothing.

    Returns
    -------
    array, shape (A, 2, K + extra)
        The same object where there is no delay.
    """
    if not delays.any():
        return irs
    whole = np.floor(delays)
    fractions = delays - whole
    offset = np.arange(-_SINC_HALF, _SINC_HALF + 1)
    kernel_length = offset.size if fractions.any() else 1
    taps = irs.shape[2] + int(whole.max()) + kernel_length - 1
    result = np.zeros((*irs.shape[:2], taps))
    for where in np.ndindex(irs.shape[:2]):
        ir = irs[where]
        if kernel_length > 1:
            position = offset - fractions[where]
            window = np.cos(np.pi * position / (2 * (_SINC_HALF + 1))) ** 2
            ir = np.convolve(ir, np.sinc(position) * window)
        start = int(whole[where])
        result[where][start : start + ir.size] = ir
    return result


def _open(path: Path) -> Any:
    # Imported here: it takes half a second, which most uses of this package never need.
    import netCDF4
    import sofar

    if path.suffix != ".sofa":  # sofar would look for another file, with that suffix
        raise BadInput(f"{path} is neither a folder nor a file called *.sofa")
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # A file of compressed zeros is small, whatever it becomes: its sizes are looked at before its content.
            with netCDF4.Dataset(path) as stored:
                numbers = sum(math.prod(variable.shape) for variable in stored.variables.values())
            if numbers > LARGEST:
                raise TooLarge(f"{path} holds {numbers} numbers; at most {LARGEST} are accepted")
            # Not verified as a whole: many a published file misses some attribute that means nothing here.
            return sofar.read_sofa(str(path), verify=False, verbose=False)
        except TooLarge:
            raise
        except Exception as error:  # whatever sofar, netCDF or HDF5 make of a file that is something else
            reason = str(error).replace(str(path), "the file") or type(error).__name__
            raise BadInput(f"{path} cannot be read as a SOFA file: {reason}") from None


def _array(sofa: Any, name: str, path: Path, default: Float64Array | None = None) -> Float64Array:
    value = getattr(sofa, name, default)
    field = name.replace("_", ".")
    if value is None:
        raise BadInput(f"{path} has no {field}; a {CONVENTION} file needs it")
    try:
        # Values that netCDF marks as missing become NaN, which no check passes.
        return np.ma.filled(np.ma.asarray(value, dtype=np.float64), np.nan)
    except (TypeError, ValueError):
        raise BadInput(f"{path} has a {field} that is not numeric") from None


def _horizontal_plane(sofa: Any, path: Path, sources: int) -> tuple[Float64Array, Any]:
    """Azimuths in degrees of the sources to use, and their indices."""
    origin = _positions(sofa, "ListenerPosition", path, default=(0.0, 0.0, 0.0))
    view = _positions(sofa, "ListenerView", path, default=(1.0, 0.0, 0.0))
    if not np.allclose(view[:, 2], 0.0, atol=1e-3) or (np.hypot(view[:, 0], view[:, 1]) < 1e-6).any():
        raise BadInput(f"{path} has a listener who does not look horizontally; expected a view along x")
    try:
        towards, view = np.broadcast_arrays(_positions(sofa, "SourcePosition", path) - origin, view)
        towards, view = (np.broadcast_to(vectors, (sources, 3)) for vectors in (towards, view))
    except ValueError:
        raise BadInput(f"{path} has not as many source positions as impulse responses ({sources})") from None
    radius = np.linalg.norm(towards, axis=1)
    elevation = np.degrees(np.arctan2(towards[:, 2], np.hypot(towards[:, 0], towards[:, 1])))
    level = np.abs(elevation) <= ELEVATION_TOLERANCE
    if not level.any():
        nearest = float(elevation[np.argmin(np.abs(elevation))])
        raise BadInput(f"{path} has no source at elevation 0°; the nearest is at {nearest:g}°")
    chosen = np.flatnonzero(level & (radius >= radius[level].max() * (1 - RADIUS_TOLERANCE)))
    azimuths = np.arctan2(towards[:, 1], towards[:, 0]) - np.arctan2(view[:, 1], view[:, 0])
    return np.degrees(azimuths)[chosen], chosen


def _ears(sofa: Any, path: Path) -> list[int]:
    """Index of the left and of the right ear's receiver."""
    receivers = _positions(sofa, "ReceiverPosition", path, default=(0.0, 0.0, 0.0))
    if receivers.shape[0] != 2:
        return [0, 1]
    return [1, 0] if receivers[1, 1] > receivers[0, 1] + 1e-6 else [0, 1]


def _positions(sofa: Any, name: str, path: Path, default: tuple[float, ...] | None = None) -> Float64Array:
    """Cartesian positions, shape (N, 3), whichever coordinates the file has."""
    if default is not None and not hasattr(sofa, name):
        return np.array([default])
    values = _array(sofa, name, path)
    if values.ndim == 3:  # receivers may move with the measurement; HRIR sets do not use that
        values = values[:, :, 0]
    values = np.atleast_2d(values)
    if values.shape[1] != 3 or not np.isfinite(values).all():
        raise BadInput(f"{path} has a {name} of shape {values.shape}; expected three finite coordinates")
    kind = str(getattr(sofa, f"{name}_Type", "cartesian")).strip().lower()
    if kind == "cartesian":
        return values
    if kind != "spherical":
        raise BadInput(f"{path} gives {name} in {kind!r} coordinates; expected cartesian or spherical")
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    direction = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
    return np.stack(direction, axis=1) * values[:, 2:]
