"""Slow and readable implementation of all metrics, line by line from their specification.

The tests compare the package with it. It shares no code with the package, so that both cannot have the same error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

FloatArray = npt.NDArray[np.floating[Any]]
ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]


def db(a: FloatArray, b: FloatArray) -> float:
    over, under = np.mean(a**2), np.mean(b**2)
    if over == 0 and under == 0:
        return 0.0
    if under == 0:
        return 80.0
    if over == 0:
        return -80.0
    return 10 * math.log10(np.clip(over / under, 1e-8, 1e8))


def silent(x: FloatArray) -> bool:
    return bool(np.std(x) < 1e-8)


def frames(n: int, fs: int) -> Iterator[tuple[int, int]]:
    window, hop = int(1.0 * fs), int(0.5 * fs)
    for i in range(math.ceil((n - window) / hop) + 1):
        yield i * hop, min(i * hop + window, n)


def trim(reference: FloatArray, estimate: FloatArray) -> tuple[FloatArray, FloatArray]:
    n = min(reference.shape[1], estimate.shape[1])
    return reference[:, :n].astype(float), estimate[:, :n].astype(float)


def spauq_released(
    reference: FloatArray, estimate: FloatArray, fs: int, max_lag: int | None = None, method: str = "auto"
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """(SSR, SRR, cost, shift, scale), each per frame."""
    reference, estimate = trim(reference, estimate)
    max_lag = round(0.1 * fs) if max_lag is None else max_lag
    ssr, srr, cost, shift, scale = [], [], [], [], []
    for start, stop in frames(reference.shape[1], fs):
        r, e = reference[:, start:stop], estimate[:, start:stop]

        lag = np.zeros((2, 2))
        for i in range(2):
            for j in range(2):
                if not silent(r[i]) and not silent(e[j]):
                    correlation = signal.correlate(r[i], e[j], method=method)
                    lags = signal.correlation_lags(len(r[i]), len(e[j]))
                    inside = np.abs(lags) <= max_lag
                    lag[i, j] = lags[inside][np.argmax(np.abs(correlation[inside]))]

        low, high = int(lag.min()), int(lag.max())
        if low < 0:
            r, e = r[:, -low:], e[:, -low:]
            if high > 0:
                r, e = r[:, :-high], e[:, :-high]
        elif low > 0:
            r, e = r[:, :-high], e[:, :-high]

        gains = np.zeros((2, 2))
        g = r @ r.T
        for c in range(2):
            if silent(e[c]) or silent(r[c]):
                continue
            x = r @ e[c]
            if np.linalg.matrix_rank(g) == 2:
                gains[c] = np.linalg.lstsq(g, x, rcond=None)[0]
            else:
                gains[c] = np.linalg.lstsq(g @ g.T + 1e-6 * np.eye(2), g @ x, rcond=None)[0]

        p = gains.sum(1)[:, None] * r
        ssr.append(db(r, p - r))
        srr.append(db(p, e - p))
        cost.append(np.linalg.norm(p - e))
        shift.append(lag)
        scale.append(gains)
    return np.array(ssr), np.array(srr), np.array(cost), np.array(shift), np.array(scale)


def spauq_equations(
    reference: FloatArray, estimate: FloatArray, fs: int, max_lag: int | None = None, method: str = "auto"
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray, BoolArray]:
    """(SSR, SRR, delays, gains, both-silent), each per frame."""
    reference, estimate = trim(reference, estimate)
    max_lag = round(0.002 * fs) if max_lag is None else max_lag
    order = np.array([*range(max_lag + 1), *range(-max_lag, 0)])
    n = reference.shape[1]
    padded = np.pad(reference, ((0, 0), (max_lag, max_lag)))
    ssr, srr, delays, gains, both_silent = [], [], [], [], []
    for start, stop in frames(n, fs):
        r, e = reference[:, start:stop], estimate[:, start:stop]

        tau = np.zeros((2, 2), int)
        for c in range(2):
            for d in range(2):
                if not silent(e[c]) and not silent(r[d]):
                    correlation = signal.correlate(e[c], r[d], method=method)
                    at_lag_0 = len(r[d]) - 1
                    tau[c, d] = order[np.argmax(np.abs(correlation[at_lag_0 + order]))]

        a = np.zeros((2, 2))
        p = np.zeros_like(r)
        for c in range(2):
            delayed = [padded[d, max_lag + start - tau[c, d] : max_lag + stop - tau[c, d]] for d in range(2)]
            audible = [d for d in range(2) if not silent(delayed[d])]
            if audible and not silent(e[c]):
                columns = np.stack([delayed[d] for d in audible], axis=1)
                a[c, audible] = np.linalg.lstsq(columns, e[c], rcond=None)[0]
            p[c] = a[c, 0] * delayed[0] + a[c, 1] * delayed[1]

        ssr.append(db(r, p - r))
        srr.append(db(p, e - p))
        delays.append(tau)
        gains.append(a)
        both_silent.append(all(silent(x) for x in (*r, *e)))
    return np.array(ssr), np.array(srr), np.array(delays), np.array(gains), np.array(both_silent)


def paper_itd_us(x: FloatArray, fs: int) -> float | None:
    """In µs, positive = left later; None if no frame is above the level threshold."""
    x = x.astype(np.float32)
    m, lag = int(0.5 * fs), int(1e-3 * fs)
    window = signal.get_window("tukey", m).astype(np.float32)
    level: dict[int, float] = {}
    for start in range(0, x.shape[1] - m + 1, m):
        left, right = x[0, start : start + m] * window, x[1, start : start + m] * window
        loudness = max(np.sqrt(np.mean(left**2)), np.sqrt(np.mean(right**2)))
        if loudness > 5e-4:
            spectra = [fft.rfft(ear, 2 * m) for ear in (left, right)]
            spectra = [s / (np.abs(s) + np.float32(1e-15)) for s in spectra]
            cc = fft.irfft(spectra[0] * np.conj(spectra[1]), 2 * m)
            lags = np.arange(-lag, lag)
            delay = int(lags[np.argmax(np.abs(cc[lags]))])
            level[delay] = level.get(delay, 0.0) + float(loudness)
    if not level:
        return None
    return min(level, key=lambda delay: (-level[delay], delay)) / fs * 1e6


def paper2026_itd_us(x: FloatArray, fs: int, name: str) -> float | None:
    """In µs, positive = left later; None if no frame is above the level threshold."""
    m, reach = int(0.5 * fs), int(1e-3 * fs)
    n = 2 * m - 1 + (2 * m - 1) % 2  # rounded up to even
    window = signal.get_window("tukey", m).astype(np.float32)
    delays, levels = [], []
    for i in range(x.shape[1] // m):
        frame = x[:, i * m : (i + 1) * m].astype(np.float32) * window
        level = max(math.sqrt(np.mean(frame[0] ** 2)), math.sqrt(np.mean(frame[1] ** 2)))
        if not level > 5e-4:
            continue
        r = fft.rfft(frame[0], n) * np.conj(fft.rfft(frame[1], n))
        if name != "bass":
            r = r / (np.abs(r) + np.float32(1e-15))
        cc = np.abs(fft.irfft(r, n))
        within = [(lag, cc[lag]) for lag in range(-reach, reach)]
        delays.append(max(within, key=lambda pair: pair[1])[0])
        levels.append(level)
    if not delays:
        return None
    total = {d: sum(w for e, w in zip(delays, levels, strict=True) if e == d) for d in sorted(set(delays))}
    return max(total, key=lambda d: total[d]) / fs * 1e6


def paper_ild_db(x: FloatArray) -> float | None:
    left, right = np.sum(x[0].astype(float) ** 2), np.sum(x[1].astype(float) ** 2)
    return None if left == 0 or right == 0 else 10 * math.log10(left / right)


# ---------------------------------------------------------------------------------- level and SI-SDR


def level_and_si_sdr(reference: FloatArray, estimate: FloatArray) -> tuple[float, float]:
    s, e = (x.ravel() for x in trim(reference, estimate))
    alpha = np.dot(e, s) / np.dot(s, s)
    target, error = alpha * s, e - alpha * s
    return 20 * np.log10(alpha), 10 * np.log10(np.sum(target**2) / np.sum(error**2))
