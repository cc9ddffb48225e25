"""Estimates that are wrong in one known way. If their scores are not the known ones, the bench is wrong.

For a stem s = (L, R), and SPAUQ as ``docs/metrics.md`` defines it:

identity: s
    Every ratio is at its limit of 80 dB, every interaural error is 0.
gain: g·s, g = 0.5
    SSR = −20·log10(1 − g) = 6.02 dB, and so is SDR; SRR 80. A level common to both ears is no cue of place.
swap: (R, L)
    SRR 80: each ear is the other reference channel with delay 0 and gain 1. The energy of the difference,
    2·‖L − R‖², is at most four times the stem's, so SSR ≥ −6.02 dB. The released SPAUQ sees nothing: 80.
mono: (L + R)/2 on both ears
    A projection is never longer than what is projected, which is no longer than s, so SSR ≥ −6.02 dB. The
    released SPAUQ sees nothing: 80.
delay: s, 0.5 ms later on both ears
    SRR 80 where the correlation peaks at 0.5 ms sharp. At a slow tone the frame's edges pull the peak towards
    0 by up to 1/(Wω²) samples (W samples in a frame, ω radians a sample), which leaves a residual about
    20·log10(2πf) dB below the signal (f in Hz): SRR ≥ 30 from 6 Hz on.

The released SPAUQ multiplies a channel by the sum of its two gains, which is one for swap and mono. That the
gains are unique needs channels that are no copies of each other, or exact ones: hence its scores are expected
of binaural stems, and not of stereo ones, which may be panned by level alone. Two more of its habits set
limits: its median counts silent frames as 0 dB, so nothing is expected of stems that are silent in half of
their frames; and where both ears are the same (0°), its ridge of 1e-6 swamps frames below about −60 dB.
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

DELAY = 0.0005
"""Seconds. Well within the ±2 ms that SPAUQ's equations search."""

CUES = ("d_itd_us", "d_ild_db", "d_ic", "azimuth_error_deg")
"""Interaural errors of the corrected profile: none sees a gain common to both ears."""

LIMIT = 80.0
"""dB; SPAUQ's ratios are clipped there."""

FLAWLESS = 100.0
"""dB; where SDR and SI-SDR are capped."""

_ROUNDING = 0.01  # dB, µs or degrees: far below what a report shows, far above rounding errors


class _Probe(ReferenceSeparator):
    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return {stem: self.distort(signal, sample_rate) for stem, signal in references.items()}

    @abstractmethod
    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        """The estimate of one stem, from the stem; shape (2, samples)."""


def _equals(column: str, value: float, why: str, condition: str = "") -> Expectation:
    return Expectation(column, value - _ROUNDING, value + _ROUNDING, condition, why)


def _released(value: float, why: str, column: str = "paper_SSR") -> Expectation:
    return _equals(column, value, why, "binaural")


class Identity(_Probe):
    description = "probe: the true stems"
    expected = (
        _equals("SSR", LIMIT, "the image is the true one"),
        _equals("SRR", LIMIT, "nothing is left over"),
        _released(LIMIT, "the image is the true one"),
        _released(LIMIT, "nothing is left over", "paper_SRR"),
        _equals("level_db", 0.0, "the same signal"),
        _equals("SI_SDR", FLAWLESS, "nothing is left over"),
        _equals("SDR", FLAWLESS, "nothing is left over"),
        _equals("paper_diff_ITD", 0.0, "the same signal"),
        _equals("paper_diff_ILD", 0.0, "the same signal"),
        *(_equals(cue, 0.0, "the same signal") for cue in CUES),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return signal


class Gain(_Probe):
    description = f"probe: the true stems × {GAIN:g}"
    expected = (
        _equals("SSR", -20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: a gain counts as spatial"),
        _equals("SRR", LIMIT, "the model of gains explains a gain"),
        _released(-20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: a gain counts as spatial"),
        _released(LIMIT, "the model of gains explains a gain", "paper_SRR"),
        _equals("level_db", 20 * math.log10(GAIN), "20·log10 g"),
        _equals("SI_SDR", FLAWLESS, "a gain is what it does not ask about"),
        _equals("SDR", -20 * math.log10(abs(GAIN - 1)), "−20·log10|g − 1|: the error is (g − 1)·s"),
        _equals("paper_diff_ILD", 0.0, "both ears by the same gain"),
        *(_equals(cue, 0.0, "both ears by the same gain") for cue in CUES),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return signal * np.float32(GAIN)


class Swap(_Probe):
    description = "probe: the true stems, left and right swapped"
    expected = (
        Expectation("SSR", -6.03, LIMIT, why="the difference of the ears is at most twice the stem"),
        _equals("SRR", LIMIT, "either ear is a copy of the other reference channel"),
        _released(LIMIT, "the released SPAUQ cannot see a swap"),
        _equals("d_ic", 0.0, "coherence does not ask which ear is which"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        return np.ascontiguousarray(signal[::-1])


class Mono(_Probe):
    description = "probe: the true stems in mono, the same on both ears"
    expected = (
        Expectation("SSR", -6.03, LIMIT, why="a projection is never longer than the stem here"),
        _released(LIMIT, "the released SPAUQ cannot see a collapse to mono"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        # Halved before they are added: two samples near float32's limit must not overflow.
        middle = np.float32(0.5) * signal[0] + np.float32(0.5) * signal[1]
        return np.stack([middle, middle])


class Delay(_Probe):
    description = f"probe: the true stems {DELAY * 1e3:g} ms later on both ears"
    expected = (
        Expectation("SRR", 30.0, LIMIT, why="the model of delays explains a delay common to both ears"),
    )

    def distort(self, signal: FloatArray, sample_rate: int) -> FloatArray:
        late = min(max(1, round(DELAY * sample_rate)), signal.shape[1])
        delayed = np.zeros_like(signal)
        delayed[:, late:] = signal[:, : signal.shape[1] - late]
        return delayed
