"""BSS Eval version 4: the definition of museval, by faster linear algebra.

Each estimated stem is split, window by window, into its true image, a filtered version of it, filtered
versions of the other stems, and what is left. The filters are the 512-tap multichannel filters that fit the
estimate best over the *whole* track.

Conventions
-----------
Signals have the shape (2, samples); every stem of the track is needed, because the others are what
interferes. Windows of one second follow one another; a remainder is dropped. A window in which any stem of
the references or of the estimates is silent (left + right = 0 throughout) has no value for any stem.

Metrics
-------
All in dB, limited to ±100 (museval's are infinite for a perfect estimate). With s the true image, p_s the
projection of the estimate ŝ on all delays of s, p the one on all delays of all stems:

SDR   ‖s‖² / ‖ŝ − s‖²           everything that is wrong
ISR   ‖s‖² / ‖p_s − s‖²         filtering and panning of the stem itself
SIR   ‖p_s‖² / ‖p − p_s‖²       other stems
SAR   ‖p‖² / ‖ŝ − p‖²           what no filter of any stem explains

Notes
-----
The correlations behind the normal equations are accumulated from short transforms, once per track. The matrix
(stems × channels × taps squared) is symmetric and positive definite, so that one Cholesky factor serves all
estimates. Windows are judged by their spectra: only energies are asked for, and Parseval has them.

Two ears that hear one dry source through short filters are linearly dependent: h_R ∗ L = h_L ∗ R. The
normal equations of a binaural track are therefore nearly singular, and museval's solution in their null
space is the rounding of the files, with filters of up to 2·10⁶, which the edges of the windows let through
(ISR of −95 dB for the plain mixture). Where a pivot falls below 90 dB under its diagonal element
(``regularised``), every diagonal element is raised by 60 dB below itself, which picks small filters, for all
stems together and for each alone. Between −70 and −50 dB the ratios of a noisy estimate move by less than
0.3 dB. SDR needs no filter and is the same in any case.

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
_SECTION = 8192  # transform length of the correlations
_CHUNK = 32  # sections at a time


@dataclass(frozen=True)
class BssEval:
    """Ratios of every stem and window.

    Attributes
    ----------
    values : ndarray, shape (4, stems, windows)
        SDR, ISR, SIR, SAR in dB; NaN in windows without a value, and for stems without an estimate.
    valid : ndarray of bool, shape (windows,)
    regularised : bool
        The normal equations were nearly singular.
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
    """SDR, ISR, SIR and SAR of every stem of a track.

    Parameters
    ----------
    references : mapping of str to array_like, shape (2, samples)
        Every true stem.
    estimates : mapping of str to array_like, shape (2, samples)
        By the same names; a stem without an estimate gets no value. All are trimmed to the shortest.
    sample_rate : int
        Hz; a window is as many samples.
    taps : int
        Length of the filters.
    reference_gain : float
        Multiplies every reference.
    workers : int, optional
        Threads; every core of this process by default.

    Returns
    -------
    BssEval

    Raises
    ------
    InputError
        Unusable signals, no estimate at all, a reference that is silent throughout (BSS Eval then has no
        answer for any stem), or a track shorter than the filters.
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
        return _judge(refs, ests, scored, filters, start, size, reference_gain)

    values = np.stack(threaded(window, range(0, samples - size + 1, size), workers), axis=-1)
    valid = np.asarray(np.isfinite(values[:, scored]).all(axis=(0, 1)))
    return BssEval(values, valid, filters.regularised)


def _is_silent(x: FloatArray) -> bool:
    """As museval has it: both channels add up to zero in every sample."""
    return not np.any(x[0] + x[1])


# ---------------------------------------------------------------------------------------------- filters


@dataclass(frozen=True)
class _Filters:
    """Transfer functions, on the bins of a window's transform of `size` samples.

    Attributes
    ----------
    every : ndarray, shape (estimated channels, reference channels, bins)
        From all reference channels to each channel of the scored estimates.
    own : ndarray, shape (estimated channels, 2, bins)
        From the two channels of the stem itself.
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
        # One kind of filters for the whole track: SIR compares those of all stems with those of one.
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

    x runs over the reference channels, y over those and the estimates'. Sections of x are multiplied with
    the piece of y that they can meet, and the products added up as spectra.
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
        # One small matrix product per bin; it wants the sections side by side.
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
    """Gram matrix of the delayed references and its right-hand sides, one column per estimated channel."""
    gram = np.empty((inputs * taps, inputs * taps), order="F")
    for i in range(inputs):
        for j in range(inputs):
            # Row a, column b: Σ_n x_i[n − a]·x_j[n − b], the correlation at a − b.
            lags = np.concatenate([correlation[j, i, :0:-1], correlation[i, j]])
            toeplitz = np.lib.stride_tricks.sliding_window_view(lags, taps)[:, ::-1]
            gram[i * taps : (i + 1) * taps, j * taps : (j + 1) * taps] = toeplitz
    gram[np.diag_indices_from(gram)] += _EPS  # as museval does
    target = correlation[:, inputs:].transpose(0, 2, 1).reshape(inputs * taps, -1)
    return gram, target


def _solve(gram: Float64, target: Float64, *, regularise: bool = False) -> tuple[Float64, bool]:
    """Solution of the symmetric positive definite system, and whether it was regularised, as it must be
    where it is singular."""
    diagonal = gram.diagonal().copy()
    if not regularise:
        try:
            factor, lower = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
            pivots = factor.diagonal() ** 2
            if np.all(pivots > _SINGULAR * diagonal):
                return np.asarray(cho_solve((factor, lower), target, check_finite=False)), False
        except LinAlgError:
            pass
    # The upper triangle still holds the matrix.
    gram = np.triu(gram, 1)
    gram += gram.T
    gram[np.diag_indices_from(gram)] = diagonal * (1.0 + _RIDGE)
    factor, lower = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(cho_solve((factor, lower), target, check_finite=False)), True


_SINGULAR = 1e-9
"""Share of a diagonal element that a pivot must keep. The noise of 16-bit files is above it (1e-6 to 1e-8 for
stems of usual level); what is below is the rounding of float32 files."""
_RIDGE = 1e-6


# ---------------------------------------------------------------------------------------------- windows


def _judge(
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
    """Energy of the signal behind a one-sided spectrum of `size` samples (Parseval)."""
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
