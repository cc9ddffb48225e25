"""A separator that sleeps and an evaluator that does nothing, to measure the time of the orchestrator itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import numpy as np
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator

__version__ = "0"


class Sleeping(Separator):
    description = "sleeps, then returns a quarter of the mixture for each stem"

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        time.sleep(float(os.environ.get("SLEEP_SECONDS", "0")))
        return {stem: mixture / np.float32(len(STEMS)) for stem in STEMS}


SEPARATORS = {f"sleeping-{number}": Sleeping for number in range(10)}
