"""Open-Unmix as a service of Binaural MSS Bench: the published library, loaded once.

adapter  the model behind the separator contract
windows  the library's stages, one after the other, the last two a window at a time
app      the HTTP service
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .adapter import OpenUnmixSeparator

__version__ = "0.2.0"

SEPARATORS: Separators = {"openunmix": OpenUnmixSeparator}
"""How to make each separator, by name."""
