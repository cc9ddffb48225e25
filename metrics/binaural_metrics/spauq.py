"""SPAUQ: spatial and residual distortion of a stem.

In each frame, the estimate ŝ of a stem is modelled as its reference s with gains and delays,

    ŝ_c[n] = Σ_d A_cd · s_d[n − τ_cd] + e_c[n],        c, d ∈ {left, right}.

The part that the model explains is the *projection* p. The difference p − s is spatial distortion, the
difference ŝ − p is residual distortion.

Conventions
-----------
Signals have the shape (2, samples), channel 0 = left ear. Frames of one second start every half second; the
last one ends with the signal. A channel is *silent* in a frame if its standard deviation is below 1e-8.
Two correlations are equal if their difference is within the rounding error of float64. The lag of the maximum
is the first in the search order among equal ones, so that it does not depend on the FFT implementation.

Metrics
-------
SSR     signal to spatial distortion ratio, dB, ±80: energy of s over energy of p − s
SRR     signal to residual distortion ratio, dB, ±80: energy of p over energy of ŝ − p

* :func:`spauq_equations` follows the model above: lags of ±2 ms, delayed references, one gain per channel pair.
* :func:`spauq_released` reproduces the released software, and so published tables. There the lags (±100 ms)
  only determine how many samples are dropped, the gains are fitted to the undelayed reference, and Σ_d A_cd
  multiplies channel c alone. It does not detect swapped channels or a collapse to mono, and counts a delay as
  residual distortion.
* :func:`spauq_both` computes both from one set of correlations.

References
----------
.. [1] K. N. Watcharasupat and A. Lerch, "Quantifying Spatial Audio Quality Impairment," IEEE International
   Conference on Acoustics, Speech and Signal Processing (ICASSP), 2024. arXiv:2306.08053.
.. [2] R. Namballa, A. Roginska and M. Fuentes, "Do Music Source Separation Models Preserve Spatial
   Information in Binaural Audio?," International Society for Music Information Retrieval Conference
   (ISMIR), 2025. arXiv:2507.00155.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .correlation import Correlation, Lags
from .grid import Grid, over_frames
from .inner_products import Span
from .signals import BoolArray, Float64, InputError, check_pair, db
from .threads import one_blas_thread

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Released:
    """Values of the released software per frame; the value of a track is the median over *all* frames.

    Attributes
    ----------
    ssr, srr : ndarray, shape (frames,)
        In dB, −80 to 80.
    cost : ndarray, shape (frames,)
        Euclidean norm of the residual.
    shift : ndarray, shape (frames, 2, 2)
        ``shift[f, i, j]``: lag in samples of reference channel i relative to estimate channel j; negative if
        the estimate is late.
    scale : ndarray, shape (frames, 2, 2)
        ``scale[f, c, d]``: gain of reference channel d in estimate channel c.
    """

    ssr: Float64
    srr: Float64
    cost: Float64
    shift: Float64
    scale: Float64

    @property
    def median_ssr(self) -> float:
        return float(np.median(self.ssr))

    @property
    def median_srr(self) -> float:
        return float(np.median(self.srr))


@dataclass(frozen=True)
class Equations:
    """Values of SPAUQ's equations per frame; the value of a track is the median over the *valid* frames.

    Attributes
    ----------
    ssr, srr : ndarray, shape (frames,)
        In dB, −80 to 80.
    delays : ndarray of int, shape (frames, 2, 2)
        ``delays[f, c, d]``: delay in samples of estimate channel c relative to reference channel d.
    gains : ndarray, shape (frames, 2, 2)
        ``gains[f, c, d]``: gain of reference channel d in estimate channel c.
    valid : ndarray of bool, shape (frames,)
        False where reference and estimate are both silent. Such a frame has no information.
    """

    ssr: Float64
    srr: Float64
    delays: IntArray
    gains: Float64
    valid: BoolArray

    @property
    def valid_frames(self) -> int:
        return int(self.valid.sum())

    @property
    def total_frames(self) -> int:
        return len(self.valid)

    @property
    def median_ssr(self) -> float | None:
        """Median in dB; None if no frame is valid."""
        return float(np.median(self.ssr[self.valid])) if self.valid_frames else None

    @property
    def median_srr(self) -> float | None:
        """Median in dB; None if no frame is valid."""
        return float(np.median(self.srr[self.valid])) if self.valid_frames else None


@one_blas_thread
def spauq_released(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    max_lag: int | None = None,
    workers: int | None = None,
) -> Released:
    """Compute SSR and SRR as the released SPAUQ software does [1]_, including its deviations from the equations.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter.
    sample_rate : int
        In Hz.
    max_lag : int, optional
        Largest lag of the search in samples, to either side; 100 ms by default.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.

    Returns
    -------
    Released

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`) or shorter than one frame.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    grid = Grid.of(ref.shape[1], sample_rate)
    lag = _released_lag(grid, sample_rate, max_lag)

    def frame(context: Float64, e: Float64, values: Lags) -> _ReleasedFrame:
        return _released_frame(Correlation.of(context, e, lag, values))

    return _gather_released(over_frames(frame, ref, est, grid, 0, lag, workers))


@one_blas_thread
def spauq_equations(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    max_lag: int | None = None,
    reference_gain: float = 1.0,
    workers: int | None = None,
) -> Equations:
    """Compute SSR and SRR by the equations of SPAUQ [1]_.

    Parameters
    ----------
    reference, estimate : array_like, shape (2, samples)
        Floating point; both are trimmed to the shorter.
    sample_rate : int
        In Hz.
    max_lag : int, optional
        Largest lag of the search in samples, to either side; 2 ms by default, more than any interaural delay.
    reference_gain : float, optional
        Factor applied to the reference. It is the gain that the mixture *was stored with*. Do not fit it to
        the estimate: that would hide a level error of the model.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.

    Returns
    -------
    Equations

    Raises
    ------
    InputError
        A signal is unusable (:func:`~binaural_metrics.signals.check_signal`) or shorter than one frame.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    grid = Grid.of(ref.shape[1], sample_rate)
    lag = _equations_lag(grid, sample_rate, max_lag)
    gain = check_gain(reference_gain)

    def frame(context: Float64, e: Float64, values: Lags) -> _EquationsFrame:
        context = gain * context
        r = context[:, lag : context.shape[1] - lag]
        return _equations_frame(context, Correlation.of(r, e, lag, values, gain))

    return _gather_equations(over_frames(frame, ref, est, grid, lag, lag, workers))


@one_blas_thread
def spauq_both(
    reference: npt.ArrayLike,
    estimate: npt.ArrayLike,
    sample_rate: int,
    *,
    reference_gain: float = 1.0,
    workers: int | None = None,
) -> tuple[Released, Equations]:
    """Compute :func:`spauq_released` and :func:`spauq_equations` at little more than the cost of the first.

    `reference_gain` applies only to the equations; the released variant uses the reference as it is.
    """
    ref, est, sample_rate = check_pair(reference, estimate, sample_rate)
    grid = Grid.of(ref.shape[1], sample_rate)
    wide, lag = _released_lag(grid, sample_rate, None), _equations_lag(grid, sample_rate, None)
    gain = check_gain(reference_gain)

    def frame(context: Float64, e: Float64, values: Lags) -> tuple[_ReleasedFrame, _EquationsFrame]:
        inside = slice(lag, context.shape[1] - lag)
        # One correlation serves both, because a gain of the reference does not change the lag of the maximum.
        correlation = Correlation.of(context[:, inside], e, max(wide, lag), values)
        released = _released_frame(correlation.within(wide))
        if gain != 1.0:
            context = gain * context
            correlation = correlation.after_gain(context[:, inside], gain)
        return released, _equations_frame(context, correlation.within(lag))

    found = over_frames(frame, ref, est, grid, lag, max(wide, lag), workers)
    return _gather_released([f for f, _ in found]), _gather_equations([f for _, f in found])


# ------------------------------------------------------------------------------------------------- frames


def _released_lag(grid: Grid, sample_rate: int, max_lag: int | None) -> int:
    # A frame can lose max_lag samples at either end, and the last frame can be as short as a hop.
    return _check_lag(round(0.1 * sample_rate) if max_lag is None else max_lag, (grid.window - grid.hop) // 2)


def _equations_lag(grid: Grid, sample_rate: int, max_lag: int | None) -> int:
    return _check_lag(round(0.002 * sample_rate) if max_lag is None else max_lag, grid.window - grid.hop)


def _check_lag(lag: int, limit: int) -> int:
    if not 0 <= lag <= limit:
        raise InputError(f"maximum lag of {lag} samples; expected 0 to {limit}")
    return int(lag)


def check_gain(gain: float) -> float:
    """Return `gain` as a float.

    Raises
    ------
    InputError
        The gain is NaN or its modulus is not between 1e-6 and 1e6.
    """
    if not (math.isfinite(gain) and 1e-6 <= abs(gain) <= 1e6):
        raise InputError(f"mixture gain {gain!r}; expected a number between 1e-6 and 1e6")
    return float(gain)


# --------------------------------------------------------------------------------------------- released

_ReleasedFrame = tuple[float, float, float, list[list[int]], list[list[float]]]


def _released_frame(correlation: Correlation) -> _ReleasedFrame:
    # SciPy's correlate(R_i, E_j) has lags of the opposite sign: its first lag is the largest delay of the estimate.
    shift = [[-lag for lag in lags] for lags in correlation.first_maxima(operator.neg)]
    low, high = min(map(min, shift)), max(map(max, shift))
    first = max(-low, 0)
    last = len(correlation.r[0].x) - (max(high, 0) if low != 0 else 0)
    r, e = ([c.window(c.x, 0, first, last) for c in side] for side in (correlation.r, correlation.e))
    span = Span(r[0], r[1], e[0], e[1])
    scale = [_released_gains(span, c) if not (r[c].silent or e[c].silent) else [0.0, 0.0] for c in range(2)]

    # P_c = s_c·R_c: all energies except the residual's are multiples of the energies of the reference.
    s0, s1 = map(sum, scale)
    left, right = span.diagonal[:2]
    projection, spatial = s0 * s0 * left + s1 * s1 * right, (s0 - 1) ** 2 * left + (s1 - 1) ** 2 * right
    residual = span.energy(-s0, 0.0, 1.0, 0) + span.energy(0.0, -s1, 1.0, 1)
    return db(left + right, spatial), db(projection, residual), math.sqrt(residual), shift, scale


def _released_gains(span: Span, c: int) -> list[float]:
    left, right = span.diagonal[:2]
    # The determinant over the squared trace is a lower bound of the ratio of the singular values.
    ratio = (left * right - span.uv * span.uv) / (left + right) ** 2
    if ratio > 1e-4:
        return span.least_squares(c)
    gram, cross = np.array([[left, span.uv], [span.uv, right]]), np.array([span.of_u[c], span.of_v[c]])
    if span.dependent:
        # The gains then depend on the rounding of the Gram matrix, so compute it as the definition does.
        r = np.stack(span.vectors[:2])
        gram, cross = r @ r.T, r @ span.vectors[2 + c]
    if not (ratio > 1e-9 or np.linalg.matrix_rank(gram) == 2):
        gram, cross = gram @ gram.T + 1e-6 * np.eye(2), gram @ cross
    gains: list[float] = np.linalg.lstsq(gram, cross, rcond=None)[0].tolist()
    return gains


def _gather_released(frames: list[_ReleasedFrame]) -> Released:
    ssr, srr, cost, shift, scale = zip(*frames, strict=True)
    return Released(np.array(ssr), np.array(srr), np.array(cost), np.array(shift, float), np.array(scale))


# -------------------------------------------------------------------------------------------- equations

_EquationsFrame = tuple[float, float, list[list[int]], list[list[float]], bool]


def _equations_frame(context: Float64, correlation: Correlation) -> _EquationsFrame:
    """`context` is the reference of the frame with ``correlation.reach`` more samples at either end."""
    reach, r, e = correlation.reach, correlation.r, correlation.e
    samples = len(e[0].x)
    delays = [list(lags) for lags in zip(*correlation.first_maxima(_equations_order), strict=True)]
    gains = [[0.0, 0.0], [0.0, 0.0]]
    reference = projection = spatial = residual = 0.0
    for c in range(2):
        starts = [reach - delay for delay in delays[c]]
        delayed = [r[d].window(context[d], reach, start, start + samples) for d, start in enumerate(starts)]
        span = Span(delayed[0], delayed[1], e[c], r[c])
        audible = [d for d in range(2) if not delayed[d].silent]
        if len(audible) == 2 and not e[c].silent:
            gains[c] = span.least_squares()
        elif audible and not e[c].silent:
            (d,) = audible
            gains[c][d] = (span.of_u, span.of_v)[d][0] / span.diagonal[d]
        a0, a1 = gains[c]
        reference += r[c].energy
        projection += span.energy(a0, a1)
        spatial += span.energy(a0, a1, -1.0, 1)
        residual += span.energy(-a0, -a1, 1.0, 0)
    valid = not all(channel.silent for channel in r + e)
    return db(reference, spatial), db(projection, residual), delays, gains, valid


def _equations_order(lag: int) -> tuple[bool, int]:
    """Sort key of the search order 0, 1, …, M, −M, …, −1."""
    return lag < 0, lag


def _gather_equations(frames: list[_EquationsFrame]) -> Equations:
    ssr, srr, delays, gains, valid = zip(*frames, strict=True)
    return Equations(np.array(ssr), np.array(srr), np.array(delays), np.array(gains), np.array(valid))
