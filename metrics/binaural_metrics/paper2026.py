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

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from .interaural import LEVEL_THRESHOLD, _tukey
from .signals import FloatArray, check_pair, silent_channels
from .threads import one_blas_thread

UNWHITENED = ("bass",)
"""Stems whose correlation is not whitened."""


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


@one_blas_thread
def paper2026_itd(
    reference: npt.ArrayLike, estimate: npt.ArrayLike, sample_rate: int, *, whiten: bool = True
) -> Paper2026:
    """Compute the interaural time differences of reference and estimate.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter. The reference is used at the level of the stored file.
    sample_rate : int
        In Hz.
    whiten : bool
        False for a bass.

    Returns
    -------
    Paper2026

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`).
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    pair = {"reference": ref, "estimate": est}
    silent = {name: silent_channels(x, name) for name, x in pair.items()}
    found = {name: None if silent[name] else _itd_us(x, sample_rate, whiten) for name, x in pair.items()}
    without = [name for name in pair if found[name] is None and not silent[name]]
    quiet = f"no frame of the {' and the '.join(without)} is above the level threshold" if without else ""
    why = "; ".join(filter(None, (*silent.values(), quiet)))
    return Paper2026(found["reference"], found["estimate"], why and f"no time difference, as {why}")


def _itd_us(x: FloatArray, sample_rate: int, whiten: bool) -> float | None:
    samples, reach = int(0.5 * sample_rate), int(1e-3 * sample_rate)
    if reach < 1:
        return None
    window, lags = _tukey(samples), np.arange(-reach, reach)
    level_of: defaultdict[int, float] = defaultdict(float)
    for start in range(0, x.shape[1] - samples + 1, samples):
        frame = x[:, start : start + samples].astype(np.float32) * window
        level = float(np.sqrt(np.mean(frame**2, axis=1)).max())
        if level > LEVEL_THRESHOLD:
            left, right = fft.rfft(frame, 2 * samples)
            cross = left * np.conj(right)
            if whiten:
                cross /= np.abs(cross) + np.float32(1e-15)
            correlation = fft.irfft(cross, 2 * samples)
            level_of[int(lags[np.argmax(np.abs(correlation[lags]))])] += level
    if not level_of:
        return None
    loudest = min(level_of, key=lambda lag: (-level_of[lag], lag))
    return loudest / sample_rate * 1e6
