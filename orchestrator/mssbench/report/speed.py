"""Speed of the separators of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .data import RunData


@dataclass(frozen=True)
class Speed:
    """Time that one separator took on one device, over its finished cells. All times in seconds."""

    separator: str
    device: str
    cells: int
    audio_seconds: float
    separate_seconds: float
    evaluate_seconds: float

    @property
    def factor(self) -> float:
        """Seconds of audio separated per second; NaN where no time was recorded."""
        return self.audio_seconds / self.separate_seconds if self.separate_seconds > 0 else math.nan


def speeds(data: RunData) -> list[Speed]:
    """Return the speed per separator and device, over the cells that have a result."""
    sums: dict[tuple[str, str], list[float]] = {}
    order = {separator.name: i for i, separator in enumerate(data.separators)}
    for cell, outcome in data.outcomes.items():
        seconds = outcome.get("seconds")
        if not isinstance(seconds, dict):
            continue
        total = sums.setdefault((cell.separator, str(outcome.get("device") or "unknown")), [0, 0.0, 0.0, 0.0])
        total[0] += 1
        total[1] += float(outcome.get("audio_seconds") or 0)
        total[2] += float(seconds.get("separate") or 0)
        total[3] += float(seconds.get("evaluate") or 0)
    return [
        Speed(name, device, int(cells), audio, separate, evaluate)
        for (name, device), (cells, audio, separate, evaluate) in sorted(
            sums.items(), key=lambda item: (order[item[0][0]], item[0][1])
        )
    ]
