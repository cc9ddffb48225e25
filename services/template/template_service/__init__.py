"""The smallest real separator service: four bands, told apart by frequency and by the middle of the image.

Copy the folder ``services/template``, rename the package, and put your model where :class:`Bands` is. The
comments say what has to be kept; ``docs/adding-a-separator.md`` goes through it step by step.

The separator itself is a baseline without weights, by where instruments usually are: the bass lies low, drums
are what is brightest, a singer stands in the middle, and other instruments stand beside.

bass    below 150 Hz
drums   above 5 kHz
vocals  (L + R)/2 of the band between, on both sides
other   (L − R)/2 of the band between, on either side with its sign
"""

# SEPARATORS is all that the rest of the bench looks for in the package. Importing it must stay cheap: load
# what is heavy (a deep learning library, weights) in setup().
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import FloatArray
from mssbench_service.separation import Separator, Separators
from scipy import signal

__version__ = "0.2.0"

CROSSOVERS = (150.0, 5000.0)
"""Hz."""

TAPS = 4095
"""Length of the filters: odd, so that they have no delay but a whole number of samples."""


class Bands(Separator):
    # One line, for tables and GET /info.
    description = "four bands: low, high, and the middle and the sides of what is between"

    # The only rate your model takes, in Hz; other tracks are resampled to it, and your stems back. None: any.
    sample_rate = 44_100

    def setup(self) -> None:
        # Called once, before the first separate() and while /health says "starting". Load your weights here.
        # What you raise is shown in /health; a BenchError (errors.py) shows its message as it is.
        self._filters = [signal.firwin(TAPS, edge, fs=self.sample_rate) for edge in CROSSOVERS]

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        # Called many times, never twice at once (unless MSSBENCH_CONCURRENCY asks for it). You get float32 of
        # shape (2, samples), from one sample to many minutes, not clipped to ±1, and give back the same shape
        # for each of the four names, at the same level. The same input must give the same output: fix your
        # seeds. Keep memory in bounds: work in chunks. If that takes long, call cancellation.raise_if_cancelled()
        # before each chunk, which ends the work when the client has disconnected.
        low = self._low_pass(mixture, 0)
        between = self._low_pass(mixture, 1) - low
        middle = between.mean(axis=0, keepdims=True)
        return {
            "bass": low,
            "drums": mixture - between - low,
            "vocals": np.repeat(middle, 2, axis=0),
            "other": between - middle,
        }

    def details(self) -> Mapping[str, object]:
        # More for GET /info: weights and their hashes, library versions, segment settings. JSON.
        return {"crossovers_hz": list(CROSSOVERS), "taps": TAPS}

    # `device` is "cpu" unless you say otherwise.

    def _low_pass(self, mixture: FloatArray, crossover: int) -> FloatArray:
        """Low-passed by a linear-phase filter whose delay is taken out again; same shape."""
        taps: npt.NDArray[np.float32] = self._filters[crossover].astype(np.float32)
        # Ear by ear: oaconvolve transforms a whole signal at once.
        return np.stack([signal.oaconvolve(ear, taps, mode="same").astype(np.float32) for ear in mixture])


# Names that the benchmark knows your separators by; the first is the service's default. Each value makes one,
# without loading anything yet: a class, or a function for one that takes arguments.
SEPARATORS: Separators = {"template-bands": Bands}
