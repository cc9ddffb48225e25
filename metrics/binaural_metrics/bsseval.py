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
stems × channels × taps, is symmetric and positive definite and consists of Toeplitz blocks. Its Cholesky factor costs
O(taps²) by the algorithm of Schur, serves all estimates, and is followed by iterative refinement.
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
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.linalg import LinAlgError

from .arrays import NUMPY, Arrays, current
from .normal_equations import RIDGE, NormalEquations
from .reuse import NO_CACHE, ReferenceCache
from .signals import (
    BoolArray,
    Float64,
    FloatArray,
    InputError,
    blocks,
    check_sample_rate,
    check_signal,
    load,
)
from .threads import one_blas_thread, threaded

FILTER_TAPS = 512
LIMIT_DB = 100.0
METRICS = ("SDR", "ISR", "SIR", "SAR")

_ComplexArray = npt.NDArray[np.complex128]
_SECTION = 8192  # transform length of the correlations, in samples
_CHUNK = 16  # sections per task


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
    cache: ReferenceCache = NO_CACHE,
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
    cache : ReferenceCache, optional
        Keeps what depends on the references alone, for further estimates of them.

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
    on = current()
    filters = _fit(refs, ests, scored, taps, size, workers, cache, on)

    def window(start: int) -> Float64:
        if any(_is_silent(x[:, start : start + size]) for x in (*refs, *ests)):
            return np.full((len(METRICS), len(refs)), np.nan)
        return _window_ratios(refs, ests, scored, filters, start, size, reference_gain, on)

    values = np.stack(list(threaded(window, range(0, samples - size + 1, size), workers)), axis=-1)
    valid = np.asarray(np.isfinite(values[:, scored]).all(axis=(0, 1)))
    return BssEval(values, valid, filters.regularised)


def _is_silent(x: FloatArray) -> bool:
    """Whether left + right is zero in every sample, museval's definition of silence."""
    return not any(np.any(part[0] + part[1]) for part in blocks(x))


# ---------------------------------------------------------------------------------------------- filters


@dataclass(frozen=True)
class _Filters:
    """Transfer functions at the bins of a window's transform of `size` samples.

    They are among the arrays of the device.

    Attributes
    ----------
    every : array, shape (estimated channels, reference channels, bins)
        From all reference channels to each channel of the scored estimates.
    own : array, shape (estimated channels, 2, bins)
        From the two reference channels of the same stem to each channel of the scored estimates.
    size : int
    regularised : bool
    """

    every: Any
    own: Any
    size: int
    regularised: bool


def _fit(
    refs: list[FloatArray],
    ests: list[FloatArray],
    scored: list[int],
    taps: int,
    window: int,
    workers: int | None,
    cache: ReferenceCache,
    on: Arrays,
) -> _Filters:
    """Least-squares filters from the references to each estimate."""
    of_estimates: list[Float64] = []
    factorised: list[tuple[NormalEquations, NormalEquations]] = []

    def equations(of_refs: Float64, ridge: float) -> tuple[NormalEquations, NormalEquations]:
        pairs = np.stack([of_refs[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] for k in scored])
        return NormalEquations.of(pairs, ridge), NormalEquations.of(of_refs[None], ridge)

    def correlations() -> tuple[Float64, bool]:
        of_refs, of_ests = _correlations(refs, ests, taps, workers, on, whole=True)
        of_estimates.append(of_ests)
        # SIR compares the filters of all stems with those of one stem, so regularise both or none.
        try:
            factorised.append(equations(of_refs, 0.0))
        except LinAlgError:
            return of_refs, True
        return of_refs, False

    name = taps, tuple(scored)
    of_refs, regularised = cache.get(refs, ("correlations", *name), correlations)
    own, every = cache.get_large(
        refs,
        ("equations", *name),
        lambda: factorised[0] if factorised else equations(of_refs, RIDGE if regularised else 0.0),
    )
    if not of_estimates:
        of_estimates.append(_correlations(refs, ests, taps, workers, on, whole=False)[1])
    target = of_estimates[0]
    pairs = np.stack([target[2 * stem : 2 * stem + 2, 2 * k : 2 * k + 2] for k, stem in enumerate(scored)])
    size = int(fft.next_fast_len(window + taps - 1, real=True))
    spectra = [
        on.rfft(on.put(filters.reshape(-1, *filters.shape[2:])), size)
        for filters in (every.solution(target[None]), own.solution(pairs))
    ]
    return _Filters(spectra[0], spectra[1], size, regularised)


