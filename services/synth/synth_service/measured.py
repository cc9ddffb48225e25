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
    """HRIRs of the horizontal plane, neither sorted nor checked.

    Attributes
    ----------
    sample_rate : int
        Hz.
    azimuths : array, shape (A,)
        Degrees counter-clockwise, 0 = front; any range.
    irs : array, shape (A, 2, K)
        Left and right ear.
    """

    sample_rate: int
    azimuths: Float64Array
    irs: Float64Array
