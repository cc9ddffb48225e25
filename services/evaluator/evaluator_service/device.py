"""The device that the service computes metrics on: ``DEVICE``, as for separators (:mod:`mssbench_service.devices`).

The default is ``cpu``, which is NumPy. Only the service reads it: workers evaluate in processes that they fork, and a
forked process cannot use CUDA.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from binaural_metrics import InputError, on_device
from mssbench_service.devices import chosen_device
from mssbench_service.errors import NotReady


def choose_device() -> str | None:
    """Choose the device that ``DEVICE`` asks for; None for NumPy.

    Raises
    ------
    BadInput
        ``DEVICE`` has no valid value.
    NotReady
        The device, or PyTorch, is not available.
    """
    library = "PyTorch" if find_spec("torch") else "PyTorch, which is not installed,"
    device = chosen_device("evaluator", library, _cuda_devices, default="cpu")
    if device == "cpu":
        return None
    try:
        with on_device(device):
            return device
    except InputError as error:
        raise NotReady(str(error)) from None


def _cuda_devices() -> int:
    try:
        return int(import_module("torch").cuda.device_count())
    except ImportError:
        return 0
