"""Energies and least-squares gains of a few vectors, from their inner products."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .signals import SILENCE, Float64, inner

_EPS = float(np.finfo(np.float64).eps)


_PART = 2048


class Channel:
    """Samples of one channel, their energy, and whether their standard deviation is below the threshold.

    Attributes
    ----------
    x : ndarray, shape (samples,)
    energy : float
    spread : float
        Sum of squared differences from the mean of some samples in the middle, which is at most that of all.
    silent : bool
    """

    def __init__(self, x: Float64, energy: float | None = None, spread: float = 0.0) -> None:
        self.x, self.energy = x, inner(x, x) if energy is None else energy
        self.spread = spread or _spread(x[len(x) // 2 : len(x) // 2 + _PART])
        # The spread of a part decides where the samples are not constant.
        self.silent = self.spread <= 1e-10 * (len(x) + self.energy) and _is_silent(x, self.energy)

    def window(self, around: Float64, at: int, start: int, stop: int) -> Channel:
        """Samples `start` to `stop` of `around`, in which this channel starts at `at`."""
        end = at + len(self.x)
        if (start, stop) == (at, end):
            return self
        energy = self.energy
        for old, new, sign in ((at, start, -1), (end, stop, 1)):
            part = around[min(old, new) : max(old, new)]
            energy += (sign if new > old else -sign) * inner(part, part)
        middle = at + len(self.x) // 2
        return Channel(
            around[start:stop],
            energy if energy > 0.5 * self.energy else None,  # the difference may have lost digits
            self.spread if start <= middle and middle + _PART <= min(end, stop) else 0.0,
        )


def _spread(x: Float64) -> float:
    total = inner(x, _ones(len(x)))
    return inner(x, x) - total * total / len(x)


def _is_silent(x: Float64, energy: float) -> bool:
    power, mean = energy / len(x), inner(x, _ones(len(x))) / len(x)
    # This variance has an error of a few eps·power. The definition decides where the error could matter.
    return power - mean * mean <= 1e-12 * (1.0 + power) and bool(np.std(x) < SILENCE)


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

    def __init__(self, u: Channel, v: Channel, x: Channel, y: Channel) -> None:
        """y can be the same channel as u or v."""
        self.vectors = u.x, v.x, x.x, y.x
        self.diagonal = [u.energy, v.energy, x.energy, y.energy]
        self.uv = inner(u.x, v.x)
        self.of_u, self.of_v = [inner(u.x, x.x)], [inner(v.x, x.x)]
        self.of_u.append(u.energy if y is u else self.uv if y is v else inner(u.x, y.x))
        self.of_v.append(v.energy if y is v else self.uv if y is u else inner(v.x, y.x))

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

    def least_squares(self, target: int = 0) -> list[float]:
        """Minimum-norm least-squares gains of u and v to x (as ``numpy.linalg.lstsq``), or to y if `target` is 1."""
        if self.dependent:
            return _least_squares(*self.vectors[:2], self.vectors[2 + target])
        uu, vv, uv = self.diagonal[0], self.diagonal[1], self.uv
        of_u, of_v, determinant = self.of_u[target], self.of_v[target], uu * vv - uv * uv
        return [(vv * of_u - uv * of_v) / determinant, (uu * of_v - uv * of_u) / determinant]


def _least_squares(first: Float64, second: Float64, target: Float64) -> list[float]:
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
    found: list[float] = np.linalg.lstsq(triangle, image, rcond=_EPS * len(target))[0].tolist()
    return found
