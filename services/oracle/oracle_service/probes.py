"""Known-answer tests: estimates with one known error. Other scores than the known ones reveal an error of the bench.

For a stem s = (L, R), and SPAUQ as ``docs/metrics.md`` defines it:

identity: s
    Every ratio is at its limit of 80 dB, every interaural error is 0.
gain: g·s, g = 0.5
    SSR = SDR = −20·log10(1 − g) = 6.02 dB; SRR 80. A gain common to both ears changes no interaural cue.
swap: (R, L)
    SRR 80: each ear is the other reference channel with delay 0 and gain 1. The energy of the difference,
    2·‖L − R‖², is at most four times the stem's, so SSR ≥ −6.02 dB. The released SPAUQ does not detect it: 80.
mono: (L + R)/2 on both ears
    A projection is never longer than the projected signal, which is no longer than s, so SSR ≥ −6.02 dB. The
    released SPAUQ does not detect it: 80.
delay: s, 0.5 ms later on both ears
    SRR 80 where the correlation has its maximum at exactly 0.5 ms. For a tone of low frequency, the edges of the frame
    shift the maximum towards 0 by up to 1/(Wω²) samples (W samples per frame, ω radians per sample). This leaves a
    residual about 20·log10(2πf) dB below the signal (f in Hz): SRR ≥ 30 from 6 Hz on.
leak: g·m, the mixture m, g = 0.1
    Where the stem is silent, −20 dB of the mixture is left: silence_leak_db = 20·log10 g. In binaural data, the
    mixture is the sum of the stems, to which the metric refers.

Of a stem at least 20° off the centre, a swap and a mono sum leave next to nothing in place: each band of it has another
ITD or ILD, by more than is noticeable. The swap is heard mirrored, the mono sum in the middle.

The released SPAUQ multiplies a channel by the sum of its two gains, which is one for swap and mono. The gains are only
unique if the channels are exact copies or no scaled copies of each other. So its scores are expected of binaural stems
and not of stereo stems, which may be panned by level alone. Two more properties limit what can be expected. Its median
counts silent frames as 0 dB, so no value is expected of stems that are silent in half of their frames. And where both
ears are the same (0°), its regularization of 1e-6 dominates frames below about −60 dB.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from mssbench_service.audio import FloatArray
from mssbench_service.separation import ReferenceSeparator
from mssbench_service.wire import Expectation

GAIN = 0.5
"""A power of two: the product is exact in floating point."""

LEAK = 0.1

DELAY = 0.0005
"""Seconds; well within the ±2 ms that SPAUQ searches."""

CUES = ("d_itd_us", "itd_moved", "d_ild_db", "d_ic", "azimuth_error_deg", "missing", "cue_error_jnd")
"""Interaural errors of the corrected profile: a gain common to both ears changes none."""

RESPONSE = ("lateral_error_deg", "timbre_db")
"""Errors of the effective response that every set of responses has."""

OFF_CENTRE = 20.0
"""Degrees from the median plane from which an exchange of the ears changes the cues by far more than is noticeable."""

LIMIT = 80.0
"""dB; SPAUQ's ratios are clipped there."""

CAP = 100.0
"""dB; SDR and SI-SDR are capped there."""

_ROUNDING = 0.01  # dB, µs or degrees: below the resolution of a report, above rounding errors


class _Probe(ReferenceSeparator):
    """A separator that distorts the true stems in one known way."""

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return {stem: self.distort(signal, sample_rate) for stem, signal in references.items()}

    @abstractmethod
    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        """The estimate of one stem, from the stem; shape (2, samples)."""


def _equals(column: str, value: float, why: str, condition: str = "") -> Expectation:
    return Expectation(column, value - _ROUNDING, value + _ROUNDING, condition, why)


def _off_centre(column: str, low: float, high: float, why: str) -> Expectation:
    return Expectation(column, low, high, "binaural", why, OFF_CENTRE)


def _released(value: float, why: str, column: str = "paper_SSR") -> Expectation:
    return _equals(column, value, why, "binaural")


