"""Reading of a SOFA file with the impulse responses of two ears.

Conventions: SimpleFreeFieldHRIR for HRIRs, and several for binaural room responses (BRIRs). Room responses are found in
files of the first convention as well.

References
----------
AES69-2022, "AES standard for file exchange - Spatial acoustic data file format".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import SAMPLE_RATES
from mssbench_service.errors import BadInput, BenchError, TooLarge

from .measured import LARGEST, LONGEST, Float64Array, Measured
from .sofa_fields import Fields

CONVENTION = "SimpleFreeFieldHRIR"

ROOMS = ("SingleRoomSRIR", "SingleRoomDRIR", "SingleRoomMIMOSRIR", "MultiSpeakerBRIR")
"""Conventions of room responses. The last two have one more dimension: the loudspeakers."""

ELEVATION_TOLERANCE = 0.5
"""Largest elevation in degrees of a source on the horizontal plane."""

ROOM_ELEVATION_TOLERANCE = 10.0
"""The same in rooms, where loudspeakers and ears are seldom at exactly one height."""

RADIUS_TOLERANCE = 0.05
"""The sources at the greatest distance are preferred, since a renderer assumes the far field. Distances that differ by
less than this fraction are one distance."""

SAME_DIRECTION = 0.1
"""Sources at different distances within this angle, degrees, have one direction."""

MAX_DELAY = 1.0
"""Longest accepted ``Data.Delay``, seconds."""

_HERTZ = {"khz": 1000.0, "kilohertz": 1000.0}
_SINC_HALF = 16  # samples on either side of a fractional delay's interpolating sinc

Indices = npt.NDArray[np.intp]


def read_file(path: Path, *, sphere: bool = False) -> Measured:
    """Read the set: its horizontal plane or, with `sphere`, all directions.

    Source directions are relative to the listener's position and view. The left ear is the receiver with the larger y.
    If both are equal (the positions were not written), it is the first one, as usual; the check of the orientation of
    every set then shows whether that is right.

    The sources at the greatest distance are used. Directions that have none are taken from the distances nearest to
    it.

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
            return _measured(Fields(file, path), path, sphere)
    except BenchError:
        raise
    except Exception as error:  # HDF5 and h5py raise many kinds of errors for other files
        reason = str(error).replace(str(path), "the file") or type(error).__name__
        raise BadInput(f"{path} cannot be read as a SOFA file: {reason}") from None


def _measured(fields: Fields, path: Path, sphere: bool) -> Measured:
    convention = _convention(fields, path)
    shape, axis = _shape(fields, path)
    sample_rate = _sample_rate(fields, path)
    emitters = shape[axis] if axis else 0
    directions = _directions(fields, path, shape[0], emitters)
    chosen, notes = _chosen(directions, path, sphere, convention in ROOMS)
    irs = _responses(fields, chosen, emitters, axis)
    taps = irs.shape[2]
    if taps > LONGEST * sample_rate:
        raise BadInput(f"{path} has {taps} taps; expected at most {LONGEST:g} s of them")
    delays = _delays(fields, path, shape[0], max(emitters, 1), sample_rate)[chosen]
    if delays.size * (taps + float(delays.max())) > LARGEST:
        raise TooLarge(f"{path} holds more than {LARGEST} numbers once its delays are put in")
    irs = delayed(irs, delays)
    receivers = _first_ear(fields)
    radius = np.where(directions.unknown, np.nan, directions.radius)[chosen]
    radius = radius[np.isfinite(radius)]
    return Measured(
        sample_rate,
        directions.azimuth[chosen],
        irs[:, ::-1] if receivers == "right" else irs,
        directions.elevation[chosen] if sphere else None,
        distances=(round(float(radius.min()), 3), round(float(radius.max()), 3)) if radius.size else (),
        convention=convention,
        room=convention in ROOMS,
        receivers=receivers,
        notes=(*fields.notes, *notes),
    )


def _convention(fields: Fields, path: Path) -> str:
    convention = fields.text("SOFAConventions")
    kind = fields.text("DataType")
    if convention not in (CONVENTION, *ROOMS):
        content = "" if not kind or kind.upper().startswith("FIR") else f" with data of the type {kind}"
        raise BadInput(
            f"{path} follows the SOFA convention {convention or 'of no name'}{content}; expected {CONVENTION}, "
            f"or {', '.join(ROOMS[:-1])} or {ROOMS[-1]} with room responses at two ears"
        )
    if kind and not kind.upper().startswith("FIR"):
        raise BadInput(f"{path} has data of the type {kind}; expected FIR, impulse responses")
    return convention


