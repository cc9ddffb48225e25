"""Spleeter as a service of Binaural MSS Bench: the published library, its graph built and loaded once.

adapter  the model behind the separator contract
network  the library's graph in one session, a bounded stretch of the track at a time
app      the HTTP service
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .adapter import SpleeterSeparator

__version__ = "0.1.0"

SEPARATORS: Separators = {"spleeter": SpleeterSeparator}
"""How to make each separator, by name."""