class Identity(_Probe):
    """The true stems."""

    description = "probe: the true stems"
    expected = (
        _equals("SSR", LIMIT, "the image is the true one"),
        _equals("SRR", LIMIT, "there is no residual"),
        _released(LIMIT, "the image is the true one"),
        _released(LIMIT, "there is no residual", "paper_SRR"),
        _equals("level_db", 0.0, "the same signal"),
        _equals("SI_SDR", CAP, "there is no residual"),
        _equals("SDR", CAP, "there is no residual"),
        _equals("paper_diff_ITD", 0.0, "the same signal"),
        _equals("paper_diff_ILD", 0.0, "the same signal"),
        _equals("paper2026_diff_ITD", 0.0, "the same signal"),
        _equals("in_place", 100.0, "the same signal"),
        *(_equals(column, 0.0, "the same signal") for column in RESPONSE),
        *(_equals(cue, 0.0, "the same signal") for cue in CUES),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return signal


class Gain(_Probe):
    """The true stems with half the amplitude."""

    description = f"probe: the true stems × {GAIN:g}"
    expected = (
        _equals("SSR", -20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: a gain counts as spatial"),
        _equals("SRR", LIMIT, "the model of gains explains a gain"),
        _released(-20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: a gain counts as spatial"),
        _released(LIMIT, "the model of gains explains a gain", "paper_SRR"),
        _equals("level_db", 20 * math.log10(GAIN), "20·log10 g"),
        _equals("SI_SDR", CAP, "it does not depend on a gain"),
        _equals("SDR", -20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: the error is (g − 1)·s"),
        _equals("paper_diff_ILD", 0.0, "the same gain for both ears"),
        _equals("in_place", 100.0, "the same gain for both ears"),
        *(_equals(column, 0.0, "the same gain for both ears") for column in RESPONSE),
        *(_equals(cue, 0.0, "the same gain for both ears") for cue in CUES),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return signal * np.float32(GAIN)


class Swap(_Probe):
    """The true stems with left and right swapped.

    Examples
    --------
    >>> import numpy as np
    >>> Swap().distort(np.array([[1, 2], [3, 4]], np.float32), 44100).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """

    description = "probe: the true stems, left and right swapped"
    expected = (
        Expectation("SSR", -6.03, LIMIT, why="the difference of the ears is at most twice the stem"),
        _equals("SRR", LIMIT, "each ear is a copy of the other reference channel"),
        _released(LIMIT, "the released SPAUQ does not detect a swap"),
        _equals("d_ic", 0.0, "coherence is symmetric in the ears"),
        _off_centre("in_place", 0.0, 10.0, "every interaural difference changes its sign"),
        _off_centre("lateral_error_deg", 2 * OFF_CENTRE - 10.0, 180.0, "it is heard mirrored"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return np.ascontiguousarray(signal[::-1])


class Mono(_Probe):
    """The mean of both ears on both ears."""

    description = "probe: the true stems in mono, the same on both ears"
    expected = (
        Expectation("SSR", -6.03, LIMIT, why="a projection is never longer than the stem here"),
        _released(LIMIT, "the released SPAUQ does not detect a collapse to mono"),
        _off_centre("in_place", 0.0, 20.0, "no interaural difference is left"),
        _off_centre("lateral_error_deg", OFF_CENTRE - 10.0, 90.0, "it is heard in the middle"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        # Halved before they are added: two samples near float32's limit must not overflow.
        middle = np.float32(0.5) * signal[0] + np.float32(0.5) * signal[1]
        return np.stack([middle, middle])


class Delay(_Probe):
    """The true stems, delayed equally on both ears."""

    description = f"probe: the true stems {DELAY * 1e3:g} ms later on both ears"
    expected = (
        Expectation("SRR", 30.0, LIMIT, why="the model of delays explains a delay common to both ears"),
        Expectation("in_place", 90.0, 100.0, "binaural", "a delay common to both ears moves nothing"),
        _equals("lateral_error_deg", 0.0, "a delay common to both ears moves nothing"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        late = min(max(1, round(DELAY * sample_rate)), signal.shape[1])
        delayed = np.zeros_like(signal)
        delayed[:, late:] = signal[:, : signal.shape[1] - late]
        return delayed


class Leak(ReferenceSeparator):
    """The mixture with a tenth of the amplitude."""

    description = f"probe: the mixture × {LEAK:g} as every stem"
    expected = (
        _equals("silence_leak_db", 20 * math.log10(LEAK), "20·log10 g of the mixture, g = 0.1", "binaural"),
    )

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return dict.fromkeys(references, mixture * np.float32(LEAK))
