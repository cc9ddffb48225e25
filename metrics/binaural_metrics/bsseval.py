"""BSS Eval version 4 as defined by museval, with faster linear algebra.

In each window, an estimated stem is decomposed into its true image, a filtered version of it, filtered versions of
the other stems, and a remainder. The filters are the 512-tap multichannel filters that fit the estimate best over
the *whole* track.

Conventions
-----------
Signals have the shape (2, samples). All stems of the track are needed, because the others are the interference.
Windows have a length of one second and do not overlap; a shorter last window is dropped. If any stem of the
references or of the estimates is silent in a window (left + right = 0 in every sample), the window has no value for
any stem.

Metrics
-------
All in dB, limited to ±100 (museval's values are infinite for a perfect estimate). s is the true image, p_s the
projection of the estimate ŝ on all delays of s, and p its projection on all delays of all stems:

SDR   ‖s‖² / ‖ŝ − s‖²           all errors
ISR   ‖s‖² / ‖p_s − s‖²         filtering and panning of the stem itself
SIR   ‖p_s‖² / ‖p − p_s‖²       other stems
SAR   ‖p‖² / ‖ŝ − p‖²           artefacts: no filter of any stem explains them

Notes
-----
The correlations of the normal equations are computed with short transforms, once per track. The matrix, of size
stems × channels × taps, is symmetric and positive definite, so that one Cholesky factor is enough for all estimates.
Ratios need only energies, which are computed from the spectra of a window (Parseval).

The ear signals of one dry source are the source through two short filters. They are linearly dependent:
h_R ∗ L = h_L ∗ R. The normal equations of a binaural track are therefore nearly singular. museval's solution in
their null space depends on the rounding of the files. Its filters have coefficients of up to 2·10⁶, and these become
visible at the edges of windows (ISR of −95 dB for the unprocessed mixture). Where a pivot is more than 90 dB below
its diagonal element (``regularised``), every diagonal element d is increased by 10⁻⁶ d (−60 dB). This selects small
filters, for all stems together and for each stem alone. Between −70 and −50 dB, the choice changes the ratios of a
noisy estimate by less than 0.3 dB. SDR needs no filter and does not change.

References
----------
.. [1] E. Vincent, R. Gribonval and C. Févotte, "Performance measurement in blind audio source separation,"
   IEEE Trans. Audio, Speech, Lang. Process., vol. 14, no. 4, pp. 1462-1469, 2006.
.. [2] F.-R. Stöter, A. Liutkus and N. Ito, "The 2018 signal separation evaluation campaign," Latent Variable
   Analysis and Signal Separation (LVA/ICA), 2018. The museval package is its implementation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from .signals import BoolArray, Float64, FloatArray, InputError, check_sample_rate, check_signal, load
from .threads import one_blas_thread, threaded

FILTER_TAPS = 512
LIMIT_DB = 100.0
METRICS = ("SDR", "ISR", "SIR", "SAR")

_ComplexArray = npt.NDArray[np.complex128]
_EPS = float(np.finfo(np.float64).eps)
_SECTION = 8192  # transform length of the correlations, in samples
_CHUNK = 32  # sections per task


@dataclass(frozen=True)
class BssEval:
    """Ratios of all stems and windows.

    Attributes
    ----------
    values : ndarray, shape (4, stems, windows)
        SDR, ISR, SIR, SAR in dB; NaN in windows without a value, and for stems without an estimate.
    valid : ndarray of bool, shape (windows,)
        True for windows with a value.
    regularised : bool
        Whether the normal equations were nearly singular.
    """

    values: Float64
    valid: BoolArray
    regularised: bool


@one_blas_thread
def bss_eval(
    references: Mapping[str, npt.ArrayLike],
    estimates: Mapping[str, npt.ArrayLike],
    sample_rate: int,
    *,
    taps: int = FILTER_TAPS,
    reference_gain: float = 1.0,
    workers: int | None = None,
) -> BssEval:
    """Compute SDR, ISR, SIR and SAR of all stems of a track.

    Parameters
    ----------
    references : mapping of str to array_like, shape (2, samples)
        All true stems.
    estimates : mapping of str to array_like, shape (2, samples)
        Estimates by the same names. A stem without an estimate has no value. All signals are trimmed to the shortest.
    sample_rate : int
        In Hz; also the length of a window in samples.
    taps : int
        Length of the filters in samples.
    reference_gain : float
        Factor applied to all references.
    workers : int, optional
        Number of threads; by default the number of cores that this process may use.

    Returns
    -------
    BssEval

    Raises
    ------
    InputError
        A signal is unusable, there is no estimate, a reference is silent throughout (BSS Eval is then undefined for
        all stems), or the track is shorter than the filters.
    """
    sample_rate = check_sample_rate(sample_rate)
    refs = [check_signal(x, f"reference {name!r}") for name, x in references.items()]
    scored = [i for i, name in enumerate(references) if name in estimates]
    ests = [check_signal(estimates[name], f"estimate {name!r}") for name in references if name in estimates]
    if not ests:
        raise InputError("no estimate to score")
    samples = min(x.shape[1] for x in (*refs, *ests))
    if samples < taps:
        raise InputError(f"{samples} samples; BSS Eval needs at least the {taps} of its filters")
    refs, ests = [x[:, :samples] for x in refs], [x[:, :samples] for x in ests]
    for name, x in zip(references, refs, strict=True):
        if _is_silent(x):
            raise InputError(f"the reference {name!r} is silent throughout, and BSS Eval needs every stem")

    size = min(sample_rate, samples)
    filters = _fit(refs, ests, scored, taps, size, workers)

    def window(start: int) -> Float64:
        if any(_is_silent(x[:, start : start + size]) for x in (*refs, *ests)):
            return np.full((len(METRICS), len(refs)), np.nan)
        return _window_ratios(refs, ests, scored, filters, start, size, reference_gain)

    values = np.stack(threaded(window, range(0, samples - size + 1, size), workers), axis=-1)
    valid = np.asarray(np.isfinite(values[:, scored]).all(axis=(0, 1)))
    return BssEval(values, valid, filters.regularised)


def _is_silent(x: FloatArray) -> bool:
    """Whether left + right is zero in every sample, museval's definition of silence."""
    return not np.any(x[0] + x[1])


