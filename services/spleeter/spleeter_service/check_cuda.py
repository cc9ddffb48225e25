"""Whether TensorFlow finds CUDA's libraries, in the versions that it was built for; needs no CUDA device.

``python3 -m spleeter_service.check_cuda`` ends with 1 if one is missing. It asks the loader inside TensorFlow, as
TensorFlow itself does once it has found a device.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import tensorflow as tf

LIBRARIES = ("CudaRuntime", "Cublas", "CublasLt", "Cufft", "Curand", "Cusolver", "Cusparse", "Cudnn")
CUDNN = 8600
"""What TensorFlow 2.12 was built with, and says once it has a device only. It takes no earlier one."""


class _Found(ctypes.Structure):
    """``tsl::StatusOr<void*>``: a status, null if all is well, and the library's handle."""

    _fields_ = (("problem", ctypes.c_void_p), ("handle", ctypes.c_void_p))


def find(library: str) -> ctypes.CDLL | None:
    """The library as TensorFlow gets it, ``tsl::internal::DsoLoader::Get<library>DsoHandle()``."""
    function = f"Get{library}DsoHandle"
    framework = ctypes.CDLL(str(Path(tf.sysconfig.get_lib()) / "libtensorflow_framework.so.2"))
    get = framework[f"_ZN3tsl8internal9DsoLoader{len(function)}{function}Ev"]
    get.argtypes, get.restype = [ctypes.POINTER(_Found)], None  # it is returned where the caller says
    found = _Found()
    get(ctypes.byref(found))
    return None if found.problem else ctypes.CDLL(library, handle=found.handle)


def problems() -> list[str]:
    """What is missing or of another version than TensorFlow was built for."""
    libraries = {name: find(name) for name in LIBRARIES}
    found = [f"TensorFlow does not find {name}" for name, library in libraries.items() if library is None]
    if (cublas := libraries["Cublas"]) is not None:  # the runtime says no version where there is no driver
        number, wanted = cublas.cublasGetCudartVersion(), tf.sysconfig.get_build_info()["cuda_version"]
        if (version := f"{number // 1000}.{number % 1000 // 10}") != wanted:
            found.append(f"TensorFlow was built for CUDA {wanted} and finds {version}")
    if (cudnn := libraries["Cudnn"]) is not None and (number := cudnn.cudnnGetVersion()) < CUDNN:
        found.append(f"TensorFlow was built for cuDNN {CUDNN} and finds {number}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or 0)
