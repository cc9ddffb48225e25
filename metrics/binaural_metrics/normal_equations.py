"""Normal equations of BSS Eval: Gram matrix of the delayed references, and its Cholesky factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from .signals import Float64

_EPS = float(np.finfo(np.float64).eps)
_SINGULAR = 1e-9
"""Smallest pivot of a regular system, relative to its diagonal element. The noise of 16-bit files is above it
(1e-6 to 1e-8 for stems of usual level), the rounding of float32 files is below."""
_RIDGE = 1e-6
"""Relative increase of the diagonal elements of a nearly singular system."""


def gram_matrix(correlation: Float64, taps: int) -> Float64:
    """Gram matrix of the delayed references."""
    inputs = len(correlation)
    gram = np.empty((inputs * taps, inputs * taps), order="F")
    for i in range(inputs):
        for j in range(inputs):
            # Row a, column b: Σ_n x_i[n − a]·x_j[n − b], the correlation at lag a − b.
            lags = np.concatenate([correlation[j, i, :0:-1], correlation[i, j]])
            toeplitz = np.lib.stride_tricks.sliding_window_view(lags, taps)[:, ::-1]
            gram[i * taps : (i + 1) * taps, j * taps : (j + 1) * taps] = toeplitz
    gram[np.diag_indices_from(gram)] += _EPS  # as museval does
    return gram


@dataclass(frozen=True)
class Factors:
    """Cholesky factors (lower) of the Gram matrix of all references, and of those of each scored stem."""

    every: Float64
    own: list[Float64]
    regularised: bool

    @classmethod
    def of(cls, gram: Float64, rows: list[slice]) -> Factors:
        """Factors of `gram`, which is overwritten, and of its blocks."""
        own: list[Float64] = []
        # If a block is nearly singular, so is the whole, whose factor costs most. SIR compares the filters of all stems
        # with those of one stem, so regularise both or none.
        for part in rows:
            factor = _regular_factor(gram[part, part].copy(order="F"))
            if factor is None:
                break
            own.append(factor)
        blocks = [gram[part, part].copy(order="F") for part in rows]
        diagonal = gram.diagonal().copy()
        if len(own) == len(rows):
            every = _regular_factor(gram)
            if every is not None:
                return cls(every, own, False)
            # The factor overwrote the lower triangle only; the upper one still contains the matrix.
            gram = np.triu(gram, 1)
            gram += gram.T
            gram[np.diag_indices_from(gram)] = diagonal
        return cls(_regularised_factor(gram), [_regularised_factor(block) for block in blocks], True)


def _regular_factor(gram: Float64) -> Float64 | None:
    """Cholesky factor of a matrix, which is overwritten; None if it is nearly singular."""
    diagonal = gram.diagonal().copy()
    try:
        factor, _ = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    return np.asarray(factor) if np.all(factor.diagonal() ** 2 > _SINGULAR * diagonal) else None


def _regularised_factor(gram: Float64) -> Float64:
    gram[np.diag_indices_from(gram)] = gram.diagonal() * (1.0 + _RIDGE)
    return np.asarray(cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)[0])


def solution(factor: Float64, target: Float64) -> Float64:
    return np.asarray(cho_solve((factor, True), target, check_finite=False))
