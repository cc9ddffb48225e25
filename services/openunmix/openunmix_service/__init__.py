"""Open-Unmix as a service of Binaural MSS Bench: the published library, loaded once.

adapter  the model as a separator
windows  the library's stages in sequence, the last two on one window at a time
app      the HTTP service
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .adapter import OpenUnmixSeparator

__version__ = "0.2.0"

SEPARATORS: Separators = {"openunmix": OpenUnmixSeparator}
"""Constructor of each separator, by name."""