# ---------------------------------------------------------------------------------------------- filters


@dataclass(frozen=True)
class _Filters:
    """Transfer functions at the bins of a window's transform of `size` samples.

    Attributes
    ----------
    every : ndarray, shape (estimated channels, reference channels, bins)
        From all reference channels to each channel of the scored estimates.
    own : ndarray, shape (estimated channels, 2, bins)
        From the two reference channels of the same stem to each channel of the scored estimates.
    size : int
    regularised : bool
    """

    every: _ComplexArray
    own: _ComplexArray
    size: int
    regularised: bool


def _fit(
    refs: list[FloatArray],
    ests: list[FloatArray],
    scored: list[int],
    taps: int,
    window: int,
    workers: int | None,
) -> _Filters:
    """Least-squares filters from the references to each estimate."""
    inputs = 2 * len(refs)
    gram, target = _normal_equations(_correlations(refs, ests, taps, workers), inputs, taps)
    rows = [slice(2 * stem * taps, 2 * (stem + 1) * taps) for stem in scored]
    blocks = [gram[part, part].copy(order="F") for part in rows]
    every, weak = _solve(gram, target)  # destroys `gram`
    own = []
    for k, (part, block) in enumerate(zip(rows, blocks, strict=True)):
        # SIR compares the filters of all stems with those of one stem, so regularise both or none.
        solution, regularised = _solve(block, target[part, 2 * k : 2 * k + 2], regularise=weak)
        own.append(solution)
        weak |= regularised
    size = int(fft.next_fast_len(window + taps - 1, real=True))

    def spectra(solution: Float64) -> _ComplexArray:
        taps_last = solution.reshape(-1, taps, solution.shape[1]).transpose(2, 0, 1)
        transfer: _ComplexArray = fft.rfft(taps_last, size)
        return transfer

    return _Filters(spectra(every), np.concatenate([spectra(x) for x in own]), size, weak)


