"""The smallest complete separator service: four stems from four bands and the middle of the stereo image.

Copy the folder ``services/template``, rename the package, and put your model in the place of :class:`Bands`. The
comments name the rules that a separator must keep; ``docs/adding-a-separator.md`` describes every step.

The separator itself is a baseline without weights, based on the usual place of instruments: the bass is low, drums are
bright, a singer is in the middle, and other instruments are at the sides.

bass    below 150 Hz
drums   above 5 kHz
vocals  (L + R)/2 of the band between them, on both sides
other   (L − R)/2 of the band between them, with opposite signs on the two sides
"""

# The bench uses SEPARATORS, at the end, and nothing else of the package. Importing the package must be fast: load
# heavy parts (a deep learning library, weights) in setup().
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import FloatArray
from mssbench_service.separation import Separator, Separators
from mssbench_service.wire import ModelCard
from scipy import signal

__version__ = "0.2.0"

CROSSOVERS = (150.0, 5000.0)
"""Hz."""

TAPS = 4095
"""Length of the filters. It is odd, so that their delay is a whole number of samples."""


class Bands(Separator):
    """Separates by frequency and by the middle of the stereo image.

    Examples
    --------
    >>> import numpy as np
    >>> bands = Bands()
    >>> bands.setup()
    >>> mixture = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32)
    >>> stems = bands.separate(mixture, 44_100)
    >>> sorted(stems)
    ['bass', 'drums', 'other', 'vocals']
    >>> stems["bass"].shape
    (2, 44100)
    >>> bool(np.allclose(sum(stems.values()), mixture, atol=1e-5))
    True
    """

    # One line, for tables and GET /info.
    description = "four bands: low, high, and the middle and the sides of the band between"

    # The only sample rate of your model in Hz. Other tracks are resampled to it, and your stems back. None: any rate.
    sample_rate = 44_100

    def setup(self) -> None:
        # Called once, before the first separate(), while /health reports "starting". Load your weights here.
        # /health shows the exception that you raise; of a BenchError (errors.py) it shows only the message.
        self._filters = [signal.firwin(TAPS, edge, fs=self.sample_rate) for edge in CROSSOVERS]

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        # Called once per track, for one track at a time (unless MSSBENCH_CONCURRENCY is above 1). The mixture is
        # float32 of shape (2, samples), from one sample to many minutes, not clipped to ±1. Return the same shape
        # for each of the four stems, at the same level. The same input must give the same output: fix your seeds.
        # Limit the memory: process long tracks in chunks. If that takes long, call
        # cancellation.raise_if_cancelled() before each chunk; it stops the work when the client has disconnected.
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
        # More for GET /info, as JSON: weights and their hashes, versions of libraries, settings.
        return {"crossovers_hz": list(CROSSOVERS), "taps": TAPS}

    def card(self) -> ModelCard:
        # What is known of your model: its architecture, number of parameters, training data and licence. Tables show
        # it, and a run warns when it scores titles in `training_tracks`. A service with a weights.toml writes cards
        # there (cards.py).
        return ModelCard("four fixed filters", 0, "none", contains_test_set="no", licence="MIT")

    # `device` is "cpu" by default. A model on PyTorch or TensorFlow derives from mssbench_service.model.ModelSeparator,
    # which chooses the device and reports it.

    def _low_pass(self, mixture: FloatArray, crossover: int) -> FloatArray:
        """Apply a linear-phase low-pass filter and compensate its delay; the shape stays the same."""
        taps: npt.NDArray[np.float32] = self._filters[crossover].astype(np.float32)
        # One ear at a time, because oaconvolve transforms the whole signal at once.
        return np.stack([signal.oaconvolve(ear, taps, mode="same").astype(np.float32) for ear in mixture])


# Names of your separators in the benchmark; the first is the service's default. Each value constructs a separator
# without loading anything: a class, or a function that calls one with arguments.
SEPARATORS: Separators = {"template-bands": Bands}
