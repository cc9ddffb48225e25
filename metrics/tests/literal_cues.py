"""Slow and readable implementation of the corrected cues, of the share in place and of the effective response.

Like :mod:`literal_metrics`, it follows the specification line by line and shares no code with the package.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from literal_metrics import BoolArray, ComplexArray, FloatArray, trim
from scipy import fft, signal

# ------------------------------------------------------------------------------------ corrected cues


def block(fs: int) -> int:
    return int(0.05 * fs)


def loud(energies: FloatArray) -> BoolArray:
    """Whether each energy is above -60 dB relative to the largest."""
    return energies > 1e-6 * np.max(energies)


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    values, share = values[order], np.cumsum(weights[order]) / np.sum(weights)
    low = values[share >= 0.5][0]
    high = values[share > 0.5][0]
    return float(low + high) / 2


def itd_frames(x: FloatArray, fs: int) -> tuple[list[list[tuple[float, float]]], FloatArray]:
    """For each block of the band-passed signal its inner maxima (ITD in samples, height), and energies of the ears."""
    h, reach = block(fs), int(1e-3 * fs)
    taps = signal.firwin(2 * int(0.02 * fs) + 1, (100, 1500), pass_zero=False, fs=fs)
    band = np.stack([signal.fftconvolve(np.pad(ear, reach), taps, mode="same") for ear in x.astype(float)])
    maxima: list[list[tuple[float, float]]] = []
    energy = []
    for start in range(reach, reach + x.shape[1] // h * h, h):
        left, right = band[:, start : start + h]
        energy.append((np.sum(left**2), np.sum(right**2)))
        maxima.append([])
        if min(energy[-1]) == 0:
            continue
        rho = []
        for k in range(-reach, reach + 1):
            # Left ear, correlated with this frame of the right ear, and the reverse.
            later, earlier = band[0, start + k : start + k + h], band[1, start - k : start - k + h]
            rho.append(
                0.5 * later @ right / (np.linalg.norm(later) * np.linalg.norm(right))
                + 0.5 * left @ earlier / (np.linalg.norm(left) * np.linalg.norm(earlier))
            )
        for k in range(1, 2 * reach):
            before, at, after = rho[k - 1 : k + 2]
            offset = (
                0.5 * (before - after) / (before - 2 * at + after) if before - 2 * at + after < 0 else 0.0
            )
            if before < at >= after and at > 0 and abs(k - reach + offset) <= 850e-6 * fs:
                maxima[-1].append((k - reach + offset, at))
    return maxima, np.array(energy)


def candidates(maxima: list[tuple[float, float]], energy: FloatArray) -> list[float]:
    """ITDs of the maxima within 0.5 dB of the highest; of several, those on the side of the louder ear."""
    near = [itd for itd, height in maxima if height >= 10**-0.05 * max(height for _, height in maxima)]
    if len(near) < 2:
        return near
    level = 10 * math.log10(energy[0] / energy[1])
    return [itd for itd in near if abs(level) > 1 and itd * level < 0]


def d_itd_us(reference: FloatArray, estimate: FloatArray, fs: int) -> tuple[float | None, float | None]:
    """(d_itd_us, itd_moved); None where it is not defined."""
    reference, estimate = trim(reference, estimate)
    h = block(fs)
    active = loud(
        np.array([np.sum(reference[:, i : i + h] ** 2) for i in range(0, reference.shape[1] // h * h, h)])
    )
    total = sum(np.sum(reference[:, i * h : (i + 1) * h] ** 2) for i in np.flatnonzero(active))
    (maxima_r, energy_r), (maxima_e, energy_e) = (itd_frames(x, fs) for x in (reference, estimate))
    ic = np.array([min(max([height for _, height in maxima] or [0.0]), 1.0) for maxima in maxima_r])
    both = energy_r.sum(1)
    if np.sum(both[active]) < 1e-3 * total or np.average(ic[active], weights=both[active]) < 0.5:
        return None, None
    frames, ambiguous, lost = [], 0.0, 0.0
    for i in np.flatnonzero(active):
        quiet = any(e[i] <= 1e-12 * e.max() for e in (*energy_r.T, *energy_e.T))
        if quiet or not maxima_r[i]:
            continue
        weight = both[i] * ic[i] ** 4
        if not maxima_e[i]:
            lost += weight
            continue
        one, several = candidates(maxima_r[i], energy_r[i]), candidates(maxima_e[i], energy_e[i])
        if len(one) != 1 or not several:
            ambiguous += weight
            continue
        frames.append((one[0], min(several, key=lambda itd: abs(itd - one[0])), weight))
    a, b, w = np.array(frames).reshape(-1, 3).T
    far = np.abs(b - a) / fs * 1e6 > 100
    distance, moved = weighted_median(b, w) - weighted_median(a, w) if len(w) else 0.0, lost + np.sum(w[far])
    share = 100 * float(moved / (lost + np.sum(w))) if np.sum(w) + lost > ambiguous else None
    return abs(distance) / fs * 1e6 if np.sum(w) > ambiguous else None, share


def erb_number(f: Any) -> Any:
    return 21.4 * np.log10(1 + 0.00437 * f)


def bands(fs: int) -> list[tuple[FloatArray, ComplexArray]]:
    """For each band, the weight of each bin, and e^{2πifτ} for each lag τ (row) and bin (column)."""
    h = block(fs)
    f = np.arange(h + 1) * fs / (2 * h)
    centre = erb_number(200.0)
    found = []
    while centre <= erb_number(16000.0) + 1e-9 and centre + 1 <= erb_number(fs / 2):
        distance = np.abs(erb_number(f) - centre)
        weight = np.where(distance < 1, np.cos(np.pi / 2 * distance) ** 2, 0.0)
        half = math.ceil(16e-3 * f[np.flatnonzero(weight)[-1]])
        lags = np.linspace(-1e-3, 1e-3, 2 * half + 1)
        found.append((weight, np.exp(2j * np.pi * np.outer(lags, f))))
        centre += 1
    return found


def band_frames(
    x: FloatArray, fs: int
) -> tuple[FloatArray, FloatArray, list[tuple[FloatArray, FloatArray, ComplexArray]]]:
    """Energies of the ears and IC per frame and band, and the three summed spectra of each frame."""
    h = block(fs)
    x, shapes = x.astype(float), bands(fs)
    window = signal.get_window("hann", 2 * h)
    energies, coherence, spectra = [], [], []
    for start in range(0, x.shape[1] // h * h - 20 * h + 1, 10 * h):
        left: Any = 0
        right: Any = 0
        cross: Any = 0
        for section in range(start, start + 19 * h, h):
            a, b = (np.fft.rfft(window * ear[section : section + 2 * h]) for ear in x)
            left, right, cross = left + np.abs(a) ** 2, right + np.abs(b) ** 2, cross + a * np.conj(b)
        row, ic = [], []
        for weight, steering in shapes:
            e_left, e_right = np.sum(weight * left), np.sum(weight * right)
            correlation = np.real(steering @ (weight * cross))
            row.append((e_left, e_right))
            ic.append(max(correlation) / math.sqrt(e_left * e_right) if e_left * e_right > 0 else np.nan)
        energies.append(row)
        coherence.append(ic)
        spectra.append((left, right, cross))
    return np.array(energies), np.array(coherence), spectra


def ild(left: float, right: float) -> float:
    left, right = max(left, 1e-6 * right), max(right, 1e-6 * left)
    return 10 * math.log10(left / right)


def weighted_mean(pairs: list[tuple[float, float]]) -> float:
    """Mean of values with their weights."""
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def band_cues(reference: FloatArray, estimate: FloatArray, fs: int) -> tuple[float, float, float]:
    """(d_ild_db, d_ild_db_flat, d_ic)."""
    reference, estimate = trim(reference, estimate)
    h = block(fs)
    e_ref, ic_ref, spectra = band_frames(reference, fs)
    e_est, ic_est, _ = band_frames(estimate, fs)
    starts = 10 * h * np.arange(len(e_ref))
    energy = np.array([np.sum(reference[:, start : start + 20 * h] ** 2) for start in starts])
    active, loudest = loud(energy), np.max(e_ref.sum(-1))
    f = np.arange(h + 1) * fs / (2 * h)
    d_ild, d_flat, d_ic, weights, flat_weights = [], [], [], [], []
    for i in np.flatnonzero(active):
        loudest_here = np.max(e_ref[i].sum(-1))
        centre = erb_number(200.0) - 1
        while centre > 0.3:
            distance = np.minimum(np.abs(erb_number(f) - centre), 1)
            below = np.sum(np.cos(np.pi / 2 * distance) ** 2 * (spectra[i][0] + spectra[i][1]))
            loudest_here, centre = max(loudest_here, below), centre - 1
        levels, flat, coherences = [], [], []
        for b in range(e_ref.shape[1]):
            level, heard = e_ref[i, b].sum(), e_est[i, b].sum()
            moved = abs(ild(*e_est[i, b]) - ild(*e_ref[i, b])) if heard > 0 else 0.0
            if level > 1e-6 * loudest and heard > 0:
                flat.append(moved)
            if level > 1e-4 * loudest_here and heard >= 1e-6 * level:
                levels.append((moved, level**0.23))
                if e_ref[i, b].min() > 0 and e_est[i, b].min() > 0:
                    coherences.append((abs(ic_est[i, b] - ic_ref[i, b]), level**0.23))
        if levels:
            d_ild.append(weighted_mean(levels))
            weights.append(energy[i])
        if flat:
            d_flat.append(np.mean(flat))
            flat_weights.append(energy[i])
        if coherences:
            d_ic.append(weighted_mean(coherences))
    return (
        weighted_median(np.array(d_ild), np.array(weights)),
        weighted_median(np.array(d_flat), np.array(flat_weights)),
        float(np.median(d_ic)),
    )


def azimuth(x: FloatArray, active: BoolArray, azimuths: FloatArray, irs: FloatArray, fs: int) -> float | None:
    """Azimuth of the smallest cross-relation in the frontal half; None if the minimum is shallow."""
    h = block(fs)
    _, _, spectra = band_frames(x, fs)
    relation = {}
    for angle, (left, right) in zip(azimuths, irs, strict=True):
        if np.cos(np.deg2rad(angle)) > -1e-6:
            h_left, h_right = np.fft.rfft(left, 2 * h), np.fft.rfft(right, 2 * h)
            error = energy = 0.0
            for frame in np.flatnonzero(active):
                s_left, s_right, s_cross = spectra[frame]
                both = np.sum(s_left * np.abs(h_right) ** 2 + s_right * np.abs(h_left) ** 2)
                error += both - 2 * np.sum(np.real(s_cross * h_right * np.conj(h_left)))
                energy += both
            relation[angle] = error / energy
    best = min(relation, key=lambda angle: relation[angle])
    return None if relation[best] > 0.5 * np.median(list(relation.values())) else best % 360


# ------------------------------------------------------------------------------------- share in place


def triangle(f: FloatArray, centre: float) -> FloatArray:
    height: FloatArray = np.maximum(0.0, 1.0 - np.abs(erb_number(f) - centre))
    return height


def cell_cues(
    left: ComplexArray, right: ComplexArray, weight: FloatArray, f: FloatArray
) -> tuple[float, float, float, float]:
    """(energy of both ears, ILD, ITD in s, IC) of one band of one frame."""
    e_left, e_right = (float(np.sum(weight * np.abs(x) ** 2)) for x in (left, right))
    cross = weight * left * np.conj(right)
    inside = weight > 0
    steps = np.arange(-100, 101)
    r = np.real(np.exp(2e-5j * np.pi * np.outer(steps, f[inside])) @ cross[inside])
    peak, offset = int(np.argmax(r)), 0.0
    if 0 < peak < 200 and r[peak - 1] - 2 * r[peak] + r[peak + 1] < 0:
        offset = 0.5 * (r[peak - 1] - r[peak + 1]) / (r[peak - 1] - 2 * r[peak] + r[peak + 1])
    level = ild(e_left, e_right) if e_left + e_right > 0 else 0.0
    ic = max(r) / math.sqrt(e_left * e_right) if e_left * e_right > 0 else 0.0
    return e_left + e_right, level, (peak - 100 + offset) * 1e-5, ic


def in_place(
    reference: FloatArray, estimate: FloatArray, fs: int, jnd: float = 2.0
) -> tuple[float, float, float]:
    """(in_place in %, missing in %, cue_error_jnd), one cell after the other."""
    reference, estimate = trim(reference, estimate)
    length = round(0.05 * fs)
    hop, size = length - length // 2, 2 ** math.ceil(math.log2(1.8 * length))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    f = np.arange(size // 2 + 1) * fs / size
    first, last = erb_number(100.0), erb_number(min(16000.0, fs / 2))
    centres = [first + b for b in range(100) if first + b < last]
    below = [first - b for b in range(1, 10) if first - b > 0.3]
    starts = range(0, reference.shape[1] - length + 1, hop)
    spectra = {
        i: [np.fft.rfft(window * x[i : i + length], size) for x in (*reference, *estimate)] for i in starts
    }
    weights = [triangle(f, centre) for centre in (*centres, *below)]
    energy = {
        i: [float(np.sum(w * (np.abs(s[0]) ** 2 + np.abs(s[1]) ** 2))) for w in weights]
        for i, s in spectra.items()
    }
    loudest_frame = max(sum(e[: len(centres)]) for e in energy.values())
    total = lost = kept = 0.0
    errors, loudness = [], []
    for i, (r_left, r_right, e_left, e_right) in spectra.items():
        if not sum(energy[i][: len(centres)]) > 1e-6 * loudest_frame:
            continue
        for b, centre in enumerate(centres):
            if not energy[i][b] > 1e-4 * max(energy[i]):
                continue
            both, level, itd, ic = cell_cues(r_left, r_right, weights[b], f)
            both_e, level_e, itd_e, _ = cell_cues(e_left, e_right, weights[b], f)
            total += both**0.23
            if both_e < 1e-6 * both:
                lost += both**0.23
                continue
            error = abs(level_e - level) / (1 + 0.05 * abs(level))
            if (10 ** (centre / 21.4) - 1) / 0.00437 < 1400 and ic >= 0.8:
                error = max(error, abs(itd_e - itd) / (20e-6 + 0.05 * abs(itd)))
            kept += both**0.23 * (error <= jnd)
            errors.append(min(error, 40.0))
            loudness.append(both**0.23)
    median = weighted_median(np.array(errors), np.array(loudness))
    return 100 * kept / (total - lost), 100 * lost / total, median


def effective_response(
    reference: FloatArray,
    estimate: FloatArray,
    dry: FloatArray,
    fs: int,
    azimuths: FloatArray,
    elevations: FloatArray,
    irs: FloatArray,
    searched: BoolArray,
) -> dict[str, float]:
    """Place and timbre of the response that the estimate carries; of signals for which all of it is defined.

    `searched` are the directions of the set that are searched.
    """
    size = 2 ** round(math.log2(4096 / 44100 * fs))
    n = min(reference.shape[1], estimate.shape[1])
    padded = np.zeros(n)
    padded[: min(len(dry), n)] = dry[:n]
    window = signal.get_window("hann", size)
    starts = range(0, n - size + 1, size // 4)
    spectrum = {}
    for name, x in {"s": padded[None], "r": reference[:, :n], "e": estimate[:, :n]}.items():
        spectrum[name] = np.array([[fft.rfft(ear[i : i + size] * window) for i in starts] for ear in x])
    s = spectrum["s"][0]
    s_ss = np.mean(np.abs(s) ** 2, axis=0)
    h, counts, own = {}, {}, {}
    for name in ("r", "e"):
        cross = np.mean(spectrum[name] * np.conj(s), axis=1)
        own[name] = np.mean(np.abs(spectrum[name]) ** 2, axis=1)
        h[name] = cross / np.where(s_ss > 0, s_ss, 1)
        coherence = np.abs(cross) ** 2 / np.maximum(own[name] * s_ss, 1e-300)
        counts[name] = (coherence >= 0.5) & (s_ss >= 1e-6 * s_ss.max()) & (s_ss > 0)

    erb = 21.4 * np.log10(1 + 0.00437 * np.arange(size // 2 + 1) * fs / size)
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (100, min(16000, fs / 2)))
    centres = [low + i for i in range(100) if low + i < high]
    bands = [np.maximum(1 - np.abs(erb - centre), 0) for centre in centres]
    hz = [(10 ** (centre / 21.4) - 1) / 0.00437 for centre in centres]

    def energy(response: ComplexArray, use: BoolArray, band: FloatArray) -> float:
        return float(np.sum(band * use * s_ss * np.abs(response) ** 2))

    loudness = [sum(energy(h["r"][c], counts["r"][c], band) for c in (0, 1)) for band in bands]
    weight = [x**0.23 if x > 1e-4 * max(loudness) else 0.0 for x in loudness]

    spread = []
    for c in (0, 1):
        both = counts["r"][c] & counts["e"][c]
        levels, weights = [], []
        for band, w in zip(bands, weight, strict=True):
            p, q = (energy(h[name][c], both, band) for name in ("r", "e"))
            if w > 0 and p > 0 and q > 0:
                levels.append(10 * math.log10(q / p))
                weights.append(w)
        mean = np.average(levels, weights=weights)
        spread.append(math.sqrt(np.average((np.array(levels) - mean) ** 2, weights=weights)))

    def nearest(name: str) -> int:
        use = counts[name][0] & counts[name][1]
        found = []
        for ir in irs:
            candidate = [fft.rfft(ear[:size], size) for ear in ir]
            interaural, spectral, total, total_low = 0.0, [], 0.0, 0.0
            for band, w, f in zip(bands, weight, hz, strict=True):
                mine = [energy(h[name][c], use, band) for c in (0, 1)]
                if w == 0 or min(mine) == 0:
                    continue
                its = [energy(candidate[c], use, band) for c in (0, 1)]
                ild = 10 * math.log10(mine[0] / mine[1]) - 10 * math.log10(its[0] / its[1])
                interaural += w * min(abs(ild), 10) ** 2
                total += w
                if f < 1400:
                    of_mine = np.sum(band * use * s_ss * h[name][0] * np.conj(h[name][1]))
                    of_its = np.sum(band * use * s_ss * candidate[0] * np.conj(candidate[1]))
                    phase = abs(np.angle(of_mine * np.conj(of_its))) / max(2 * np.pi * f * 20e-6, 0.05)
                    interaural += w * min(phase, 10) ** 2
                    total_low += w
                spectral.append([w, *(10 * math.log10(its[c] / mine[c]) for c in (0, 1))])
            gain = sum(w * (a + b) for w, a, b in spectral) / (2 * total)
            level = sum(
                w * (min(abs(a - gain), 10) ** 2 + min(abs(b - gain), 10) ** 2) for w, a, b in spectral
            )
            found.append((interaural / (total + total_low), level / (2 * total)))
        interaural_only = np.where(searched, [a for a, _ in found], np.inf)
        side = lateral[int(np.argmin(interaural_only))]
        cone = searched & (np.abs(lateral - side) <= 10)
        return int(np.argmin(np.where(cone, [a + b for a, b in found], np.inf)))

    az, el = np.deg2rad(azimuths), np.deg2rad(elevations)
    lateral = np.rad2deg(np.arcsin(np.cos(el) * np.sin(az)))
    polar = np.rad2deg(np.arctan2(np.sin(el), np.cos(el) * np.cos(az)))
    true, heard = nearest("r"), nearest("e")
    apart = abs(polar[heard] - polar[true]) % 360
    front = np.cos(el) * np.cos(az)
    return {
        "heard_azimuth_deg": azimuths[heard],
        "heard_elevation_deg": elevations[heard],
        "lateral_error_deg": abs(lateral[heard] - lateral[true]),
        "polar_error_deg": min(apart, 360 - apart),
        "front_back": int(front[heard] * front[true] < 0),
        "timbre_db": float(np.mean(spread)),
    }
