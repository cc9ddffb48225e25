"""The built-in HRIR set: the head as a rigid sphere.

The pressure on a rigid sphere under a plane wave, over the pressure that the wave alone would have at the
sphere's centre, is

    H(μ, θ) = (−i/μ²) Σ_m (2m + 1) i^m P_m(cos θ) / h′_m⁽²⁾(μ),   μ = 2πfa/c,

where θ is the angle between the source and the point on the sphere, P_m a Legendre polynomial and h′_m⁽²⁾
the derivative of the spherical Hankel function of the second kind (time goes as e^{+iωt}, so that a negative
phase is a delay).

References
----------
Duda & Martens, "Range dependence of the response of a spherical head model", JASA 104(5), 1998; its limit
for a far source.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from .measured import Float64Array

RADIUS = 0.0875
"""Radius of the head, m."""

SPEED_OF_SOUND = 343.0
"""m/s."""

SAMPLE_RATE = 44100
"""Hz."""

TAPS = 256
STEP = 5
"""Difference between neighbouring azimuths, degrees."""

EARS = (90.0, 270.0)
"""Azimuth of the left and the right ear, degrees."""

_DELAY = 48  # samples: room before the first arrival (−a/c, 11 samples) for the ringing of the band limit
_EXTRA_TERMS = 25  # of the series, beyond 1.3μ
_FADE = 16  # samples at either end
_ROLL_OFF = 20000.0  # Hz: from here to the Nyquist frequency the response fades out
_FFT_LENGTH = 4096  # so long that the response has decayed after TAPS and does not wrap around

ComplexArray = npt.NDArray[np.complex128]


def response(frequencies: npt.ArrayLike, incidence: npt.ArrayLike) -> ComplexArray:
    """Frequency response at points on the sphere.

    Parameters
    ----------
    frequencies : array, shape (F,)
        Hz, zero or more.
    incidence : array, shape (N,)
        Angle θ between source and point, degrees.

    Returns
    -------
    array, shape (N, F)
        1 at 0 Hz.
    """
    mu = 2 * np.pi * np.asarray(frequencies, dtype=np.float64) * RADIUS / SPEED_OF_SOUND
    cosine = np.cos(np.radians(np.asarray(incidence, dtype=np.float64)))
    total = np.zeros((cosine.size, mu.size), dtype=np.complex128)
    # Every frequency has its own number of terms. With more terms, h′_m overflows.
    orders = np.ceil(1.3 * mu + _EXTRA_TERMS)
    for m in range(int(orders.max(initial=0)) + 1):
        active = (mu > 0) & (orders >= m)
        x = mu[active]
        derivative = spherical_jn(m, x, derivative=True) - 1j * spherical_yn(m, x, derivative=True)
        term = (2 * m + 1) * 1j ** (m % 4) / derivative
        total[:, active] += eval_legendre(m, cosine)[:, None] * term
    positive = mu > 0
    total[:, positive] *= -1j / mu[positive] ** 2
    total[:, ~positive] = 1.0
    return total


def impulse_responses() -> tuple[Float64Array, Float64Array]:
    """Compute the whole set.

    Returns
    -------
    azimuths : array, shape (72,)
        Degrees counter-clockwise, 0 = front, 90 = left ear.
    irs : array, shape (72, 2, 256)
        Left and right ear at :data:`SAMPLE_RATE`, causal by a common delay.
    """
    azimuths = np.arange(0.0, 360.0, STEP)
    # The response depends only on the angle of incidence: 37 responses give all 144.
    by_incidence = at_incidence(np.arange(0.0, 180.0 + STEP, STEP))
    irs = np.empty((azimuths.size, 2, TAPS))
    for ear, position in enumerate(EARS):
        apart = np.abs((azimuths - position + 180.0) % 360.0 - 180.0)
        irs[:, ear] = by_incidence[np.rint(apart / STEP).astype(np.int64)]
    return azimuths, irs


def at_incidence(incidence: npt.ArrayLike, radius: float = RADIUS) -> Float64Array:
    """Impulse responses at points on a sphere of `radius` m, shape (N, 256), for angles of incidence in degrees."""
    frequencies = np.arange(_FFT_LENGTH // 2 + 1) * (SAMPLE_RATE / _FFT_LENGTH)
    spectra = response(frequencies * (radius / RADIUS), incidence)
    spectra *= np.exp(-2j * np.pi * frequencies * _DELAY / SAMPLE_RATE) * _low_pass(frequencies)
    irs = np.fft.irfft(spectra, _FFT_LENGTH)[:, :TAPS] * _fades()
    # Rounded to 24 bit, as a measured set is stored, so that the hash does not depend on the last bit of a sine.
    return np.asarray(np.round(irs * 2.0**23) / 2.0**23)


def _low_pass(frequencies: npt.NDArray[np.floating]) -> Float64Array:
    # A rectangular filter at the Nyquist frequency would ring over all taps, and before the first arrival.
    nyquist = SAMPLE_RATE / 2
    position = np.clip((frequencies - _ROLL_OFF) / (nyquist - _ROLL_OFF), 0.0, 1.0)
    return np.asarray(np.cos(position * math.pi / 2) ** 2)


def _fades() -> Float64Array:
    rise = np.sin((np.arange(_FADE) + 0.5) / _FADE * math.pi / 2) ** 2
    return np.concatenate([rise, np.ones(TAPS - 2 * _FADE), rise[::-1]])
