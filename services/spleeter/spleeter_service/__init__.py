"""Spleeter as a service of Binaural MSS Bench: the published library, its graph built and loaded once.

adapter     the model as a separator
network     the library's graph in one session, run on bounded sections of the track
app         the HTTP service
cuda        loads CUDA's libraries from Python packages, if they are installed
check_cuda  program that checks that TensorFlow finds CUDA's libraries
"""

from __future__ import annotations

from mssbench_service.model import model_family
from mssbench_service.separation import Separators

from .cuda import load_libraries

load_libraries()  # before the first import of TensorFlow, which looks for them

from .adapter import WEIGHTS, SpleeterSeparator  # noqa: E402

__version__ = "0.2.0"

SEPARATORS: Separators = model_family(SpleeterSeparator, WEIGHTS)
"""Constructor of each separator, by name: ``spleeter`` (the requested model), and every released model."""