def _shape(fields: Fields, path: Path) -> tuple[tuple[int, ...], int]:
    """Shape of the responses, and the axis of the loudspeakers (0: there is none)."""
    shape = fields.shape("Data.IR")
    if len(shape) not in (3, 4) or shape[1] != 2 or 0 in shape:
        raise BadInput(f"{path} has impulse responses of shape {shape}; expected (sources, 2 ears, taps)")
    if len(shape) == 3:
        return shape, 0
    count = fields.shape("EmitterPosition")[0]
    # FIRE has the loudspeakers before the taps, and FIR-E after them.
    before = fields.text("DataType").upper() == "FIRE"
    axes = [axis for axis in ((2, 3) if before else (3, 2)) if shape[axis] == count]
    if not axes:
        raise BadInput(f"{path} has {count} emitter positions and impulse responses of shape {shape}")
    return shape, axes[0]


def _responses(fields: Fields, chosen: Indices, emitters: int, axis: int) -> Float64Array:
    """The responses of the chosen pairs of measurement and loudspeaker, shape (A, 2, K)."""
    if not axis:
        return fields.rows("Data.IR", chosen)
    measurements, loudspeakers = np.divmod(chosen, emitters)
    rows, inverse = np.unique(measurements, return_inverse=True)
    stored = np.moveaxis(fields.rows("Data.IR", rows), axis, 1)
    return stored[inverse, loudspeakers]


def _delays(fields: Fields, path: Path, measurements: int, emitters: int, sample_rate: int) -> Float64Array:
    """Delays in samples, shape (measurements × emitters, 2)."""
    delays = fields.numbers("Data.Delay", default=np.zeros((1, 2)))
    found = delays.shape
    if delays.size == 2:  # the same for all sources
        delays = delays.reshape(1, 2)
    if delays.ndim == 2:
        delays = delays[:, :, None]
    try:
        delays = np.broadcast_to(delays, (measurements, 2, emitters))
    except ValueError:
        raise BadInput(f"{path} has delays of shape {found}; expected one per ear and source") from None
    if not (np.isfinite(delays) & (delays >= 0) & (delays <= MAX_DELAY * sample_rate)).all():
        raise BadInput(f"{path} has a Data.Delay that is negative or beyond {MAX_DELAY:g} s")
    return np.moveaxis(delays, 2, 1).reshape(-1, 2)


def _sample_rate(fields: Fields, path: Path) -> int:
    rates = np.unique(fields.numbers("Data.SamplingRate"))  # some files have one for each measurement
    rates = rates * _HERTZ.get(fields.text("Units", of="Data.SamplingRate").lower(), 1.0)
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


@dataclass(frozen=True, eq=False)
class _Directions:
    """Directions of all sources from the listener, in degrees and metres, each of shape (N,)."""

    azimuth: Float64Array
    elevation: Float64Array
    radius: Float64Array
    unknown: npt.NDArray[np.bool_]
    """Where the file gives the distance 0."""


def _directions(fields: Fields, path: Path, measurements: int, emitters: int) -> _Directions:
    """Directions of all pairs of measurement and loudspeaker; without `emitters`, of all measurements."""
    origin = fields.positions("ListenerPosition", default=(0.0, 0.0, 0.0))
    view = fields.positions("ListenerView", default=(1.0, 0.0, 0.0))
    if not np.allclose(view[:, 2], 0.0, atol=1e-3) or (np.hypot(view[:, 0], view[:, 1]) < 1e-6).any():
        raise BadInput(f"{path} has a listener who does not look horizontally; expected a view along x")
    # From a listener at the origin, a source at spherical distance 0 has a direction; elsewhere it is at the origin.
    nominal = 0.0 if origin.any() or emitters else 1.0
    sources, unknown = fields.directions("SourcePosition", nominal)
    sources, unknown = sources[:, None], unknown[:, None] & (nominal > 0)
    try:
        if emitters:
            sources = sources + _loudspeakers(fields, emitters)
        shape = (measurements, max(emitters, 1))
        towards = np.broadcast_to(sources - origin[:, None], (*shape, 3)).reshape(-1, 3)
        unknown = np.broadcast_to(unknown, shape).ravel()
        view = np.broadcast_to(view[:, None], (*shape, 3)).reshape(-1, 3)
    except ValueError:
        raise BadInput(
            f"{path} has not as many source positions as impulse responses ({measurements})"
        ) from None
    radius = np.linalg.norm(towards, axis=1)
    if not radius.all():
        raise BadInput(f"{path} has sources where the listener is; expected them at some distance")
    azimuth = np.arctan2(towards[:, 1], towards[:, 0]) - np.arctan2(view[:, 1], view[:, 0])
    elevation = np.arctan2(towards[:, 2], np.hypot(towards[:, 0], towards[:, 1]))
    return _Directions(np.degrees(azimuth), np.degrees(elevation), radius, unknown)