def _correlations(
    refs: list[FloatArray],
    ests: list[FloatArray],
    taps: int,
    workers: int | None,
    on: Arrays,
    *,
    whole: bool,
) -> tuple[Float64, Float64]:
    """Σ_n x_i[n]·y_j[n + k] for 0 ≤ k < taps over the track, shape (reference channels, channels of y, taps).

    x are the reference channels. y are the same channels in the first result, which is empty unless it is asked for by
    `whole`, and those of the estimates in the second. x is cut into sections. Each is correlated with the piece of y
    that the lags reach, and the products are summed as spectra.
    """
    samples = refs[0].shape[1]
    size = max(_SECTION, 4 * int(fft.next_fast_len(taps, real=True)))
    section = size - taps + 1
    inputs = 2 * len(refs)

    def chunk(start: int) -> tuple[Any, Any]:
        count = min(_CHUNK, -(-(samples - start) // section))
        stop = start + count * section
        pieces = np.concatenate([load(x, start, stop + taps - 1) for x in (*refs, *ests)])
        padded = np.zeros((inputs, count, size))
        padded[..., :section] = pieces[:inputs, : count * section].reshape(inputs, count, section)
        before = on.rfft(on.put(padded))
        after = on.rfft(on.windows(on.put(pieces if whole else pieces[inputs:]), size, section))
        # One small matrix product per bin, fastest with contiguous sections. The two products are separate, so that
        # the second one is the same with and without the first.
        left, outputs = on.moved(on.conj(before), (2, 0, 1)), 2 * len(ests)
        of_refs, of_ests = (
            on.moved(part, (2, 1, 0)) for part in (after[:-outputs, ...], after[-outputs:, ...])
        )
        return left @ of_refs, left @ of_ests

    totals: tuple[Any, Any] | None = None
    for part in threaded(chunk, range(0, samples, _CHUNK * section), workers):
        totals = part if totals is None else (totals[0] + part[0], totals[1] + part[1])
    assert totals is not None  # there is at least one sample
    of_refs, of_ests = (_in_time(on.get(total), size, taps) for total in totals)
    return of_refs, of_ests


def _in_time(spectra: _ComplexArray, size: int, taps: int) -> Float64:
    """The first `taps` lags, on the last axis, from spectra of shape (bins, channels of x, channels of y)."""
    if not spectra.shape[2]:
        return np.empty((spectra.shape[1], 0, taps))
    return np.asarray(fft.irfft(spectra, size, axis=0)[:taps].transpose(1, 2, 0))


# ---------------------------------------------------------------------------------------------- windows


def _window_ratios(
    refs: list[FloatArray],
    ests: list[FloatArray],
    scored: list[int],
    filters: _Filters,
    start: int,
    size: int,
    gain: float,
    on: Arrays,
) -> Float64:
    """Ratios of one window, shape (4, stems)."""
    true = np.concatenate([load(x, start, start + size) for x in refs])
    found = np.concatenate([load(x, start, start + size) for x in ests])
    ratios = np.full((len(METRICS), len(refs)), np.nan)
    if on is NUMPY:
        energies = _energies(true, found, scored, filters, gain)
    else:
        energies = _energies_on(on, true, found, scored, filters, gain)
    for k, (stem, parts) in enumerate(zip(scored, energies, strict=True)):
        filtered, projected, spatial, interference, artifacts = parts
        image, estimate = gain * true[2 * stem : 2 * stem + 2], found[2 * k : 2 * k + 2]
        energy, error = float(np.sum(image**2)), float(np.sum((estimate - image) ** 2))
        ratios[:, stem] = (
            _ratio(energy, error),
            _ratio(energy, spatial),
            _ratio(filtered, interference),
            _ratio(projected, artifacts),
        )
    return ratios


def _energies(
    true: Float64, found: Float64, scored: list[int], filters: _Filters, gain: float
) -> list[list[float]]:
    """Energies of p_s, p, p_s − s, p − p_s and ŝ − p of each scored stem, from the samples of all channels."""
    inputs, outputs = fft.rfft(true, filters.size), fft.rfft(found, filters.size)
    part, energies = np.empty_like(inputs[0]), []
    for k, stem in enumerate(scored):
        filtered = projected = spatial = interference = artifacts = 0.0
        for c in (0, 1):
            o, s = 2 * k + c, gain * inputs[2 * stem + c]
            own = _filtered(filters.own[o], inputs[2 * stem : 2 * stem + 2], part)
            every = _filtered(filters.every[o], inputs, part)
            filtered += _energy(own, filters.size)
            projected += _energy(every, filters.size)
            spatial += _energy(own - s, filters.size)
            interference += _energy(every - own, filters.size)
            artifacts += _energy(outputs[o] - every, filters.size)
        energies.append([filtered, projected, spatial, interference, artifacts])
    return energies


def _energies_on(
    on: Arrays, true: Float64, found: Float64, scored: list[int], filters: _Filters, gain: float
) -> list[list[float]]:
    """The same as :func:`_energies` on a device, for all stems at once."""
    xp, size = on.xp, filters.size
    inputs, outputs = on.rfft(on.put(true), size), on.rfft(on.put(found), size)
    ears = np.array([[2 * stem, 2 * stem + 1] for stem in scored])
    image = gain * on.rows(inputs, ears.ravel())
    pairs = xp.reshape(on.rows(inputs, np.repeat(ears, 2, axis=0).ravel()), filters.own.shape)
    own, every = xp.sum(filters.own * pairs, axis=1), xp.sum(filters.every * inputs[None, ...], axis=1)
    parts = xp.stack([own, every, own - image, every - own, outputs - every])
    weights = np.full(size // 2 + 1, 2.0)  # Parseval: a one-sided spectrum
    weights[[0, -1] if size % 2 == 0 else [0]] = 1.0
    energies = on.get((xp.real(parts) ** 2 + xp.imag(parts) ** 2) @ on.put(weights / size))
    return [energies[:, 2 * k : 2 * k + 2].sum(axis=1).tolist() for k in range(len(scored))]


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
