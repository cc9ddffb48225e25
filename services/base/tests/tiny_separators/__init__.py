"""The smallest separators of both kinds: what these tests run behind the shared application."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mssbench_service.audio import FloatArray
from mssbench_service.musdb import STEMS
from mssbench_service.separation import ReferenceSeparator, Separator, Separators

__version__ = "1.2.3"


class Quarters(Separator):
    """Every stem is a quarter of the mixture."""

    description = "a quarter of the mixture as every stem"
    sample_rate = 44_100

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        return dict.fromkeys(STEMS, mixture * np.float32(0.25))


class Pair(Separator):
    """The mixture as two halves."""

    description = "half of the mixture as vocals and as accompaniment"
    stems = ("vocals", "accompaniment")

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        return dict.fromkeys(self.stems, mixture * np.float32(0.5))


class TrueStems(ReferenceSeparator):
    """The true stems themselves."""

    description = "the true stems"

    def separate_with(
        self, mixture: FloatArray, references: Mapping[str, FloatArray], sample_rate: int
    ) -> Mapping[str, FloatArray]:
        return references


SEPARATORS: Separators = {"quarters": Quarters, "true-stems": TrueStems, "pair": Pair}
