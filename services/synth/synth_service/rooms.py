"""A rectangular room around the listener: image sources of pyroomacoustics, each through the listener's HRIR.

References
----------
Allen & Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4), 1979.
Scheibler, Bezzam & Dokmanić, "Pyroomacoustics: a Python package for audio room simulation and array processing
algorithms", ICASSP 2018.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from mssbench_service.errors import BadInput, TooLarge
from mssbench_service.wire import Room
from scipy.optimize import bisect
from scipy.signal import butter, oaconvolve, sosfilt
from scipy.spatial import KDTree

from .hrir import HrirSet
from .interpolation import unit_vectors
from .measured import Float64Array
from .sphere import SPEED_OF_SOUND

HEAD = 0.1
"""Smallest distance of the listener from a wall, m: more than the radius of a head."""

MOST_IMAGES = 2_000_000

LONGEST_RT60 = 10.0
"""Seconds."""

_SINC_HALF = 16  # samples on either side of a fractional delay's interpolating sinc
_BLOCK = 1 << 16  # images
_LOWEST = 20.0  # Hz
_BINS = 2000  # of the reverberation time


def check_room(room: Room) -> None:
    """Raise ``BadInput`` for a room that cannot be simulated."""
    size, position = room.size, room.position
    if len(size) != 3 or len(position) != 3 or not np.isfinite([*size, *position]).all():
        raise BadInput("a room needs a size and a position of three numbers in metres each")
    if not (math.isfinite(room.rt60) and 0 <= room.rt60 <= LONGEST_RT60):
        raise BadInput(f"an RT60 of {room.rt60:g} s is impossible here; expected 0 to {LONGEST_RT60:g} s")
    if not (math.isfinite(room.distance) and room.distance >= HEAD):
        raise BadInput(
            f"the sources are at {room.distance:g} m; expected at least {HEAD:g} m, outside the head"
        )
    where = " x ".join(f"{length:g}" for length in size)
    if min(size) < 2 * HEAD:
        raise BadInput(f"the room of {where} m is smaller than a head")
    if any(not HEAD <= at <= length - HEAD for at, length in zip(position, size, strict=True)):
        at = ", ".join(f"{each:g}" for each in position)
        raise BadInput(
            f"the listener at {at} m is not in the room of {where} m, or closer to a wall than {HEAD:g} m"
        )
    if _images(room) > MOST_IMAGES:
        raise TooLarge(
            f"an RT60 of {room.rt60:g} s in a room of {where} m takes about {_images(room):.0f} image sources; at most "
            f"{MOST_IMAGES} are computed"
        )


def check_set(hrir: HrirSet) -> None:
    """Raise ``BadInput`` for a set that is in a room already."""
    if hrir.room:
        raise BadInput(f"{hrir.name} is a set of room responses; expected HRIRs for a simulated room")


def source_position(room: Room, azimuth: float, elevation: float) -> Float64Array:
    """Position of a source in m. Raises ``BadInput`` where it is outside of the room."""
    source = np.array(room.position, dtype=np.float64) + room.distance * unit_vectors(azimuth, elevation)
    if not ((source > 0) & (source < room.size)).all():
        raise BadInput(
            f"a source at azimuth {azimuth:g}°, elevation {elevation:g}° and {room.distance:g} m is outside of the room"
        )
    return np.asarray(source)


def response(
    room: Room, hrir: HrirSet, azimuth: float, elevation: float = 0.0
) -> tuple[Float64Array, Float64Array]:
    """Response at the ears to a source in the room.

    The listener looks along the length of the room, x. The walls absorb alike at all frequencies; a reverberation
    time of 0 s is the open air. The direct sound has the level and the delay of the HRIR. Every image has the nearest
    HRIR.

    Parameters
    ----------
    room : Room
    hrir : HrirSet
        Not one of room responses.
    azimuth, elevation : float
        Direction of the source in degrees.

    Returns
    -------
    whole, direct : array, shape (2, L) and (2, K)
        The direct sound is the first part of the whole.

    Raises
    ------
    BadInput
        The room is impossible, or the source is outside of it.
    """
    check_room(room)
    check_set(hrir)
    listener = np.array(room.position, dtype=np.float64)
    source = source_position(room, azimuth, elevation)
    index, _ = hrir.nearest(azimuth, elevation)
    direct = np.array(hrir.irs[index])
    if room.rt60 == 0:
        return direct, direct
    towards, strength = _reflections(room, source, listener)
    distance = np.linalg.norm(towards, axis=1)
    delay = (distance - room.distance) / SPEED_OF_SOUND * hrir.sample_rate
    strength = strength * room.distance / distance
    heard = delay <= room.rt60 * hrir.sample_rate
    towards, delay, strength = towards[heard] / distance[heard, None], delay[heard], strength[heard]
    length = round(room.rt60 * hrir.sample_rate) + _SINC_HALF + 1
    elevations = np.zeros_like(hrir.azimuths) if hrir.elevations is None else hrir.elevations
    nearest = KDTree(unit_vectors(hrir.azimuths, elevations)).query(towards)[1]
    whole = np.zeros((2, length + direct.shape[1] - 1))
    order = np.argsort(nearest, kind="stable")
    limits = np.searchsorted(nearest[order], np.arange(len(hrir.irs) + 1))
    for which in np.unique(nearest).tolist():
        mine = order[limits[which] : limits[which + 1]]
        whole += oaconvolve(_train(delay[mine], strength[mine], length)[None], hrir.irs[which], axes=1)
    # All impulses are positive, so that many images add up to a constant, which no room has.
    whole = sosfilt(butter(2, _LOWEST, "highpass", fs=hrir.sample_rate, output="sos"), whole)
    whole[:, : direct.shape[1]] += direct
    return whole, direct


def _reflections(
    room: Room, source: Float64Array, listener: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Vectors from the listener to the images, shape (N, 3), and their strengths without attenuation by distance."""
    # Imported here, since the import is slow and most renderings are not in a room.
    import pyroomacoustics  # type: ignore[import-untyped]

    shoebox = pyroomacoustics.ShoeBox(
        np.array(room.size, dtype=np.float64), max_order=_order(room), air_absorption=False
    )
    shoebox.add_source(source)
    shoebox.add_microphone(listener)
    shoebox.image_source_model()
    images = shoebox.sources[0]
    reflected = images.orders > 0
    towards = images.images.T[reflected].astype(np.float64) - listener
    orders = images.orders[reflected].astype(np.intp)
    return towards, _reflection(room, np.linalg.norm(towards, axis=1), orders) ** orders


