"""What stays in place, and the interaural cues, over the time of an excerpt. For listening only: no score uses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from . import chart
from .chart import Chart, Key, Scale
from .data import FloatArray

Audio = npt.NDArray[np.float32]

FRAME_SECONDS = 0.1

_REFERENCE = Key("var(--muted)", "circle")
_ESTIMATE = Key("var(--green)", "circle")
_LEAST = {"itd": 200.0, "ild": 4.0}
"""Smallest range of an axis, so that small changes are not enlarged."""


@dataclass(frozen=True)
class Cues:
    """ITD (µs) and ILD (dB) of each frame; NaN where the signal is too soft."""

    itd: FloatArray
    ild: FloatArray


def cues_of(reference: Audio, audio: Audio, sample_rate: int) -> Cues:
    """Return the cues of `audio`, shape (samples, 2), in the frames in which `reference` sounds."""
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    itd, ild = interaural_differences(audio, sample_rate, frame)
    audible = (_levels(reference, frame) > -40) & (_levels(audio, frame) > -60)
    return Cues(np.where(audible, itd, np.nan), np.where(audible, ild, np.nan))


def limits(found: Sequence[Cues]) -> dict[str, Scale]:
    """Return one scale of ITD and one of ILD for all pictures of a page."""
    scales = {}
    for name, least in _LEAST.items():
        values = np.concatenate([np.empty(0), *(getattr(cues, name) for cues in found)])
        values = values[~np.isnan(values)]
        low, high = np.quantile(values, [0.01, 0.99]) if values.size else (0.0, 0.0)
        low, high = min(float(low), -least / 2), max(float(high), least / 2)
        scales[name] = Scale(1.05 * low, 1.05 * high)
    return scales


def picture(
    reference: Cues,
    estimates: Mapping[str, Cues],
    place: Mapping[str, Sequence[float]],
    seconds: float,
    scales: Mapping[str, Scale],
    name: str,
) -> Markup:
    """Draw a strip each for what stays in place, ITD and ILD; the estimates are traces of which one is shown.

    `place` has the share in place of each second by separator, %, NaN where there is none; if it is empty, there is no
    such strip. `scales` are those of :func:`limits`, and `name` is added to the accessible name.
    """
    seconds = seconds or 1.0  # an empty file
    strips = [
        ("in place", "%", Scale(0.0, 100.0)),
        ("ITD", "µs", scales["itd"]),
        ("ILD", "dB", scales["ild"]),
    ]
    strips = strips if place else strips[1:]
    depth, gap = 44.0, 28.0
    panel = Chart(height=len(strips) * (depth + gap) + 30, left=34, top=0)
    drawn: dict[str, list[str]] = {separator: [] for separator in estimates}
    for row, (label, unit, axis) in enumerate(strips):
        floor = (row + 1) * (depth + gap)

        def y(value: float, axis: Scale = axis, floor: float = floor) -> float:
            return floor - depth * axis(value)

        panel.text(
            0, floor - depth - 8, f"{label} ({unit})" + (" · ↑ better" if unit == "%" else ""), "start"
        )
        for value in (0.0, 50.0, 100.0) if unit == "%" else axis.ticks[:: max(1, len(axis.ticks) // 3)]:
            panel.line(panel.left, y(value), panel.width - panel.right, y(value), "var(--grid)")
            panel.text(panel.left - 5, y(value) + 4, chart.tick_text(value), "end", "tick")
        for separator in estimates:
            if unit == "%":
                values = list(place.get(separator, ()))
                points = [
                    (panel.x(min((i + k) / seconds, 1)), y(v)) for i, v in enumerate(values) for k in (0, 1)
                ]
            else:
                points = _points(panel, getattr(estimates[separator], label.lower()), seconds, y)
            drawn[separator].append(chart.curve(points, _ESTIMATE, 1.3))
        if unit != "%":
            panel.path(_points(panel, getattr(reference, label.lower()), seconds, y), _REFERENCE, 2.6)
    panel.x_axis([], "time in the excerpt (s)")
    for second in range(int(seconds) + 1):
        panel.text(panel.x(min(second / seconds, 1.0)), panel.floor + 12, str(second), kind="tick")
    for separator, paths in drawn.items():
        traced = {
            "place": _rounded(place.get(separator, ())),
            "itd": _rounded(estimates[separator].itd),
            "ild": _rounded(estimates[separator].ild, 1),
        }
        panel.parts.append(
            f'<g class="trace" data-trace="{escape(separator)}" data-values="{escape(json.dumps(traced))}">'
            f"{''.join(paths)}</g>"
        )
    floors = [(row + 1) * (depth + gap) for row in range(len(strips))]
    head = "".join(f"M{panel.left} {floor - depth}V{floor}" for floor in floors)  # between the labels
    panel.parts.append(f'<path d="{head}" data-head data-span="{panel.span:.0f}" stroke="var(--ink)"/>')
    return panel.svg(f"Over time: {name}. Broad grey line reference, thin line estimate.")


def reference_values(reference: Cues) -> str:
    """Return the cues of the reference as JSON, for the values that the page shows at the position of playback."""
    return json.dumps({"itd": _rounded(reference.itd), "ild": _rounded(reference.ild, 1)})


def _points(
    panel: Chart, values: FloatArray, seconds: float, y: Callable[[float], float]
) -> list[tuple[float, float]]:
    at = [min((i + 0.5) * FRAME_SECONDS / seconds, 1.0) if seconds else 0.0 for i in range(len(values))]
    return [(panel.x(x), y(float(v)) if v == v else float("nan")) for x, v in zip(at, values, strict=True)]


def _rounded(values: Sequence[float] | FloatArray, decimals: int = 0) -> list[float | None]:
    return [None if v != v else round(float(v), decimals) + 0.0 for v in values]


def interaural_differences(audio: Audio, sample_rate: int, frame: int) -> tuple[FloatArray, FloatArray]:
    """Return ITD (µs, positive = left ear first) and ILD (dB, positive = left ear louder) of each frame.

    `audio` has the shape (samples, 2), and a frame has `frame` samples. The ITD is the lag of the maximum of the
    cross-correlation from 100 to 1500 Hz within ±0.8 ms, NaN where there is no maximum within. It is for the plot only;
    scores are computed by the evaluator.
    """
    frames = len(audio) // frame
    limit = round(0.8e-3 * sample_rate)  # heads have less; beyond it are periods of tones
    left, right = (audio[: frames * frame, i].reshape(frames, frame).astype(np.float64) for i in (0, 1))
    left[:, :limit] = left[:, frame - limit :] = 0  # so that each lag has the same number of products
    frequencies = np.fft.rfftfreq(frame, 1 / sample_rate)
    band = (frequencies >= 100) & (frequencies <= 1500)
    spectrum = np.where(band, np.conj(np.fft.rfft(left, axis=1)) * np.fft.rfft(right, axis=1), 0)
    products = np.fft.irfft(spectrum, frame, axis=1)[:, np.arange(-limit, limit + 1) % frame]
    best = np.argmax(products, axis=1)
    itd = np.array([_peak(row, int(k)) - limit for row, k in zip(products, best, strict=True)])
    energy = [
        np.sum(np.square(audio[: frames * frame, i].reshape(frames, frame), dtype=float), 1) for i in (0, 1)
    ]
    ild = 10 * np.log10((energy[0] + 1e-12) / (energy[1] + 1e-12))
    return itd / sample_rate * 1e6, ild


def _peak(values: FloatArray, k: int) -> float:
    """Return the position of the maximum at `k` between samples, by parabolic interpolation; NaN at an end."""
    if k in (0, len(values) - 1):
        return float("nan")
    before, at, after = values[k - 1 : k + 2]
    curve = before - 2 * at + after
    return k + (0.5 * (before - after) / curve if curve < 0 else 0.0)


def _levels(audio: Audio, frame: int) -> FloatArray:
    """Return the level of each frame in dB relative to the loudest frame."""
    frames = len(audio) // frame
    energy = np.sum(np.square(audio[: frames * frame], dtype=float).reshape(frames, 2 * frame), axis=1)
    return np.asarray(10 * np.log10((energy + 1e-20) / (energy.max(initial=0) + 1e-20)))
