"""Demucs as a service of Binaural MSS Bench: the published library, loaded once.

adapter  the model behind the separator contract
batches  many segments in one forward pass, through the library's own executor seam
app      the HTTP service
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .adapter import DemucsSeparator

__version__ = "0.2.0"

SEPARATORS: Separators = {"demucs": DemucsSeparator}
"""How to make each separator, by name."""
