"""HRIRs as a reader of files returns them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

LONGEST = 10.0
"""Longest impulse response in seconds, more than any room needs."""

LARGEST = 1 << 25
"""Largest set in numbers (256 MiB); full spheres at 96 kHz have several times fewer."""


@dataclass(frozen=True, eq=False)
class Measured:
    """HRIRs, neither sorted nor checked.

    Attributes
    ----------
    sample_rate : int
        Hz.
    azimuths : array, shape (A,)
        Degrees counter-clockwise, 0 = front; any range.
    irs : array, shape (A, 2, K)
        Left and right ear.
    elevations : array, shape (A,), or None
        Degrees, 90 = above. None on the horizontal plane.
    distances : tuple of float
        The smallest and the largest distance of the sources, m; empty if unknown.
    convention : str
        The SOFA convention, or ``SADIE II``.
    room : bool
        Whether the file says that these are room responses.
    receivers : str
        Which ear the file lists first, "left" or "right", if it says so. The responses are in the order of `receivers`.
    notes : tuple of str
        What was converted or left out.
    """

    sample_rate: int
    azimuths: Float64Array
    irs: Float64Array
    elevations: Float64Array | None = None
    distances: tuple[float, ...] = ()
    convention: str = ""
    room: bool = False
    receivers: str = ""
    notes: tuple[str, ...] = ()
