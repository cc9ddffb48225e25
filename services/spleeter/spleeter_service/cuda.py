"""Loads CUDA's libraries from the wheels in ``cuda.lock``, so that TensorFlow finds them.

TensorFlow requests these libraries by name from the dynamic loader, once. The loader does not search Python packages,
but it finds libraries that the process has loaded already. Without the wheels, TensorFlow uses the libraries of the
system.
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
"""Libraries that TensorFlow requests, as paths in the package ``nvidia``. They find their own dependencies beside
themselves."""


def load_libraries() -> None:
    """Load the libraries that are installed. TensorFlow logs which of the others it misses."""
    spec = find_spec("nvidia")
    for root in (spec and spec.submodule_search_locations) or ():
        for library in LIBRARIES:
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(root) / library))
