"""Spleeter as a service of Binaural MSS Bench: the published library, its graph built and loaded once.

adapter     the model behind the separator contract
network     the library's graph in one session, a bounded stretch of the track at a time
app         the HTTP service
cuda        CUDA's libraries, if they are installed beside it
check_cuda  whether TensorFlow finds them; a program
"""

from __future__ import annotations

from mssbench_service.separation import Separators

from .cuda import load_libraries

load_libraries()  # before TensorFlow, which the rest imports, looks for them

from .adapter import SpleeterSeparator  # noqa: E402

__version__ = "0.2.0"

SEPARATORS: Separators = {"spleeter": SpleeterSeparator}
"""How to make each separator, by name."""
