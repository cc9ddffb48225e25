"""The fields of a SOFA file, read without trusting it.

A SOFA file is a netCDF-4 file, and so an HDF5 file. A malicious one can refer to any other file of the machine, or
claim terabytes of numbers in a kilobyte. So the few fields of a set are checked before any of their numbers is read,
and nothing else in the file is read.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from mssbench_service.errors import BadInput, TooLarge

from .measured import LARGEST, Float64Array

if TYPE_CHECKING:
    import h5py

MOST_CHUNKS = 1 << 16
"""Largest number of chunks of a field, several for each measurement of the largest sets. Each takes time and memory,
also if it was never written."""

LONGEST_TEXT = 1000
"""Longest attribute in bytes: the name of a convention, or of a kind of coordinates."""

_NEVER_WRITTEN = 1e30  # netCDF's fill value of unwritten numbers is larger, and no pressure or position is
_FARTHEST = 1e6  # metres or degrees
_MOST_ROWS = 1000  # HDF5 takes long to select more rows than these one by one

_ANGLES = {"degree": 1.0, "degrees": 1.0, "deg": 1.0, "°": 1.0} | dict.fromkeys(
    ("radian", "radians", "rad"), 180 / math.pi
)
_LENGTHS = {
    name: scale
    for names, scale in (
        ("metre metres meter meters m", 1.0),
        ("centimetre centimetres centimeter centimeters cm", 1e-2),
        ("millimetre millimetres millimeter millimeters mm", 1e-3),
    )
    for name in names.split()
}


class Fields:
    """The fields of an open file. Each is checked before it is read.

    `notes` lists the fields that were converted to other units.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path
        self._room = LARGEST
        self.notes: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def shape(self, name: str) -> tuple[int, ...]:
        """The field's shape."""
        return tuple(int(n) for n in self._numeric(name).shape)

    def numbers(self, name: str, default: Float64Array | None = None) -> Float64Array:
        """The field's values; unwritten ones are NaN, which every check refuses."""
        if name not in self and default is not None:
            return default
        return self.rows(name, None)

    def rows(self, name: str, chosen: npt.NDArray[np.intp] | None) -> Float64Array:
        """The values of the rows `chosen`, ascending, or of all rows."""
        stored = self._numeric(name)
        if chosen is not None and (chosen.size == stored.shape[0] or chosen.size > _MOST_ROWS):
            values = self.rows(name, None)
            return values if chosen.size == values.shape[0] else values[chosen]
        self._check_size(name, stored, None if chosen is None else chosen.size)
        values = np.asarray(stored[() if chosen is None else chosen], dtype=np.float64)
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
        if isinstance(holder.attrs[name], h5py.Empty):
            return ""
        value = np.ravel(holder.attrs[name])[:1]  # some programs write a list of one string
        text = value[0] if value.size else ""
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        return " ".join(text.split())[:100]

    def positions(self, name: str, default: tuple[float, ...] | None = None) -> Float64Array:
        """Cartesian positions in metres, shape (N, 3), from cartesian or spherical coordinates."""
        if default is not None and name not in self:
            return np.array([default])
        return self.directions(name, nominal=0.0)[0]

    def directions(self, name: str, nominal: float = 1.0) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
        """As :meth:`positions`, and which of them are at spherical distance 0.

        Those have a direction all the same; they are returned at the distance `nominal`, m.
        """
        values, spherical = self._coordinates(name)
        unknown = (values[:, 2] == 0.0) & spherical
        if not spherical:
            return values, unknown
        azimuth, elevation = np.radians(values[:, :2]).T
        level = np.cos(elevation)
        direction = np.stack((level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)), axis=1)
        return direction * np.where(unknown, nominal, values[:, 2])[:, None], unknown

    def _coordinates(self, name: str) -> tuple[Float64Array, bool]:
        """Coordinates in degrees and metres, shape (N, 3), and whether they are spherical."""
        values = self.numbers(name)
        if values.ndim == 3 and values.shape[2]:
            # Receivers may move with the measurement; HRIR sets do not use that.
            values = values[:, :, 0]
        values = np.atleast_2d(values)
        if values.ndim != 2 or values.shape[1] != 3 or not (np.abs(values) <= _FARTHEST).all():
            raise BadInput(
                f"{self._path} has a {name} of shape {values.shape}; expected three finite coordinates"
            )
        kind = (self.text("Type", of=name) or "cartesian").lower()
        if kind not in ("cartesian", "spherical"):
            raise BadInput(
                f"{self._path} gives {name} in {kind!r} coordinates; expected cartesian or spherical"
            )
        spherical = kind == "spherical"
        units = self.text("Units", of=name)
        scales = self._scales(name, units, spherical)
        if scales != [1.0] * 3:
            values = values * scales
            self.notes.append(f"{name} was converted from {units}")
            if spherical and scales[0] != 1.0:
                values[:, :2] = np.round(values[:, :2], 4)  # radians in 32 bits have no more digits
        if spherical and (values[:, 2] < 0).any():
            raise BadInput(f"{self._path} has a {name} at a negative distance")
        return values, spherical

    def _scales(self, name: str, units: str, spherical: bool) -> list[float]:
        """Factors to degrees and metres."""
        words = re.split(r"[\s,;]+", units.strip(" ,;").lower()) if units else []
        tables = [_ANGLES, _ANGLES, _LENGTHS] if spherical else [_LENGTHS] * 3
        # Of views and ears only the direction counts, and files name any unit for it.
        if not words or (name.endswith(("View", "Up", "ReceiverPosition")) and not spherical):
            return [1.0] * 3
        if len(words) == 2:
            words = [words[0], *words]
        words = words * 3 if len(words) == 1 and not spherical else words
        if len(words) != 3 or any(word not in table for word, table in zip(words, tables, strict=True)):
            expected = "degree, degree, metre" if spherical else "metre"
            raise BadInput(f"{self._path} gives {name} in {units}; expected {expected}")
        return [table[word] for word, table in zip(words, tables, strict=True)]

    def _numeric(self, name: str) -> h5py.Dataset:
        stored = self._stored(name)
        if stored.dtype.kind not in "fiu":
            raise BadInput(f"{self._path} has a {name} that is not numeric")
        return stored

    def _stored(self, name: str) -> h5py.Dataset:
        import h5py

        link = self._file.get(name, getlink=True)
        if link is None:
            raise BadInput(f"{self._path} has no {name}; a SimpleFreeFieldHRIR file needs it")
        # Other kinds of links refer to another file, or to another name in this one. No SOFA file needs them.
        stored = self._file[name] if isinstance(link, h5py.HardLink) else None
        if stored is not None and not isinstance(stored, h5py.Dataset):
            raise BadInput(f"{self._path} has a {name} that is not numeric")
        if stored is None or stored.is_virtual or stored.external:
            raise BadInput(f"{self._path} keeps its {name} somewhere else; expected the numbers in the file")
        return stored

    def _check_size(self, name: str, stored: h5py.Dataset, rows: int | None) -> None:
        """Raise ``TooLarge`` for a field that a small file claims, for example with compressed zeros."""
        chunk: tuple[Any, ...] = stored.chunks or ()
        pieces = math.prod(math.ceil(n / each) for n, each in zip(stored.shape, chunk, strict=False))
        shape = stored.shape if rows is None else (rows, *stored.shape[1:])
        claimed = max(math.prod(shape), math.prod(chunk))  # a chunk may be larger than its field
        if claimed > self._room:
            raise TooLarge(
                f"{self._path} holds {claimed} numbers in {name}; at most {LARGEST} are accepted in all"
            )
        if pieces > MOST_CHUNKS:
            raise TooLarge(f"{self._path} has {name} in {pieces} pieces; at most {MOST_CHUNKS} are accepted")
        self._room -= claimed
