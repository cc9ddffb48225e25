"""Checkpoints of Music-Source-Separation-Training (MSST) as a service of Binaural MSS Bench.

adapter     a checkpoint as a separator
checkpoint  YAML file and checkpoint: read, checked, and made into a model
chunks      the model on overlapping chunks of a track
stems       names of the stems that a YAML file declares
app         the HTTP service
"""

from __future__ import annotations

from mssbench_service.model import model_family
from mssbench_service.separation import Separators

from .adapter import WEIGHTS, MsstSeparator

__version__ = "0.2.0"

SEPARATORS: Separators = model_family(MsstSeparator, WEIGHTS)
"""Constructor of each separator, by name."""
