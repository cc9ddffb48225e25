"""How long things may take, how often they are tried, and when a silence means death.

Every limit is set on purpose, and by the environment:

``MSSBENCH_STEP_SECONDS``          what any step may take (300) …
``MSSBENCH_STEP_SECONDS_PER_AUDIO_SECOND`` … and more for each second of its track (15): 65 minutes for 4 minutes
``MSSBENCH_PAUSES``                seconds between tries of what is unavailable (1,5,20,60,180)
``MSSBENCH_TIMEOUTS``              tries that may end without an answer in time, before the cell fails (2)
``MSSBENCH_HEARTBEAT_SECONDS``     how often a worker at work says that it lives (10)
``MSSBENCH_SILENCE_SECONDS``       for how long it may say nothing beyond that, before it counts as dead (60)
``MSSBENCH_MAX_SECONDS``           the longest track, for services too (3600)
``MSSBENCH_STOP_SECONDS``          how long a worker that is told to stop goes on with its job, before it hands
                                   it back (8: Docker kills after 10)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from mssbench_service.environment import DEFAULT_MAX_SECONDS
from mssbench_service.errors import BadInput


@dataclass(frozen=True)
class Limits:
    """See the module's docstring; all in seconds but `timeouts`."""

    step_seconds: float = 300.0
    step_seconds_per_audio_second: float = 15.0
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0, 180.0)
    timeouts: int = 2
    heartbeat_seconds: float = 10.0
    silence_seconds: float = 60.0
    stop_seconds: float = 8.0

    @classmethod
    def from_environment(cls) -> Limits:
        """The limits that the environment sets, over the defaults.

        Raises
        ------
        BadInput
            One of them is not a number above zero; the message names it.
        """
        given = {field.name: os.environ.get(f"MSSBENCH_{field.name.upper()}", "") for field in fields(cls)}
        values: dict[str, Any] = {
            name: _number(name, text) for name, text in given.items() if text and name != "pauses"
        }
        if "timeouts" in values:
            values["timeouts"] = max(1, round(values["timeouts"]))
        if given["pauses"]:
            values["pauses"] = tuple(_number("pauses", part) for part in given["pauses"].split(","))
        return cls(**values)

    def of_step(self, audio_seconds: float | None) -> float:
        """What one try of a step may take, over a track of so many seconds."""
        seconds = DEFAULT_MAX_SECONDS if audio_seconds is None else audio_seconds
        return self.step_seconds + self.step_seconds_per_audio_second * seconds

    def of_job(self, audio_seconds: float) -> float:
        """What a job may take with all its tries: the wait for a free place, as many tries as may end without
        an answer, and every pause."""
        return (1 + self.timeouts) * self.of_step(audio_seconds) + sum(self.pauses) + 60.0


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise BadInput(f"MSSBENCH_{name.upper()}={text!r} is not a number above 0")
    return value