def _reflection(room: Room, distance: Float64Array, orders: npt.NDArray[np.intp]) -> float:
    """Reflection factor of the walls for which the reverberation lasts as long as requested.

    It is the one by Eyring's formula or a lower one: in rooms that are not cubes, image sources decay more slowly than
    the formula says. The decay is measured from −5 to −35 dB.
    """
    volume = math.prod(room.size)
    surface = 2 * sum(volume / length for length in room.size)
    highest = math.exp(-12 * math.log(10) / SPEED_OF_SOUND * volume / surface / room.rt60)
    bins = (distance / SPEED_OF_SOUND / room.rt60 * _BINS).astype(np.intp)
    heard = bins < _BINS
    cells = orders[heard] * _BINS + bins[heard]
    of_order = np.bincount(cells, distance[heard] ** -2.0, minlength=(orders.max(initial=0) + 1) * _BINS)
    of_order = of_order.reshape(-1, _BINS)
    powers = np.arange(len(of_order))

    def share(factor: float) -> float:
        """Measured reverberation time as a share of the requested one."""
        decay = np.cumsum((factor ** (2 * powers) @ of_order)[::-1])[::-1]
        if decay[0] == 0.0:
            return 0.0
        level = 10 * np.log10(decay / decay[0] + 1e-20)
        return 2.0 * float(np.argmax(level < -35) - np.argmax(level < -5)) / _BINS

    if share(highest) <= 1.0:
        return highest
    return float(bisect(lambda factor: share(factor) - 1.0, 1e-3 * highest, highest, xtol=1e-4 * highest))


def _order(room: Room) -> int:
    """Reflections until the reverberation has decayed by 60 dB."""
    return math.ceil((room.rt60 * SPEED_OF_SOUND + room.distance) / min(room.size))


def _images(room: Room) -> float:
    return 4 / 3 * float(_order(room)) ** 3


def _train(delays: Float64Array, strengths: Float64Array, length: int) -> Float64Array:
    """Impulses at fractions of samples."""
    train = np.zeros(length)
    offset = np.arange(-_SINC_HALF, _SINC_HALF + 1)
    for start in range(0, delays.size, _BLOCK):
        delay, strength = delays[start : start + _BLOCK], strengths[start : start + _BLOCK]
        whole = np.floor(delay).astype(np.intp)
        position = offset - (delay - whole)[:, None]
        window = np.cos(np.pi * position / (2 * (_SINC_HALF + 1))) ** 2
        taps = np.sinc(position) * window * strength[:, None]
        index = whole[:, None] + offset
        inside = (index >= 0) & (index < length)
        train += np.bincount(index[inside], taps[inside], minlength=length)
    return train
