"""Upper and lower bounds: the unprocessed mixture, ideal masks, and the oracle multichannel Wiener filter.

Conventions
-----------
x(n, f) and s_j(n, f) are vectors of two short-time spectra (:mod:`.stft`), one per ear, of the mixture and of stem j;
s_jc is the spectrum of one ear. The gains of every filter add up to one over the stems, so the estimates add up to the
mixture. Where all stems are digitally silent, the estimates are equal shares of the mixture.

Separators
----------
mixture      ŝ_j = x                                       nothing is separated: the lower bound
irm          ŝ_jc = x_c · \\|s_jc\\| / Σ_k \\|s_kc\\|          a ratio of magnitudes, separately for each ear
irm_shared   ŝ_j = x · ‖s_j‖ / Σ_k ‖s_k‖                  the same mask for both ears
ibm          ŝ_jc = x_c where \\|s_jc\\| is the largest      all or nothing, separately for each ear
ibm_shared   ŝ_j = x where ‖s_j‖ is the largest
mwf          ŝ_j = v_j R_j (Σ_k v_k R_k)⁻¹ x               v_j(n, f) = ‖s_j‖²/2,
                                                           R_j(f) = Σ_n s_j s_jᴴ / Σ_n v_j(n, f)

These three families are the oracles of the SiSEC 2018 campaign [1]_. The ratio mask uses magnitudes (exponent 1)
instead of powers (exponent 2), because the magnitudes of music are closer to being additive [2]_. The binary mask
assigns every bin to one stem, so that its estimates add up to the mixture, too. A shared mask multiplies both ears by
the same number. It therefore keeps the interaural level and phase of the *mixture* in every bin, instead of the stem's.

The Wiener filter is that of the local Gaussian model with full-rank spatial covariances [3]_. Its parameters are
computed from the true stems: tr R_j = 2, so that v_j R_j has the true power in every bin, and R_j weights frames by
their energy, because a pause says nothing about the position of a source. A part :data:`DIFFUSE` of R_j is diffuse,
because R_j would be singular for a source that was filtered with a single pair of impulse responses.

References
----------
.. [1] F.-R. Stöter, A. Liutkus and N. Ito, "The 2018 Signal Separation Evaluation Campaign," LVA/ICA, 2018.
.. [2] A. Liutkus and R. Badeau, "Generalized Wiener filtering with fractional power spectrograms," IEEE
   International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2015.
.. [3] N. Q. K. Duong, E. Vincent and R. Gribonval, "Under-Determined Reverberant Audio Source Separation
   Using a Full-Rank Spatial Covariance Model," IEEE Transactions on Audio, Speech, and Language Processing
   18(7), 2010.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import FloatArray
from mssbench_service.separation import AnyStemsSeparator, ReferenceSeparator
from mssbench_service.wire import ModelCard

from .stft import BINS, Resynthesis, Spectrum, analyse, blocks

Gains = npt.NDArray[np.float64]

DIFFUSE = 1e-6
"""Diffuse part of every spatial covariance (−60 dB). It bounds the condition of the matrix to invert."""


class Mixture(AnyStemsSeparator):
    """The mixture as the estimate of every stem."""

    description = "the mixture as every stem: the floor"

    def separate_into(
        self, mixture: FloatArray, stems: Sequence[str], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return dict.fromkeys(stems, mixture)

    def card(self) -> ModelCard:
        return ModelCard(self.description, 0, "none", contains_test_set="no")


class _Filter(ReferenceSeparator):
    """A separator that filters the spectrum of the mixture in blocks of frames."""

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        truth = list(references.values())
        prepared = self.prepare(truth)
        estimates = [Resynthesis(*mixture.shape) for _ in truth]
        for frames in blocks(mixture.shape[1]):
            spectra = np.stack([analyse(stem, frames) for stem in truth])
            filtered = self.filter(analyse(mixture, frames), spectra, prepared)
            for estimate, spectrum in zip(estimates, filtered, strict=True):
                estimate.add(spectrum)
        return {stem: estimate.signal() for stem, estimate in zip(references, estimates, strict=True)}

    def prepare(self, references: list[FloatArray]) -> Spectrum | None:
        """Parameters of the filter that depend on the whole track."""
        return None

    @abstractmethod
    def filter(self, mixture: Spectrum, stems: Spectrum, prepared: Spectrum | None) -> Spectrum:
        """Estimate the spectra of consecutive frames.

        Parameters
        ----------
        mixture : array, shape (2, frames, BINS)
        stems : array, shape (stems, 2, frames, BINS)
        prepared : result of :meth:`prepare`

        Returns
        -------
        array, shape (stems, 2, frames, BINS)
        """


class _Mask(_Filter):
    """A filter that multiplies each bin by a real gain.

    Parameters
    ----------
    shared : bool
        Compute one mask for both ears, from the norm of the vector of both; otherwise one mask per ear.
    """

    kind = ""

    def __init__(self, shared: bool = False) -> None:
        self.shared = shared
        self.description = f"{self.kind}, {'one for both ears' if shared else 'each ear by itself'}"

    def filter(self, mixture: Spectrum, stems: Spectrum, prepared: Spectrum | None) -> Spectrum:
        magnitudes = np.abs(stems)
        if self.shared:
            magnitudes = np.hypot(magnitudes[:, :1], magnitudes[:, 1:])
        return np.asarray(self.gains(magnitudes) * mixture)

    @abstractmethod
    def gains(self, magnitudes: Gains) -> Gains:
        """Masks within [0, 1] that add up to one over the stems (the first axis)."""


class RatioMask(_Mask):
    """Ideal ratio mask of magnitudes.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> stems = {
    ...     stem: rng.standard_normal((2, 8000)).astype(np.float32) for stem in ("bass", "drums", "vocals", "other")
    ... }
    >>> mixture = sum(stems.values())
    >>> estimates = RatioMask().separate_with(mixture, stems, 44100)
    >>> estimates["vocals"].shape
    (2, 8000)
    >>> bool(np.allclose(sum(estimates.values()), mixture, atol=1e-5))
    True
    """

    kind = "ideal ratio mask of magnitudes"

    def gains(self, magnitudes: Gains) -> Gains:
        return shares(magnitudes)


class BinaryMask(_Mask):
    """Ideal binary mask: each bin goes to the stem with the largest magnitude, and the first one of equal stems.

    Examples
    --------
    >>> import numpy as np
    >>> magnitudes = np.array([3.0, 1.0, 0.0, 2.0]).reshape(4, 1, 1)  # of four stems in one bin
    >>> BinaryMask().gains(magnitudes).ravel().tolist()
    [1.0, 0.0, 0.0, 0.0]
    """

    kind = "ideal binary mask"

    def gains(self, magnitudes: Gains) -> Gains:
        largest = magnitudes.argmax(axis=0)
        mask: Gains = np.stack([largest == stem for stem in range(len(magnitudes))]).astype(np.float64)
        mask[:, magnitudes.max(axis=0) == 0.0] = 1.0 / len(magnitudes)
        return mask


class MultichannelWiener(_Filter):
    """Oracle multichannel Wiener filter with the true power spectra and spatial covariances.

    Examples
    --------
    Two sources that are panned by amplitude can be recovered from two ears:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> silence = np.zeros((2, 20_000), np.float32)
    >>> stems = {"bass": silence, "drums": silence, "other": silence, "vocals": silence}
    >>> for stem, gains in (("vocals", [0.9, 0.4]), ("drums", [0.2, 1.0])):
    ...     stems[stem] = np.outer(gains, rng.standard_normal(20_000)).astype(np.float32)
    >>> estimates = MultichannelWiener().separate_with(sum(stems.values()), stems, 44100)
    >>> error = estimates["vocals"] - stems["vocals"]
    >>> bool(10 * np.log10(np.sum(error**2) / np.sum(stems["vocals"] ** 2)) < -50)
    True
    """

    description = "oracle multichannel Wiener filter: true power spectra and spatial covariances"

    def prepare(self, references: list[FloatArray]) -> Spectrum:
        """Spatial covariances R_j(f), shape (stems, 2, 2, BINS), trace 2."""
        return np.stack([spatial_covariance(stem) for stem in references])

    def filter(self, mixture: Spectrum, stems: Spectrum, prepared: Spectrum | None) -> Spectrum:
        assert prepared is not None
        power = np.sum(stems.real**2 + stems.imag**2, axis=1)
        # v_k/Σv instead of v_k: the filter is the same, and no product of tiny numbers can underflow.
        part = shares(power)
        # Σ_k v_k R_k/Σv is Hermitian with trace 2 and both eigenvalues at least DIFFUSE.
        left = np.einsum("kfb,kb->fb", part, prepared[:, 0, 0].real)
        right = np.einsum("kfb,kb->fb", part, prepared[:, 1, 1].real)
        cross = np.einsum("kfb,kb->fb", part, prepared[:, 0, 1])
        determinant = left * right - (cross.real**2 + cross.imag**2)
        whitened = np.stack(
            [right * mixture[0] - cross * mixture[1], left * mixture[1] - cross.conj() * mixture[0]]
        )
        whitened /= determinant
        return np.asarray(np.einsum("kfb,kcdb,dfb->kcfb", part, prepared, whitened, optimize=True))


def shares(amounts: Gains) -> Gains:
    """Divide by the sum over the first axis; give equal shares where all amounts are zero.

    Parameters
    ----------
    amounts : array, shape (stems, ...)
        Zero or positive.

    Returns
    -------
    array, shape (stems, ...)
        Within [0, 1]; adds up to one over the stems.

    Examples
    --------
    >>> import numpy as np
    >>> shares(np.array([[3.0, 0.0], [1.0, 0.0]])).tolist()
    [[0.75, 0.5], [0.25, 0.5]]
    """
    total = amounts.sum(axis=0)
    nothing = total == 0.0
    divided: Gains = amounts / np.where(nothing, 1.0, total)
    divided[:, nothing] = 1.0 / len(amounts)
    return divided


def spatial_covariance(stem: FloatArray) -> Spectrum:
    """Compute R(f) of one stem: the distribution of its power over the ears, and their correlation, per frequency.

    Parameters
    ----------
    stem : array, shape (2, samples)

    Returns
    -------
    array, shape (2, 2, BINS), complex128
        Hermitian and positive definite, trace 2; the identity where the stem has no power.
    """
    covariance = np.zeros((2, 2, BINS), np.complex128)
    for frames in blocks(stem.shape[1]):
        spectrum = analyse(stem, frames)
        covariance += np.einsum("cfb,dfb->cdb", spectrum, spectrum.conj())
    power = (covariance[0, 0] + covariance[1, 1]).real
    covariance[:, :, power > 0.0] *= 2.0 / power[power > 0.0]
    identity = np.eye(2)[:, :, np.newaxis]
    covariance[:, :, power == 0.0] = identity
    return np.asarray((1.0 - DIFFUSE) * covariance + DIFFUSE * identity)
