"""What a reader of HRIR files hands over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

LONGEST = 10.0
"""Seconds that an impulse response may last; more than any room needs. A file that claims more is none."""


LARGEST = 1 << 25
"""Numbers that a set may hold, a quarter of a gigabyte of them; several times what whole spheres at 96 kHz do."""


@dataclass(frozen=True, eq=False)
class Measured:
    """HRIRs of the horizontal plane as they were found: unsorted, unchecked.

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
