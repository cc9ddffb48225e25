"""Time limits, numbers of attempts and heartbeats.

They are set by environment variables (defaults in parentheses):

``MSSBENCH_STEP_SECONDS``          time limit of a step (300) …
``MSSBENCH_STEP_SECONDS_PER_AUDIO_SECOND`` … plus this for each second of its track (15): 65 minutes for 4 minutes
``MSSBENCH_PAUSES``                seconds between attempts while a service is unavailable (1,5,20,60,180)
``MSSBENCH_SERVICE_WAIT_HOURS``    time for which a run waits for a service that does not answer or is not ready (12);
                                   then its cells fail
``MSSBENCH_TIMEOUTS``              attempts that may exceed the time limit before the cell fails (2)
``MSSBENCH_HEARTBEAT_SECONDS``     interval of a worker's heartbeats (10)
``MSSBENCH_SILENCE_SECONDS``       longest time without a heartbeat, beyond the interval, of a living worker (60)
``MSSBENCH_MAX_SECONDS``           longest track, for services too (3600)
``MSSBENCH_STOP_SECONDS``          time that a worker has to complete its job on SIGTERM, before it returns the job to
                                   its queue (8: Docker kills after 10)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

from mssbench_service.environment import DEFAULT_MAX_SECONDS
from mssbench_service.errors import BadInput


@dataclass(frozen=True)
class Limits:
    """See the docstring of the module. Values are in seconds, except `service_wait_hours` and `timeouts`."""

    step_seconds: float = 300.0
    step_seconds_per_audio_second: float = 15.0
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0, 180.0)
    service_wait_hours: float = 12.0
    timeouts: int = 2
    heartbeat_seconds: float = 10.0
    silence_seconds: float = 60.0
    stop_seconds: float = 8.0

    @classmethod
    def from_environment(cls) -> Limits:
        """Read the limits from the environment, with defaults.

        Raises
        ------
        BadInput
            A variable is not a number above zero.
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
        """Time limit of one attempt of a step, for a track of this length (None: the longest track)."""
        seconds = DEFAULT_MAX_SECONDS if audio_seconds is None else audio_seconds
        return self.step_seconds + self.step_seconds_per_audio_second * seconds

    def of_job(self, audio_seconds: float) -> float:
        """Time limit of a job: the wait for a busy or unavailable service, all attempts that may time out, and all
        pauses."""
        attempts = (1 + self.timeouts) * self.of_step(audio_seconds) + sum(self.pauses)
        return attempts + 3600.0 * self.service_wait_hours + 60.0


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise BadInput(f"MSSBENCH_{name.upper()}={text!r} is not a number above 0")
    return value
