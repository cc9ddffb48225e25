"""Normal equations of BSS Eval: Cholesky factors from the correlations of the references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.linalg import LinAlgError, cho_solve, cholesky, toeplitz

from .signals import Float64

_EPS = float(np.finfo(np.float64).eps)
_SINGULAR = 1e-9
"""Smallest pivot of a regular system, relative to its diagonal element. The noise of 16-bit files is above it
(1e-6 to 1e-8 for stems of usual level), the rounding of float32 files is below."""
RIDGE = 1e-6
"""Relative increase of the diagonal elements of a nearly singular system."""
_REFINEMENTS = 2
"""Rounds of iterative refinement. The fast factor loses digits in ill-conditioned systems; the residual has them."""


_ComplexArray = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class NormalEquations:
    """Normal equations of several sets of channels, each delayed by 0, 1, …, taps − 1 samples.

    The matrix consists of Toeplitz blocks: that of the delays a and b is the correlation of the channels at lag a − b.

    Attributes
    ----------
    factors : list of ndarray, shape (channels · taps, channels · taps)
        Lower Cholesky factors for channels of energy 1.
    scale : ndarray, shape (sets, channels, 1, 1)
        Square roots of the energies.
    lags : ndarray, shape (sets, bins, channels, channels), optional
        Spectra of the correlations. If there are any, the delays by the same number of samples are neighbours in the
        factors, else those of the same channel.
    """

    factors: list[Float64]
    scale: Float64
    lags: _ComplexArray | None

    @classmethod
    def of(cls, correlation: Float64, ridge: float = 0.0) -> NormalEquations:
        """Factorise the equations.

        Parameters
        ----------
        correlation : ndarray, shape (sets, channels, channels, taps)
            Σ_n x_i[n]·x_j[n + k].
        ridge : float
            Relative increase of the diagonal elements. If it is 0, no pivot may be too small.

        Raises
        ------
        LinAlgError
            The equations are nearly singular.
        """
        energies = correlation[..., 0].diagonal(0, 1, 2) + _EPS  # as museval does
        scale = np.sqrt(energies)[:, :, None, None]
        lags = (correlation / (scale * scale.swapaxes(1, 2))).transpose(0, 3, 1, 2)
        each = np.arange(scale.shape[1])
        lags[:, 0, each, each] = 1.0 + ridge
        try:
            factors, largest = _factors(lags)
        except LinAlgError:
            largest = np.inf
        # A pivot is at least 1 / the diagonal element of the inverse, whatever the order of the unknowns.
        if largest < (np.inf if ridge else 1.0 / _SINGULAR):
            half = fft.rfft(lags, _transform_length(lags.shape[1]), axis=1)
            return cls([x.T for x in factors], scale, half + half.conj().swapaxes(2, 3) - lags[:, :1])
        return cls([_dense_factor(x, 0.0 if ridge else _SINGULAR) for x in lags], scale, None)

    def solution(self, target: Float64) -> Float64:
        """Filters to the outputs with the correlations `target`.

        Parameters
        ----------
        target : ndarray, shape (sets, channels, outputs, taps)
            Σ_n x_i[n]·y_j[n + k].

        Returns
        -------
        ndarray, shape (sets, outputs, channels, taps)
        """
        if self.lags is None:
            filters = self._solve((target / self.scale).swapaxes(2, 3)).transpose(0, 3, 1, 2)
        else:
            right = (target / self.scale).transpose(0, 3, 1, 2)
            found = self._solve(right)
            for _ in range(_REFINEMENTS):
                found += self._solve(right - _product(self.lags, found))
            filters = found.transpose(0, 3, 2, 1)
        return filters / self.scale.swapaxes(1, 2)

    def _solve(self, right: Float64) -> Float64:
        """Unknowns for the right sides, both of shape (sets, …, …, outputs)."""
        return np.array(
            [
                cho_solve((factor, True), y.reshape(len(factor), -1), check_finite=False).reshape(y.shape)
                for factor, y in zip(self.factors, right, strict=True)
            ]
        )


def _transform_length(taps: int) -> int:
    return int(fft.next_fast_len(2 * taps, real=True))


def _product(spectra: _ComplexArray, x: Float64) -> Float64:
    """Product of the block Toeplitz matrices and `x`, shape (sets, taps, channels, outputs)."""
    taps = x.shape[1]
    size = _transform_length(taps)
    return np.asarray(fft.irfft(spectra @ fft.rfft(x, size, axis=1), size, axis=1)[:, :taps])


def _factors(lags: Float64) -> tuple[Float64, float]:
    """Factors of the matrices, and the largest diagonal element of their inverses, in O(taps²) (algorithm of Schur).

    Step m has the filters that predict the samples at delay 0 (`forward`) and delay m (`backward`) from the delays
    between them. Each is followed, after a block of zeros in the former, by the inner products of its error with the
    samples at the delays from m + 1 and from m. The latter are, normalised, a block of columns of the factor.
    """
    sets, taps, channels = lags.shape[:3]
    size = taps * channels
    factors = np.empty((sets, size, size))
    unit, products = np.broadcast_to(np.eye(channels), lags[:, 0].shape), lags.reshape(sets, size, channels)
    forward = np.concatenate([unit, 0.0 * unit, products[:, channels:]], axis=1)
    backward = np.concatenate([np.zeros(products.shape), unit, products], axis=1)
    errors = backward[:, size + channels :]
    power = lags[:, 0].copy()
    for row in range(0, size, channels):
        roots = np.linalg.inv(np.linalg.cholesky(np.stack([power, errors[:, :channels]])))
        np.matmul(
            roots[1], errors[:, : size - row].swapaxes(1, 2), out=factors[:, row : row + channels, row:]
        )
        inverses = roots.swapaxes(2, 3) @ roots
        if row == size - channels:
            break
        following = forward[:, row + 2 * channels : row + 3 * channels].copy()
        crossed, gain = following.swapaxes(1, 2), inverses[1] @ following
        power -= crossed @ gain
        delayed = backward[:, size - channels - row : 2 * size - row]
        change = delayed @ gain
        delayed -= forward @ (inverses[0] @ crossed)
        forward -= change
    # The formula of Gohberg and Semencul: the inverse is the sum of products of such filters along its diagonals.
    ends = np.stack([forward[:, :size], backward[:, :size]])
    terms = np.sum(ends @ inverses * ends, axis=3).reshape(2, sets, taps, channels)
    return factors, float(np.max(np.cumsum(terms[0] - terms[1], axis=1)))


def _dense_factor(lags: Float64, least: float) -> Float64:
    """Factor with the delays of a channel as neighbours. Its pivots must be above `least`."""
    each = range(lags.shape[1])
    gram = np.block([[toeplitz(lags[:, i, j], lags[:, j, i]) for j in each] for i in each])
    factor = cholesky(gram.T, lower=True, overwrite_a=True, check_finite=False)
    if np.min(factor.diagonal()) ** 2 <= least:
        raise LinAlgError
    return np.asarray(factor)
