"""Interaural time difference as the authors of the paper define it since January 2026.

They changed their code after the paper [1]_: the correlation is whitened as a whole, and that of a bass is not. The
definition of the paper is in :mod:`binaural_metrics.interaural`; the level difference is the same in both.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. ITD in µs, positive where the *left* ear is later.

Metrics
-------
itd_us    per frame of half a second (Tukey window, no overlap, float32), the lag of the largest \\|correlation\\|
          within −1 ms ≤ lag < 1 ms. The cross-spectrum L·conj(R) is divided by its modulus, except for a bass. The
          result is the lag whose frames have the largest summed level.
d_itd_us  \\|ITD of the estimate − ITD of the reference\\|

Differences from the paper
--------------------------
The paper whitens each ear's spectrum and every stem. Apart from rounding, whitening the product is the same, except in
bins in which one ear is nearly silent. A bass is therefore the stem whose values change.

References
----------
.. [1] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
   Information in Binaural Audio?," International Society for Music Information Retrieval Conference
   (ISMIR), 2025. arXiv:2507.00155.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .interaural import PaperSignal, divide, product
from .signals import silent_channels

UNWHITENED = ("bass",)
"""Stems whose correlation is not whitened."""

_Spectra = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class Paper2026:
    """ITDs of one stem in µs, None where undefined, with the reason."""

    reference_us: float | None
    estimate_us: float | None
    reason: str = ""

    @property
    def d_itd_us(self) -> float | None:
        """The absolute difference in µs."""
        if self.reference_us is None or self.estimate_us is None:
            return None
        return abs(self.estimate_us - self.reference_us)


def paper2026_distances(reference: PaperSignal, estimate: PaperSignal) -> Paper2026:
    """Difference of two signals by the last of their ITDs."""
    pair = {"reference": reference, "estimate": estimate}
    silent = {name: silent_channels(x.energies, name) for name, x in pair.items()}
    without = [name for name, x in pair.items() if x.itds_us[-1] is None and not silent[name]]
    quiet = f"no frame of the {' and the '.join(without)} is above the level threshold" if without else ""
    why = "; ".join(filter(None, (*silent.values(), quiet)))
    reason = why and f"no time difference, as {why}"
    return Paper2026(reference.itds_us[-1], estimate.itds_us[-1], reason)


def whitened_product(left: _Spectra, right: _Spectra, out: _Spectra) -> None:
    """Product of the spectrum of the left ear with the conjugate one of the right, divided by its modulus."""
    product(left, right, out)
    divide(out, np.abs(out) + np.float32(1e-15))
