"""Reading of the horizontal plane of a SOFA file of the convention SimpleFreeFieldHRIR.

A SOFA file is a netCDF-4 file, and so an HDF5 file. A malicious one can refer to any other file of the machine, or
claim terabytes of numbers in a kilobyte. So the few fields of a set are checked before any of their numbers is read,
and nothing else in the file is read.

References
----------
AES69-2022, "AES standard for file exchange - Spatial acoustic data file format".
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mssbench_service.audio import SAMPLE_RATES
from mssbench_service.errors import BadInput, BenchError, TooLarge

from .measured import LARGEST, LONGEST, Float64Array, Measured

if TYPE_CHECKING:
    import h5py

CONVENTION = "SimpleFreeFieldHRIR"

ELEVATION_TOLERANCE = 0.5
"""Largest elevation in degrees of a source on the horizontal plane."""

RADIUS_TOLERANCE = 0.05
"""The sources at the greatest distance are used, since a renderer assumes the far field. Distances that differ by less
than this fraction are one distance."""

MAX_DELAY = 1.0
"""Longest accepted ``Data.Delay``, seconds."""

MOST_CHUNKS = 1 << 16
"""Largest number of chunks of a field, several for each measurement of the largest sets. Each takes time and memory,
also if it was never written."""

LONGEST_TEXT = 1000
"""Longest attribute in bytes: the name of a convention, or of a kind of coordinates."""

_NEVER_WRITTEN = 1e30  # netCDF's fill value of unwritten numbers is larger, and no pressure or position is
_FARTHEST = 1e6  # metres or degrees
_SINC_HALF = 16  # samples on either side of a fractional delay's interpolating sinc


def read_file(path: Path) -> Measured:
    """Read the set.

    Source directions are relative to the listener's position and view. The left ear is the receiver with the larger y.
    If both are equal (the positions were not written), it is the first one, as usual; the check of the orientation of
    every set then shows whether that is right.

    Raises
    ------
    BadInput
        The file is not a SOFA file, has another convention, not two receivers or no source on the horizontal plane,
        or a field is not valid or is stored in another file. The message names the file.
    TooLarge
        It has more than :data:`synth_service.measured.LARGEST` numbers.
    """
    # Imported here, since the import is slow and most uses of this package do not need it.
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            return _measured(_Fields(file, path), path)
    except BenchError:
        raise
    except Exception as error:  # HDF5 and h5py raise many kinds of errors for other files
        reason = str(error).replace(str(path), "the file") or type(error).__name__
        raise BadInput(f"{path} cannot be read as a SOFA file: {reason}") from None


def _measured(fields: _Fields, path: Path) -> Measured:
    convention = fields.text("SOFAConventions")
    if convention != CONVENTION:
        raise BadInput(
            f"{path} follows the SOFA convention {convention or 'of no name'}; expected {CONVENTION}"
        )
    irs = fields.numbers("Data.IR")
    if irs.ndim != 3 or irs.shape[1] != 2 or irs.size == 0:
        raise BadInput(f"{path} has impulse responses of shape {irs.shape}; expected (sources, 2 ears, taps)")
    sample_rate = _sample_rate(fields, path)
    if irs.shape[2] > LONGEST * sample_rate:
        raise BadInput(f"{path} has {irs.shape[2]} taps; expected at most {LONGEST:g} s of them")
    azimuths, chosen = _horizontal_plane(fields, path, irs.shape[0])
    delays = fields.numbers("Data.Delay", default=np.zeros((1, 2)))
    if delays.size == 2:  # the same for all sources
        delays = delays.reshape(1, 2)
    try:
        delays = np.broadcast_to(delays, irs.shape[:2])[chosen]
    except ValueError:
        found = f"delays of shape {delays.shape}"
        raise BadInput(f"{path} has {found}; expected one per ear and source") from None
    if not (np.isfinite(delays) & (delays >= 0) & (delays <= MAX_DELAY * sample_rate)).all():
        raise BadInput(f"{path} has a Data.Delay that is negative or beyond {MAX_DELAY:g} s")
    if delays.size * (irs.shape[2] + float(delays.max())) > LARGEST:
        raise TooLarge(f"{path} holds more than {LARGEST} numbers once its delays are put in")
    ears = _ears(fields, path)
    return Measured(sample_rate, azimuths, delayed(irs[chosen], delays)[:, ears])


def _sample_rate(fields: _Fields, path: Path) -> int:
    rates = np.unique(fields.numbers("Data.SamplingRate"))  # some files have one for each measurement
    lowest, highest = SAMPLE_RATES
    if rates.size != 1 or not lowest <= rates[0] <= highest or rates[0] != np.round(rates[0]):
        found = ", ".join(f"{value:g}" for value in rates[:3])
        raise BadInput(f"{path} has the sampling rate {found or 'none'}; expected one whole number of Hz")
    return round(float(rates[0]))


def delayed(irs: Float64Array, delays: Float64Array) -> Float64Array:
    """Apply delays to impulse responses.

    Parameters
    ----------
    irs : array, shape (A, 2, K)
    delays : array, shape (A, 2)
        Samples, zero or more. Fractions are interpolated with a windowed sinc, which needs room: if there are any,
        all responses are delayed by 16 more samples, which does not change their differences.

    Returns
    -------
    array, shape (A, 2, K + extra)
        The same object if there are no delays.
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


