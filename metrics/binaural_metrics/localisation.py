"""Where a model of human listeners localises a stem, by the response that an estimate carries.

Needs bayesian-listener (EUPL-1.2): ``pip install 'binaural-metrics[listener]'``. The model [1]_ compares noisy
interaural and spectral cues with those of its HRIR set, and gives directions near the horizontal plane a larger weight.

Its input are the impulse responses of the reference's direction, changed as the estimate changed the effective response
(:mod:`binaural_metrics.response`) in the bins that count for both, apart from a common gain. Other bins stay the same.

References
----------
.. [1] R. Barumerli, P. Majdak, M. Geronazzo, D. Meijer, F. Avanzini and R. Baumgartner, "A Bayesian model for human
   directional localization of broadband static sound sources," Acta Acustica, vol. 7, 12, 2023.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from .hrir import HrirSet, check_hrirs, elevations_of
from .response import ear_ratio, effective_response
from .signals import Float64, InputError

_TAPS = 2048  # well within the transforms of the effective response
_ERRORS = ["rmsL", "rmsPmedianlocal", "querrMiddlebrooks"]  # in the order of the attributes below


@dataclass(frozen=True)
class Localisation:
    """Errors of the model's responses; None where undefined.

    Attributes
    ----------
    lateral_rms_deg : float or None
        RMS of the lateral error in degrees, of directions up to 60° of lateral angle.
    polar_rms_deg : float or None
        RMS of the polar error in degrees, of responses up to 30° of lateral angle and 90° of error.
    confusions : float or None
        Responses in % whose polar error is 90° or more, of those up to 30° of lateral angle.
    reason : str
        Why there is no value at all; empty otherwise.
    """

    lateral_rms_deg: float | None = None
    polar_rms_deg: float | None = None
    confusions: float | None = None
    reason: str = ""


class ListenerModel:
    """The model with the ears of an HRIR set, which should surround the listener. It is built once, in seconds.

    Parameters
    ----------
    hrir : HrirSet

    Raises
    ------
    ImportError
        bayesian-listener is not installed.
    ValueError
        The set is unusable, or all its directions are in one plane.
    """

    def __init__(self, hrir: HrirSet) -> None:
        hrir = check_hrirs(hrir, hrir.sample_rate)
        if np.ptp(elevations_of(hrir)) < 60.0:
            raise InputError(
                "the HRIR set has no directions above and below; the model needs ears all around"
            )
        self._hrir, self._irs = hrir, np.asarray(hrir.irs, np.float64)[..., :_TAPS]
        self._scale = float(np.abs(self._irs).max())
        self._listener = self._representation(self._irs)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the orders that it chose
            self._listener.compute_template(use_cache=False)

    def errors(
        self,
        reference: npt.ArrayLike,
        estimate: npt.ArrayLike,
        dry: npt.ArrayLike,
        *,
        repetitions: int = 300,
        seed: int = 0,
    ) -> Localisation:
        """Errors of localisation of one stem.

        Parameters
        ----------
        reference, estimate : array_like, shape (2, samples)
            At the sample rate of the set, as of :func:`binaural_metrics.effective_response`.
        dry : array_like, shape (samples,)
            The signal that was rendered to the reference.
        repetitions : int
            Number of responses of the model.
        seed : int
            Of the model's random numbers.

        Returns
        -------
        Localisation

        Raises
        ------
        ValueError
            A signal is unusable.
        """
        rate = self._hrir.sample_rate
        true = effective_response(reference, reference, dry, rate, self._hrir)
        if true.heard_azimuth_deg is None:
            return Localisation(reason=true.reason("heard_azimuth_deg"))
        azimuths = np.asarray(self._hrir.azimuths) % 360.0
        at = int(
            np.argmin(
                np.abs(azimuths - true.heard_azimuth_deg)
                + np.abs(elevations_of(self._hrir) - (true.heard_elevation_deg or 0.0))
            )
        )
        ratio = ear_ratio(reference, estimate, dry, rate)
        if ratio is None:
            return Localisation(reason="no bin of the estimate has the dry stem")
        heard = self._representation(changed(self._irs[at], ratio)[None], slice(at, at + 1))
        metrics = import_module("bayesian_listener").metrics
        responses = self._listener.localise(heard.target, repetitions=repetitions, seed=seed)
        with warnings.catch_warnings():  # about responses to the side, which have no polar error
            warnings.simplefilter("ignore")
            found = metrics.localization_error(heard.target.coords, responses, _ERRORS, degrees=True)
        lateral, polar, confusions = (
            value if math.isfinite(value := float(found[error])) else None for error in _ERRORS
        )
        return Localisation(lateral, polar, confusions)

    def _representation(self, irs: Float64, rows: slice = slice(None)) -> Any:
        """A listener with the cues of `irs`, whose directions are `rows` of the set."""
        try:
            listener, sofar = import_module("bayesian_listener"), import_module("sofar")
        except ImportError as error:
            raise ImportError(
                f"the model needs {error.name}: pip install 'binaural-metrics[listener]'"
            ) from error
        hrir, sofa = self._hrir, sofar.Sofa("SimpleFreeFieldHRIR")
        sofa.Data_IR, sofa.Data_SamplingRate = irs / self._scale, float(hrir.sample_rate)
        places = np.asarray(hrir.azimuths, np.float64) % 360.0, elevations_of(hrir)
        sofa.SourcePosition = np.stack([*(x[rows] for x in places), np.ones(len(irs))], axis=1)
        found = listener.BayesianListener(sofa)
        highest = min(18e3, 0.45 * hrir.sample_rate)
        found.compute_target(spectral_range=[700.0, highest], reference="none", use_cache=False)
        return found


def changed(irs: Float64, ratio: npt.NDArray[np.complex128]) -> Float64:
    """Impulse responses of both ears after a change of their spectra, with their length and the time of their peak."""
    size = 2 * (ratio.shape[1] - 1)
    found = fft.irfft(fft.rfft(irs, size) * ratio, size)
    shift = int(np.argmax(np.abs(irs).max(axis=0))) - int(np.argmax(np.abs(found).max(axis=0)))
    return np.asarray(np.roll(found, shift, axis=1)[:, : irs.shape[1]])
