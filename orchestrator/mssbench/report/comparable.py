"""What has to be the same in two runs, so that their scores can be compared."""

from __future__ import annotations

import json
from dataclasses import asdict

from mssbench_service.errors import BenchError
from mssbench_service.separation import SEPARATION_FILE

from ..runs.conditions import condition_of
from ..runs.config import RunConfig
from ..runs.fingerprint import digest
from ..runs.formats import SEPARATION_FORMAT
from .data import RunData

_NAMED = {
    "dataset", "split", "hrir", "angles", "seed", "profile", "separators", "conditions", "tracks", "metrics", "bsseval",
    "aggregate", "targets", "titles",
}  # fmt: skip
"""Settings that a summary has under a name of their own, or that do not change the score of a stem."""


def other_settings(config: RunConfig) -> dict[str, str]:
    """All further settings with another value than the default, as JSON."""
    default = asdict(RunConfig(dataset=""))
    return {
        name: json.dumps(value, sort_keys=True)
        for name, value in asdict(config).items()
        if name not in _NAMED and value != default[name]
    }


def audio_hashes(data: RunData) -> dict[str, str]:
    """A hash of the mixtures of each condition, from the records of separations; none if a track has no such record.

    It tells the audio from other audio on any machine, which sizes and times of files do not.
    """
    found: dict[str, dict[str, str]] = {condition: {} for condition in data.conditions}
    for cell in data.outcomes:
        known = found[condition_of(cell.condition)]
        # Replicates of a condition have different audio.
        replicate = cell.title if cell.condition in found else f"{cell.title}/{cell.condition}"
        if replicate not in known:
            try:
                record = SEPARATION_FORMAT.read(data.store.layout.estimates(cell) / SEPARATION_FILE)
            except BenchError:  # missing or damaged
                continue
            if checksum := record.get("mixture_checksum"):
                known[replicate] = str(checksum)
    return {
        name: digest(known)[:20]
        for name, known in found.items()
        if len(known) == len(data.titles) * len(data.replicates[name])
    }
