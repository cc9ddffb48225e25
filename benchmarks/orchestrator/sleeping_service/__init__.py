"""A separator that only sleeps, and an evaluator that does nothing: what is left is the orchestrator's."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator

__version__ = "0"


class Sleeping(Separator):
    description = "sleeps, and answers a quarter of the mixture for each stem"

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        time.sleep(float(os.environ.get("SLEEP_SECONDS", "0")))
        return {stem: mixture / len(STEMS) for stem in STEMS}


SEPARATORS = {f"sleeping-{number}": Sleeping for number in range(10)}
