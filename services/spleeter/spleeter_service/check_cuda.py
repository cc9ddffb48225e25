"""Checks that TensorFlow finds CUDA's libraries, in the versions that it was built for. Needs no CUDA device.

``python3 -m spleeter_service.check_cuda`` exits with 1 if a library is missing or of a wrong version. It calls the
loader inside TensorFlow, which TensorFlow itself calls once it has found a device.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import tensorflow as tf

LIBRARIES = ("CudaRuntime", "Cublas", "CublasLt", "Cufft", "Curand", "Cusolver", "Cusparse", "Cudnn")
CUDNN = 8600
"""Lowest version of cuDNN that TensorFlow 2.12 accepts, the one it was built with. It checks this only on a device."""


class _StatusOr(ctypes.Structure):
    """``tsl::StatusOr<void*>``: a status, null on success, and the handle of the library."""

    _fields_ = (("status", ctypes.c_void_p), ("handle", ctypes.c_void_p))


def find(library: str) -> ctypes.CDLL | None:
    """The library as TensorFlow gets it, by ``tsl::internal::DsoLoader::Get<library>DsoHandle()``."""
    function = f"Get{library}DsoHandle"
    framework = ctypes.CDLL(str(Path(tf.sysconfig.get_lib()) / "libtensorflow_framework.so.2"))
    get = framework[f"_ZN3tsl8internal9DsoLoader{len(function)}{function}Ev"]
    get.argtypes, get.restype = [ctypes.POINTER(_StatusOr)], None  # C++ returns it through a hidden pointer
    found = _StatusOr()
    get(ctypes.byref(found))
    return None if found.status else ctypes.CDLL(library, handle=found.handle)


def problems() -> list[str]:
    """Libraries that are missing or have another version than TensorFlow was built for."""
    libraries = {name: find(name) for name in LIBRARIES}
    found = [f"TensorFlow does not find {name}" for name, library in libraries.items() if library is None]
    if (cublas := libraries["Cublas"]) is not None:
        # Not from the CUDA runtime, which reports no version without a driver.
        number, wanted = cublas.cublasGetCudartVersion(), tf.sysconfig.get_build_info()["cuda_version"]
        if (version := f"{number // 1000}.{number % 1000 // 10}") != wanted:
            found.append(f"TensorFlow was built for CUDA {wanted} and finds {version}")
    if (cudnn := libraries["Cudnn"]) is not None and (number := cudnn.cudnnGetVersion()) < CUDNN:
        found.append(f"TensorFlow was built for cuDNN {CUDNN} and finds {number}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or 0)
