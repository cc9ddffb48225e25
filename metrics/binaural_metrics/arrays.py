"""Where the transforms and matrix products of the metrics are computed: with NumPy, or with PyTorch on a device.

Functions that are written for both take the arrays of one :class:`Arrays` and return them. What is per frame is moved
back to NumPy, where it is compared and aggregated. So are the correlations of SPAUQ and BSS Eval, whose lags and
filters are found there. NumPy's spectra are in float32 where a metric says so; on a device everything is in float64, so
that the settings of PyTorch for float32 products have no influence.

The time differences of the paper are computed with NumPy: whitening makes them depend on the rounding of float32. Of
40 frames of noise below 200 Hz, 33 have another lag with the transforms of PyTorch, in float32 as well.

Examples
--------
>>> import numpy as np
>>> import binaural_metrics as bm
>>> reference = 0.1 * np.random.default_rng(0).standard_normal((2, 88200))
>>> bm.score(reference, reference, 44100, device="cuda")["in_place"]  # doctest: +SKIP
100.0
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from .signals import InputError


class Arrays:
    """NumPy's arrays. The last axis is that of samples, lags or bins.

    Attributes
    ----------
    name : str
        The device.
    xp : module
        Namespace of the functions that the Python array API standard and NumPy share.
    chunk : int
        Factor for the number of frames of a task: a device needs larger tasks than the cache of a processor holds.
    """

    name = "numpy"
    xp: Any = np
    chunk = 1

    def put(self, x: npt.NDArray[Any]) -> Any:
        """Array of this kind."""
        return x

    def get(self, x: Any) -> npt.NDArray[Any]:
        """NumPy array."""
        return np.asarray(x)

    def rfft(self, x: Any, size: int | None = None) -> Any:
        return fft.rfft(x, size)

    def irfft(self, x: Any, size: int) -> Any:
        return fft.irfft(x, size)

    def windows(self, x: Any, length: int, step: int) -> Any:
        """Windows of `length` samples, one every `step`; shape (…, windows, length)."""
        return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::step, :]

    def rows(self, x: Any, index: npt.NDArray[np.intp]) -> Any:
        return x[index]

    def columns(self, x: Any, index: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """One element of each row, as a NumPy array."""
        return np.asarray(x[np.arange(len(index)), index])

    def double(self, x: Any) -> Any:
        """The same in float64 or complex128."""
        return x.astype(np.result_type(x, np.float64))

    def concat(self, parts: list[Any]) -> Any:
        """Arrays along the first axis."""
        return np.concatenate(parts)

    def moved(self, x: Any, axes: tuple[int, ...]) -> Any:
        """The same with its axes in the order `axes`, contiguous."""
        return np.ascontiguousarray(x.transpose(axes))

    def conj(self, z: Any) -> Any:
        """Complex conjugate, which can take the place of `z`."""
        return np.conj(z, out=z)

    def interleaved(self, z: Any) -> Any:
        """Real and imaginary parts in turn."""
        return np.ascontiguousarray(z).view(z.real.dtype)

    def energy(self, x: Any) -> Any:
        """Sum of squares over the last of three axes."""
        return np.einsum("cfn,cfn->cf", x, x)

    def filtered(self, x: Any, taps: Any) -> Any:
        """Convolution of two rows of samples with `taps`, where these lie inside."""
        size = fft.next_fast_len(x.shape[-1], real=True)  # what wraps around is left out
        product = self.rfft(x, size) * self.rfft(taps, size)[None, :]
        return self.irfft(product, size)[:, taps.shape[0] - 1 : x.shape[-1]]


class DeviceArrays(Arrays):
    """Arrays of a namespace of the array API standard, in float64."""

    chunk = 8

    def __init__(self, name: str, xp: Any, device: Any) -> None:
        self.name, self.xp, self.device = name, xp, device

    def put(self, x: npt.NDArray[Any]) -> Any:
        # A copy, because PyTorch warns about read-only memory and does not support negative strides.
        kind = np.complex128 if np.iscomplexobj(x) else np.float64 if x.dtype.kind == "f" else x.dtype
        return self.xp.asarray(np.array(x, kind, order="C"), device=self.device)

    def get(self, x: Any) -> npt.NDArray[Any]:
        return np.asarray(x.to("cpu") if hasattr(x, "to") else x)

    def rfft(self, x: Any, size: int | None = None) -> Any:
        return self.xp.fft.rfft(x, n=size)

    def irfft(self, x: Any, size: int) -> Any:
        return self.xp.fft.irfft(x, n=size)

    def windows(self, x: Any, length: int, step: int) -> Any:
        count = (x.shape[-1] - length) // step + 1
        index = step * np.arange(count)[:, None] + np.arange(length)
        found = self.xp.take(x, self.put(index.reshape(-1)), axis=-1)
        return self.xp.reshape(found, (*x.shape[:-1], count, length))

    def rows(self, x: Any, index: npt.NDArray[np.intp]) -> Any:
        return self.xp.take(x, self.put(index), axis=0)

    def columns(self, x: Any, index: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        return self.get(self.xp.take_along_axis(x, self.put(index[:, None]), axis=1))[:, 0]

    def double(self, x: Any) -> Any:
        return x

    def concat(self, parts: list[Any]) -> Any:
        return self.xp.concat(parts)

    def moved(self, x: Any, axes: tuple[int, ...]) -> Any:
        return self.xp.permute_dims(x, axes)

    def conj(self, z: Any) -> Any:
        return self.xp.conj(z)

    def interleaved(self, z: Any) -> Any:
        parts = self.xp.stack([self.xp.real(z), self.xp.imag(z)], axis=-1)
        return self.xp.reshape(parts, (*z.shape[:-1], 2 * z.shape[-1]))

    def energy(self, x: Any) -> Any:
        return self.xp.sum(x * x, axis=-1)


NUMPY = Arrays()
_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")
_CURRENT: ContextVar[Arrays] = ContextVar("arrays", default=NUMPY)


def current() -> Arrays:
    """The arrays of :func:`on_device`. Threads that are started later do not inherit them."""
    return _CURRENT.get()


@contextmanager
def on_device(device: str | None) -> Iterator[None]:
    """Compute all metrics inside a ``with`` block on a device.

    Parameters
    ----------
    device : str or None
        A device of PyTorch: ``"cuda"``, ``"cuda:1"`` or ``"cpu"``. None changes nothing: outside of any block, the
        metrics are computed with NumPy.

    Raises
    ------
    ValueError
        PyTorch or array-api-compat is not installed, or there is no such device.
    MemoryError
        The memory of the device is full.
    """
    if device is not None and not (isinstance(device, str) and _DEVICE.fullmatch(device)):
        raise InputError(f"device {device!r}; expected cpu, cuda or cuda:<n>")
    arrays = current() if device is None else _torch(device)
    try:
        with using(arrays):
            yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # PyTorch's
            raise
        raise MemoryError(f"the memory of the device {arrays.name!r} is full") from error


@contextmanager
def using(arrays: Arrays) -> Iterator[None]:
    """Compute with `arrays` inside a ``with`` block."""
    token = _CURRENT.set(arrays)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@lru_cache(maxsize=8)
def _torch(device: str) -> Arrays:
    try:
        torch, xp = import_module("torch"), import_module("array_api_compat.torch")
    except ImportError as error:
        raise InputError(
            f"device {device!r} needs {error.name}: pip install 'binaural-metrics[gpu]'"
        ) from None
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return DeviceArrays(device, xp, torch.device(device))
