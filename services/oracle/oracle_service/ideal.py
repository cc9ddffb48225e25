"""Upper and lower bounds: the mixture as it is, ideal masks, and the oracle multichannel Wiener filter.

Conventions
-----------
x(n, f) is the mixture's and s_j(n, f) stem j's vector of two short-time spectra (:mod:`.stft`), one per ear;
s_jc is one ear's. Every filter's gains add up to one over the stems, so the estimates add up to the mixture.
Where all stems are digitally silent there is nothing to decide by, and the four share the mixture equally.

Separators
----------
mixture      ŝ_j = x                                       nothing is separated: the floor
irm          ŝ_jc = x_c · \\|s_jc\\| / Σ_k \\|s_kc\\|          a ratio of magnitudes, for each ear by itself
irm_shared   ŝ_j = x · ‖s_j‖ / Σ_k ‖s_k‖                  the same mask for both ears
ibm          ŝ_jc = x_c where \\|s_jc\\| is the largest      all or nothing, for each ear by itself
ibm_shared   ŝ_j = x where ‖s_j‖ is the largest
mwf          ŝ_j = v_j R_j (Σ_k v_k R_k)⁻¹ x               v_j(n, f) = ‖s_j‖²/2,
                                                           R_j(f) = Σ_n s_j s_jᴴ / Σ_n v_j(n, f)

These three families are the oracles of the SiSEC 2018 campaign [1]_. The ratio mask is of magnitudes
(exponent 1), not of powers (exponent 2), because magnitudes of music come closer to adding up [2]_. The
binary mask gives every bin to one stem, so that it, too, adds up to the mixture. A shared mask multiplies
both ears by the same number and therefore leaves the *mixture's* interaural level and phase in every bin,
whatever the stem's were.

The Wiener filter is that of the local Gaussian model with full-rank spatial covariances [3]_, its parameters
not estimated but read off the true stems: tr R_j = 2, so that v_j R_j has the true power in every bin, and
R_j weights frames by their energy, as a source's sound says more about its place than its pauses do. A part
:data:`DIFFUSE` of R_j is taken as diffuse: a source behind a single pair of filters has a singular R_j.

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
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.separation import ReferenceSeparator, Separator

from .stft import BINS, Resynthesis, Spectrum, analyse, blocks

Gains = npt.NDArray[np.float64]

DIFFUSE = 1e-6
"""Part of every spatial covariance that is diffuse (−60 dB); bounds what the Wiener filter has to invert."""


class Mixture(Separator):
    description = "the mixture as every stem: the floor"

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        return dict.fromkeys(STEMS, mixture)


class _Filter(ReferenceSeparator):
    """A separator that filters the mixture's spectrum, a block of frames at a time."""

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        truth = [references[stem] for stem in STEMS]
        prepared = self.prepare(truth)
        estimates = [Resynthesis(*mixture.shape) for _ in STEMS]
        for frames in blocks(mixture.shape[1]):
            spectra = np.stack([analyse(stem, frames) for stem in truth])
            filtered = self.filter(analyse(mixture, frames), spectra, prepared)
            for estimate, spectrum in zip(estimates, filtered, strict=True):
                estimate.add(spectrum)
        return {stem: estimate.signal() for stem, estimate in zip(STEMS, estimates, strict=True)}

    def prepare(self, references: list[FloatArray]) -> Spectrum | None:
        """What the filter has to know of the whole track beforehand."""
        return None

    @abstractmethod
    def filter(self, mixture: Spectrum, stems: Spectrum, prepared: Spectrum | None) -> Spectrum:
        """Estimated spectra of some frames.

        Parameters
        ----------
        mixture : array, shape (2, frames, BINS)
        stems : array, shape (stems, 2, frames, BINS)
        prepared : from :meth:`prepare`

        Returns
        -------
        array, shape (stems, 2, frames, BINS)
        """


class _Mask(_Filter):
    """A filter that multiplies each bin by a real gain.

    Parameters
    ----------
    shared : bool
        One mask for both ears, by the length of the vector of both; else each ear by itself.
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
    kind = "ideal ratio mask of magnitudes"

    def gains(self, magnitudes: Gains) -> Gains:
        return shares(magnitudes)


class BinaryMask(_Mask):
    kind = "ideal binary mask"

    def gains(self, magnitudes: Gains) -> Gains:
        largest = magnitudes.argmax(axis=0)
        mask: Gains = np.stack([largest == stem for stem in range(len(magnitudes))]).astype(np.float64)
        mask[:, magnitudes.max(axis=0) == 0.0] = 1.0 / len(magnitudes)
        return mask


class MultichannelWiener(_Filter):
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
    """`amounts` ≥ 0 divided by their sum over the first axis; equal shares where all are zero.

    Returns
    -------
    array of the same shape, within [0, 1], adding up to one
    """
    total = amounts.sum(axis=0)
    nothing = total == 0.0
    divided: Gains = amounts / np.where(nothing, 1.0, total)
    divided[:, nothing] = 1.0 / len(amounts)
    return divided


def spatial_covariance(stem: FloatArray) -> Spectrum:
    """R(f) of one stem: how its power at every frequency is spread over, and correlated between, the ears.

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
