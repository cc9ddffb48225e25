"""Energies and least-squares gains of a few vectors, from their inner products."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from .signals import SILENCE, Float64, inner

_EPS = float(np.finfo(np.float64).eps)


def silent_channels_of(channels: Iterable[Float64], energies: Iterable[float]) -> list[bool]:
    """For each channel, whether its standard deviation is below the threshold; `energies` are the channels'."""
    return [_is_silent(x, energy) for x, energy in zip(channels, energies, strict=True)]


def _is_silent(x: Float64, energy: float) -> bool:
    power = energy / len(x)
    # The variance is at least the share of a part of the samples, which decides where they are not constant.
    part = x[len(x) // 2 : len(x) // 2 + _PART]
    mean = inner(part, _ones(len(part))) / len(part)
    if inner(part, part) - len(part) * mean * mean > 1e-10 * len(x) * (1.0 + power):
        return False
    mean = inner(x, _ones(len(x))) / len(x)
    # This variance has an error of a few eps·power. The definition decides where the error could matter.
    if power - mean * mean > 1e-12 * (1.0 + power):
        return False
    return bool(np.std(x) < SILENCE)


_PART = 2048


@lru_cache(maxsize=64)
def _ones(samples: int) -> Float64:
    return np.ones(samples)


# If less than this share of the terms of a quadratic form remains after cancellation, the combination is computed
# sample by sample. All other forms are then exact to 1e-8 dB.
_CANCELLED = 1e-7
# Two vectors count as parallel if less than this share of the second one's energy is orthogonal to the first.
_DEPENDENT = 1e-6


class Span:
    """Energies of the combinations a·u + b·v + c·x and a·u + b·v + c·y of four vectors.

    They are computed from the inner products. Where a combination nearly cancels, the quadratic form would lose
    digits, and the combination is computed sample by sample instead. The ten products are kept in lists,
    because the overhead of a NumPy array would cost more than the arithmetic.
    """

    def __init__(
        self, u: Float64, v: Float64, x: Float64, y: Float64, energies: tuple[float, float] | None = None
    ) -> None:
        """`energies` are those of x and y, if they are known."""
        self.vectors = u, v, x, y
        ends = energies or (inner(x, x), inner(y, y))
        self.diagonal = [inner(u, u), inner(v, v), *ends]
        self.uv = inner(u, v)
        self.of_u, self.of_v = [inner(u, x), inner(u, y)], [inner(v, x), inner(v, y)]

    def energy(self, a: float, b: float, c: float = 0.0, target: int = 0) -> float:
        """‖a·u + b·v + c·x‖², with y in place of x if `target` is 1."""
        uu, vv, end = self.diagonal[0], self.diagonal[1], self.diagonal[2 + target]
        parts = a * a * uu + b * b * vv + c * c * end
        crossed = a * b * self.uv + c * (a * self.of_u[target] + b * self.of_v[target])
        energy = parts + 2.0 * crossed
        if energy > _CANCELLED * parts:
            return energy
        u, v, ends = self.vectors[0], self.vectors[1], self.vectors[2:]
        combined = a * u + b * v
        if c:
            combined += c * ends[target]
        return inner(combined, combined)

    @property
    def dependent(self) -> bool:
        """Whether u and v are nearly parallel, so that a difference of their inner products loses digits."""
        product = self.diagonal[0] * self.diagonal[1]
        return product - self.uv * self.uv <= _DEPENDENT * product

    def least_squares(self, audible: list[int]) -> Float64:
        """Minimum-norm least-squares gains of u and v, or of the audible one, to x (as ``numpy.linalg.lstsq``)."""
        to_x = self.of_u[0], self.of_v[0]
        if len(audible) == 1:
            (k,) = audible
            return np.array([to_x[k] / self.diagonal[k]])
        if self.dependent:
            return _least_squares(*self.vectors[:3])
        uu, vv, uv = self.diagonal[0], self.diagonal[1], self.uv
        determinant = uu * vv - uv * uv
        gains = (vv * to_x[0] - uv * to_x[1]) / determinant, (uu * to_x[1] - uv * to_x[0]) / determinant
        return np.array(gains)


def _least_squares(first: Float64, second: Float64, target: Float64) -> Float64:
    """Minimum-norm least-squares gains of two columns that are nearly the same signal.

    The QR decomposition of the columns leaves a 2 by 2 problem with the same singular values. Two rounds of
    Gram-Schmidt keep the digits that the normal equations would lose.
    """
    r11 = math.sqrt(inner(first, first))
    q1 = first / r11
    rest, r12 = second, 0.0
    for _ in range(2):
        part = inner(q1, rest)
        rest, r12 = rest - part * q1, r12 + part
    r22 = math.sqrt(inner(rest, rest))
    across = inner(rest, target) / r22 if r22 > 0.0 else 0.0
    triangle, image = np.array([[r11, r12], [0.0, r22]]), np.array([inner(q1, target), across])
    return np.asarray(np.linalg.lstsq(triangle, image, rcond=_EPS * len(target))[0])
