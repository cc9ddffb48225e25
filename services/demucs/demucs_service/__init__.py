"""Demucs as a service of Binaural MSS Bench: the published library, loaded once.

adapter  the model as a separator
batches  several segments in one forward pass, by an executor for the library
app      the HTTP service
"""

from __future__ import annotations

from mssbench_service.model import model_family
from mssbench_service.separation import Separators

from .adapter import WEIGHTS, DemucsSeparator

__version__ = "0.2.0"

SEPARATORS: Separators = model_family(DemucsSeparator, WEIGHTS)
"""Constructor of each separator, by name: ``demucs`` (the requested model), and every released model."""