def _correlations(refs: list[FloatArray], ests: list[FloatArray], taps: int, workers: int | None) -> Float64:
    """Σ_n x_i[n]·y_j[n + k] for 0 ≤ k < taps over the track, shape (reference channels, all channels, taps).

    x are the reference channels, y the channels of references and estimates. x is cut into sections. Each is
    correlated with the piece of y that the lags reach, and the products are summed as spectra.
    """
    samples = refs[0].shape[1]
    size = max(_SECTION, 4 * int(fft.next_fast_len(taps, real=True)))
    section = size - taps + 1
    inputs = 2 * len(refs)

    def chunk(start: int) -> _ComplexArray:
        count = min(_CHUNK, -(-(samples - start) // section))
        stop = start + count * section
        pieces = np.concatenate([load(x, start, stop + taps - 1) for x in (*refs, *ests)])
        views = np.lib.stride_tricks.sliding_window_view(pieces, size, axis=1)[:, ::section]
        after = fft.rfft(views)
        before = fft.rfft(pieces[:inputs, : count * section].reshape(inputs, count, section), size)
        # One small matrix product per bin, fastest with contiguous sections.
        left = np.ascontiguousarray(before.conj().transpose(2, 0, 1))
        right = np.ascontiguousarray(after.transpose(2, 1, 0))
        product: _ComplexArray = left @ right
        return product

    total: _ComplexArray | None = None
    for first in range(0, samples, 8 * _CHUNK * section):
        group = range(first, min(first + 8 * _CHUNK * section, samples), _CHUNK * section)
        for part in threaded(chunk, group, workers):
            total = part if total is None else total + part
    assert total is not None  # there is at least one sample
    return np.asarray(fft.irfft(total, size, axis=0)[:taps].transpose(1, 2, 0))


def _normal_equations(correlation: Float64, inputs: int, taps: int) -> tuple[Float64, Float64]:
    """Gram matrix of the delayed references, and the right-hand sides, one column per estimated channel."""
    gram = np.empty((inputs * taps, inputs * taps), order="F")
    for i in range(inputs):
        for j in range(inputs):
            # Row a, column b: Σ_n x_i[n − a]·x_j[n − b], the correlation at lag a − b.
            lags = np.concatenate([correlation[j, i, :0:-1], correlation[i, j]])
            toeplitz = np.lib.stride_tricks.sliding_window_view(lags, taps)[:, ::-1]
            gram[i * taps : (i + 1) * taps, j * taps : (j + 1) * taps] = toeplitz
    gram[np.diag_indices_from(gram)] += _EPS  # as museval does
    target = correlation[:, inputs:].transpose(0, 2, 1).reshape(inputs * taps, -1)
    return gram, target


def _solve(gram: Float64, target: Float64, *, regularise: bool = False) -> tuple[Float64, bool]:
    """Solution of the symmetric positive definite system, and whether it was regularised.

    A singular system is regularised in any case. `gram` is overwritten.
    """
    diagonal = gram.diagonal().copy()
    if not regularise:
        try:
            factor, lower = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
            pivots = factor.diagonal() ** 2
            if np.all(pivots > _SINGULAR * diagonal):
                return np.asarray(cho_solve((factor, lower), target, check_finite=False)), False
        except LinAlgError:
            pass
    # The factor overwrote the lower triangle only; the upper one still contains the matrix.
    gram = np.triu(gram, 1)
    gram += gram.T
    gram[np.diag_indices_from(gram)] = diagonal * (1.0 + _RIDGE)
    factor, lower = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve((factor, lower), target, check_finite=False)), True


_SINGULAR = 1e-9
"""Smallest pivot of a regular system, relative to its diagonal element. The noise of 16-bit files is above it
(1e-6 to 1e-8 for stems of usual level), the rounding of float32 files is below."""
_RIDGE = 1e-6
"""Relative increase of the diagonal elements of a nearly singular system."""


# ---------------------------------------------------------------------------------------------- windows


def _window_ratios(
    refs: list[FloatArray],
    ests: list[FloatArray],
    scored: list[int],
    filters: _Filters,
    start: int,
    size: int,
    gain: float,
) -> Float64:
    """Ratios of one window, shape (4, stems)."""
    true = np.concatenate([load(x, start, start + size) for x in refs])
    found = np.concatenate([load(x, start, start + size) for x in ests])
    inputs, outputs = fft.rfft(true, filters.size), fft.rfft(found, filters.size)
    ratios = np.full((len(METRICS), len(refs)), np.nan)
    part = np.empty_like(inputs[0])
    for k, stem in enumerate(scored):
        spatial = filtered = interference = projected = artifacts = 0.0
        for c in (0, 1):
            o, s = 2 * k + c, gain * inputs[2 * stem + c]
            own = _filtered(filters.own[o], inputs[2 * stem : 2 * stem + 2], part)
            every = _filtered(filters.every[o], inputs, part)
            filtered += _energy(own, filters.size)
            projected += _energy(every, filters.size)
            spatial += _energy(own - s, filters.size)
            interference += _energy(every - own, filters.size)
            artifacts += _energy(outputs[o] - every, filters.size)
        image, estimate = gain * true[2 * stem : 2 * stem + 2], found[2 * k : 2 * k + 2]
        energy, error = float(np.sum(image**2)), float(np.sum((estimate - image) ** 2))
        ratios[:, stem] = (
            _ratio(energy, error),
            _ratio(energy, spatial),
            _ratio(filtered, interference),
            _ratio(projected, artifacts),
        )
    return ratios


def _filtered(filters: _ComplexArray, inputs: _ComplexArray, part: _ComplexArray) -> _ComplexArray:
    """Σ_i filters_i · inputs_i."""
    total: _ComplexArray = filters[0] * inputs[0]
    for h, x in zip(filters[1:], inputs[1:], strict=True):
        np.multiply(h, x, out=part)
        total += part
    return total


def _energy(spectrum: _ComplexArray, size: int) -> float:
    """Energy of a signal of `size` samples from its one-sided spectrum (Parseval)."""
    values = spectrum.view(np.float64)
    energy = 2.0 * float(values @ values) - abs(spectrum[0]) ** 2
    if size % 2 == 0:
        energy -= abs(spectrum[-1]) ** 2
    return float(energy) / size


def _ratio(numerator: float, denominator: float) -> float:
    if denominator <= 0.0:
        return LIMIT_DB
    if numerator <= 0.0:
        return -LIMIT_DB
    level = 10.0 * (math.log10(numerator) - math.log10(denominator))
    return min(max(level, -LIMIT_DB), LIMIT_DB)