class _Fields:
    """The fields of an open file. Each is checked before it is read."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self._room = LARGEST

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def numbers(self, name: str, default: Float64Array | None = None) -> Float64Array:
        """The field's values; unwritten ones are NaN, which every check refuses."""
        if name not in self and default is not None:
            return default
        stored = self._stored(name)
        if stored.dtype.kind not in "fiu":
            raise BadInput(f"{self._path} has a {name} that is not numeric")
        self._check_size(name, stored)
        values = np.asarray(stored[()], dtype=np.float64)
        values[np.abs(values) > _NEVER_WRITTEN] = np.nan
        return values

    def text(self, name: str, of: str = "") -> str:
        """The attribute `name` of the file or of the field `of`, in one line; empty if there is none."""
        import h5py

        holder = self._stored(of) if of else self._file
        if name not in holder.attrs:
            return ""
        if h5py.h5a.open(holder.id, name.encode()).get_storage_size() > LONGEST_TEXT:
            raise BadInput(f"{self._path} has an attribute {name} of more than {LONGEST_TEXT} bytes")
        value = np.ravel(holder.attrs[name])[:1]  # some programs write a list of one string
        text = value[0] if value.size else ""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        return " ".join(text.split())[:100]

    def _stored(self, name: str) -> h5py.Dataset:
        import h5py

        link = self._file.get(name, getlink=True)
        if link is None:
            raise BadInput(f"{self._path} has no {name}; a {CONVENTION} file needs it")
        # Other kinds of links refer to another file, or to another name in this one. No SOFA file needs them.
        stored = self._file[name] if isinstance(link, h5py.HardLink) else None
        if stored is not None and not isinstance(stored, h5py.Dataset):
            raise BadInput(f"{self._path} has a {name} that is not numeric")
        if stored is None or stored.is_virtual or stored.external:
            raise BadInput(f"{self._path} keeps its {name} somewhere else; expected the numbers in the file")
        return stored

    def _check_size(self, name: str, stored: h5py.Dataset) -> None:
        """Raise ``TooLarge`` for a field that a small file claims, for example with compressed zeros."""
        chunk = stored.chunks or ()
        pieces = math.prod(math.ceil(n / each) for n, each in zip(stored.shape, chunk, strict=False))
        claimed = max(math.prod(stored.shape), math.prod(chunk))  # a chunk may be larger than its field
        if claimed > self._room:
            raise TooLarge(
                f"{self._path} holds {claimed} numbers in {name}; at most {LARGEST} are accepted in all"
            )
        if pieces > MOST_CHUNKS:
            raise TooLarge(f"{self._path} has {name} in {pieces} pieces; at most {MOST_CHUNKS} are accepted")
        self._room -= claimed


def _horizontal_plane(fields: _Fields, path: Path, sources: int) -> tuple[Float64Array, Any]:
    """Azimuths in degrees of the sources to use, and their indices."""
    origin = _positions(fields, "ListenerPosition", path, default=(0.0, 0.0, 0.0))
    view = _positions(fields, "ListenerView", path, default=(1.0, 0.0, 0.0))
    if not np.allclose(view[:, 2], 0.0, atol=1e-3) or (np.hypot(view[:, 0], view[:, 1]) < 1e-6).any():
        raise BadInput(f"{path} has a listener who does not look horizontally; expected a view along x")
    try:
        towards, view = np.broadcast_arrays(_positions(fields, "SourcePosition", path) - origin, view)
        towards, view = (np.broadcast_to(vectors, (sources, 3)) for vectors in (towards, view))
    except ValueError:
        raise BadInput(f"{path} has not as many source positions as impulse responses ({sources})") from None
    radius = np.linalg.norm(towards, axis=1)
    if not radius.all():
        raise BadInput(f"{path} has sources where the listener is; expected them at some distance")
    elevation = np.degrees(np.arctan2(towards[:, 2], np.hypot(towards[:, 0], towards[:, 1])))
    level = np.abs(elevation) <= ELEVATION_TOLERANCE
    if not level.any():
        nearest = float(elevation[np.argmin(np.abs(elevation))])
        raise BadInput(f"{path} has no source at elevation 0°; the nearest is at {nearest:g}°")
    chosen = np.flatnonzero(level & (radius >= radius[level].max() * (1 - RADIUS_TOLERANCE)))
    azimuths = np.arctan2(towards[:, 1], towards[:, 0]) - np.arctan2(view[:, 1], view[:, 0])
    return np.degrees(azimuths)[chosen], chosen


def _ears(fields: _Fields, path: Path) -> list[int]:
    """Index of the left and of the right ear's receiver."""
    receivers = _positions(fields, "ReceiverPosition", path, default=(0.0, 0.0, 0.0))
    if receivers.shape[0] != 2:
        return [0, 1]
    return [1, 0] if receivers[1, 1] > receivers[0, 1] + 1e-6 else [0, 1]


def _positions(
    fields: _Fields, name: str, path: Path, default: tuple[float, ...] | None = None
) -> Float64Array:
    """Cartesian positions, shape (N, 3), from cartesian or spherical coordinates."""
    if default is not None and name not in fields:
        return np.array([default])
    values = fields.numbers(name)
    if (
        values.ndim == 3 and values.shape[2]
    ):  # receivers may move with the measurement; HRIR sets do not use that
        values = values[:, :, 0]
    values = np.atleast_2d(values)
    if values.ndim != 2 or values.shape[1] != 3 or not (np.abs(values) <= _FARTHEST).all():
        raise BadInput(f"{path} has a {name} of shape {values.shape}; expected three finite coordinates")
    kind = (fields.text("Type", of=name) or "cartesian").lower()
    if kind == "cartesian":
        return values
    if kind != "spherical":
        raise BadInput(f"{path} gives {name} in {kind!r} coordinates; expected cartesian or spherical")
    if (values[:, 2] < 0).any():
        raise BadInput(f"{path} has a {name} at a negative distance")
    azimuth, elevation = np.radians(values[:, 0]), np.radians(values[:, 1])
    direction = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
    return np.stack(direction, axis=1) * values[:, 2:]
