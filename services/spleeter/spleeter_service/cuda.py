"""CUDA's libraries from the wheels in ``cuda.lock``, where TensorFlow finds them.

TensorFlow asks the dynamic loader for them by name, and never asks twice. The loader looks in no Python package, but
what is loaded already it finds. Where the wheels are not installed, it looks for the machine's own, as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "cublas/lib/libcublas.so.11",
    "cublas/lib/libcublasLt.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "cusparse/lib/libcusparse.so.11",
    "cudnn/lib/libcudnn.so.8",
)
"""What TensorFlow asks for, in the package ``nvidia``. What these need in turn they find beside themselves."""


def load_libraries() -> None:
    """Load whatever of them is installed. What cannot be loaded is left to TensorFlow, which logs that it lacks it."""
    spec = find_spec("nvidia")
    for root in (spec and spec.submodule_search_locations) or ():
        for library in LIBRARIES:
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(root) / library))