def _loudspeakers(fields: Fields, emitters: int) -> Float64Array:
    """Positions of the loudspeakers from the source's position in the room's axes, shape (M or 1, E, 3)."""
    positions = fields.positions("EmitterPosition")[:emitters]
    view = fields.positions("SourceView", default=(1.0, 0.0, 0.0))
    up = fields.positions("SourceUp", default=(0.0, 0.0, 1.0))
    side = np.cross(up, view)
    axes = np.stack(np.broadcast_arrays(view, side, np.cross(view, side)), axis=1)
    lengths = np.linalg.norm(axes, axis=2, keepdims=True)
    return positions @ (axes / np.where(lengths > 0, lengths, 1.0))


def _chosen(directions: _Directions, path: Path, sphere: bool, room: bool) -> tuple[Indices, list[str]]:
    """Indices of the sources to use, ascending, and what else there is."""
    elevation, radius = directions.elevation, directions.radius
    tolerance = ROOM_ELEVATION_TOLERANCE if room else ELEVATION_TOLERANCE
    level = np.ones(elevation.size, dtype=bool) if sphere else np.abs(elevation) <= tolerance
    if not level.any():
        nearest = float(elevation[np.argmin(np.abs(elevation))])
        raise BadInput(f"{path} has no source at elevation 0°; the nearest is at {nearest:g}°")
    notes = []
    known = level & ~directions.unknown
    farthest = float(radius[known].max()) if known.any() else 1.0
    usual = level & (directions.unknown | (radius >= farthest * (1 - RADIUS_TOLERANCE)))
    if (level & directions.unknown).any():
        notes.append(f"{np.count_nonzero(level & directions.unknown)} sources have no distance")
    others = np.flatnonzero(level & ~usual)
    taken: set[tuple[int, int]] = set()
    chosen: list[int] = []
    keys = _keys(directions)

    def take(candidates: Indices) -> list[int]:
        new = []
        for index in candidates.tolist():
            if keys[index] not in taken:
                taken.add(keys[index])
                new.append(index)
        return new

    first = np.flatnonzero(usual)
    if room:  # one direction is often measured with several loudspeakers or views
        first = first[np.argsort(np.abs(elevation[first]).round(1), kind="stable")]
        chosen = take(first)
        if len(chosen) < first.size:
            notes.append(f"{first.size - len(chosen)} further measurements of the same directions left out")
    else:
        taken.update(keys[index] for index in first.tolist())
        chosen = first.tolist()
    if others.size:
        added = take(others[np.argsort(farthest - radius[others], kind="stable")])
        left = np.setdiff1d(others, added)
        if added:
            notes.append(f"{_sources(radius[added])} used as well: no other in these directions")
        if left.size:
            notes.append(
                f"{_sources(radius[left])} left out: the same directions are there at greater distances, "
                f"up to {farthest:.3g} m"
            )
        chosen = [*chosen, *added]
    return np.sort(np.array(chosen, dtype=np.intp)), notes


def _keys(directions: _Directions) -> list[tuple[int, int]]:
    """Equal for sources of one direction."""
    elevation = np.rint(directions.elevation / SAME_DIRECTION).astype(int)
    azimuth = np.rint(directions.azimuth % 360.0 / SAME_DIRECTION).astype(int) % round(360 / SAME_DIRECTION)
    azimuth[np.abs(directions.elevation) > 90 - SAME_DIRECTION] = 0
    return list(zip(azimuth.tolist(), elevation.tolist(), strict=True))


def _sources(radius: Float64Array) -> str:
    low, high = radius.min(), radius.max()
    where = f"{low:.3g} m" if high - low < 0.005 else f"{low:.3g} to {high:.3g} m"
    return f"{radius.size} sources at {where}" if radius.size > 1 else f"1 source at {where}"


def _first_ear(fields: Fields) -> str:
    """The ear of the first receiver, "left" or "right", or "" if the positions do not tell."""
    receivers = fields.positions("ReceiverPosition", default=(0.0, 0.0, 0.0))
    if receivers.shape[0] != 2 or abs(receivers[1, 1] - receivers[0, 1]) <= 1e-6:
        return ""
    return "right" if receivers[1, 1] > receivers[0, 1] else "left"
