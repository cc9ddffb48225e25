"""Base classes of separators that hold a model: device, lock, memory, weights and their description.

:class:`ModelSeparator` does what is the same for every model and imports no deep learning library;
:class:`TorchSeparator` adds what is the same for models on PyTorch. An adapter states its names as class
attributes and implements :meth:`ModelSeparator.load` and :meth:`ModelSeparator.estimate`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from . import audio, weights
from .audio import FloatArray
from .cards import read_card
from .devices import chosen_device, thread_count
from .environment import whole_number
from .errors import BadInput, BenchError, NotReady, OutOfMemory, StepFailed
from .separation import Separator, Separators, weights_file
from .stems import check_stem_names
from .wire import ModelCard

log = logging.getLogger("mssbench")

# CPU allocators have no exception of their own: PyTorch's raises a RuntimeError with one of these texts.
_ALLOCATION_FAILED = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


@dataclass(frozen=True)
class LoadedModel:
    """Description of a loaded model, returned by :meth:`ModelSeparator.load`.

    Parameters
    ----------
    name : str
        Name of the model.
    stems : sequence of str
        Stems in the model's own order.
    sample_rate : float
        Sample rate of the model in Hz.
    weights : sequence of Path
        Files that the model was loaded from.
    settings : mapping of str to object
        Settings of the adapter, for ``GET /info``.
    shortest : int
        Length in samples to which shorter tracks are padded with zeros.
    warm_up : bool
        Separate a second of silence before the service is ready: the first run takes longer on some devices, and
        parts of a model that do not fit together fail here.
    """

    name: str
    stems: Sequence[str]
    sample_rate: float
    weights: Sequence[Path]
    settings: Mapping[str, object]
    shortest: int = 0
    warm_up: bool = True


class ModelSeparator(Separator):
    """A separator that holds one model in memory; one model separates one track at a time.

    Parameters
    ----------
    model : str
        A pinned model, which is loaded on first use. By default the requested model (:meth:`load`), which
        :meth:`setup` loads.

    A service may offer several models of its library (:func:`model_family`). They are loaded on first use, and
    ``MSSBENCH_LOADED_MODELS`` of them (default 3) are kept in memory.

    Long work calls :func:`mssbench_service.cancellation.raise_if_cancelled` between chunks, so that a job whose client
    has disconnected stops.

    Attributes
    ----------
    service : str
        Name of the service. Replicas of one service share the machine's devices, and its weights are in the
        folder of this name in the weights folder.
    library : str
        Name of the library, for error messages.
    distributions : tuple of str
        Installed packages whose versions are part of ``GET /info``.
    out_of_memory : tuple of exception types
        Exceptions of the library for failed allocations, besides ``MemoryError``.
    """

    service: ClassVar[str]
    library: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    out_of_memory: ClassVar[tuple[type[Exception], ...]] = ()

    _one_at_a_time: ClassVar[threading.RLock] = threading.RLock()
    _in_memory: ClassVar[list[ModelSeparator]] = []  # the one that was used last at the end

    def __init__(self, model: str = "") -> None:
        self.model = model
        self._device = "not loaded"
        self._details: dict[str, object] = {}
        self._card = ModelCard()
        self._shortest = 0

    @property
    def device(self) -> str:
        return self._device

    def details(self) -> Mapping[str, object]:
        return self._details

    def card(self) -> ModelCard:
        return self._card

    def setup(self) -> None:
        """Load the model and warm it up. Of a model that is loaded on first use, the files are verified only.

        Raises
        ------
        BadInput
            A setting is wrong.
        NotReady
            A file is missing or damaged, the model is not for stereo, or the requested device is not available.
        """
        if not self.model:
            self._load()
            return
        self.stems = weights.load(weights_file(self)).stems[self.model]
        weights.require(weights_file(self), weights.weights_folder(self.service).parent, self.model)
        self._card = self.read_card(self.model)
        self._device = self.choose_device()

    def read_card(self, model: str) -> ModelCard:
        """Card of a model. An adapter adds the properties of the loaded model."""
        return read_card(weights_file(self), weights.weights_folder(self.service), model)

    def _load(self) -> None:
        with self._one_at_a_time:
            if self in self._in_memory:  # its setup is repeated
                self._in_memory.remove(self)
            while len(self._in_memory) >= whole_number("MSSBENCH_LOADED_MODELS", 3, 1, 100):
                self._in_memory.pop(0).unload()
            loaded = self.load()
            self._describe(loaded)
            self._card = self.read_card(loaded.name)
            self._in_memory.append(self)
            if self._warm_up:
                self.separate(np.zeros((2, self.sample_rate or 0), np.float32), self.sample_rate or 0)

    def _describe(self, loaded: LoadedModel) -> None:
        self.sample_rate = checked_sample_rate(loaded.name, loaded.sample_rate)
        self._shortest, self._warm_up, self.stems = loaded.shortest, loaded.warm_up, tuple(loaded.stems)
        self._details = {
            "model": loaded.name,
            "model_stems": list(loaded.stems),
            "weights": [{"file": path.name, "sha256": weights.sha256_of(path)} for path in loaded.weights],
            "settings": dict(loaded.settings),
            "threads": thread_count(),
            "libraries": {name: version(name) for name in self.distributions},
        }

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        samples = mixture.shape[1]
        missing = max(0, self._shortest - samples)
        padded = np.pad(mixture, ((0, 0), (0, missing))) if missing else mixture
        with self._one_at_a_time, self._errors_of_library():
            if self not in self._in_memory:
                self._load()
            self._in_memory.remove(self)
            self._in_memory.append(self)
            estimates = self.estimate(padded)
        return {stem: np.ascontiguousarray(estimate[:, :samples]) for stem, estimate in estimates.items()}

    @abstractmethod
    def load(self) -> LoadedModel:
        """Read the settings, choose the device (:meth:`choose_device`), load the model and keep it."""

    @abstractmethod
    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        """Run the model on one track. Never called twice at a time.

        Parameters
        ----------
        mixture : array, shape (2, samples), float32
            At least :attr:`LoadedModel.shortest` samples.

        Returns
        -------
        dict of str to array, shape (2, samples), float32
            In any memory layout.
        """

    @abstractmethod
    def framework(self) -> str:
        """Name and version of the library that finds CUDA devices."""

    @abstractmethod
    def cuda_devices(self) -> int:
        """Number of CUDA devices that the library finds. Not called if ``DEVICE`` is ``cpu``."""

    def unload(self) -> None:
        """Drop the model from memory. :meth:`load` is called before the next track."""

    def release_memory(self) -> None:
        """Return cached memory to the device. Called after an allocation failed."""

    def choose_device(self) -> str:
        """Choose the device that ``DEVICE`` names, as :func:`mssbench_service.devices.chosen_device` does."""
        self._device = chosen_device(self.service, self.framework(), self.cuda_devices)
        return self._device

    @contextlib.contextmanager
    def _errors_of_library(self) -> Iterator[None]:
        """Turn exceptions of the library into ``OutOfMemory``, which is retried, or ``StepFailed``."""
        try:
            yield
        except BenchError:
            raise
        except Exception as error:
            allocation = isinstance(error, RuntimeError) and _ALLOCATION_FAILED.search(str(error))
            if allocation or isinstance(error, (MemoryError, *self.out_of_memory)):
                self.release_memory()  # a shorter track may fit after one that was too long
                reason = f"{self.library} ran out of memory: {first_line(error)}"
                raise OutOfMemory(reason, retry_after=30) from error
            log.exception("%s failed", self.library)
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise StepFailed(f"{self.library} failed: {reason}") from error


class TorchSeparator(ModelSeparator):
    """A :class:`ModelSeparator` on PyTorch, which the adapter's own module imports. ``_model`` is the loaded model."""

    _model: Any

    def read_card(self, model: str) -> ModelCard:
        network = getattr(self, "_model", None)
        if network is None:
            return super().read_card(model)
        return replace(super().read_card(model), parameters=sum(one.numel() for one in network.parameters()))

    def unload(self) -> None:
        del self._model
        self.release_memory()

    def framework(self) -> str:
        return f"PyTorch {_torch().__version__}"

    def cuda_devices(self) -> int:
        cuda = _torch().cuda
        return int(cuda.device_count()) if cuda.is_available() else 0

    def choose_device(self) -> str:
        device = super().choose_device()
        if device != "cpu":
            # Otherwise cuDNN may choose another algorithm or order of summation, which changes the last bits.
            cudnn = _torch().backends.cudnn
            cudnn.benchmark, cudnn.deterministic = False, True
        return device

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        _torch().set_num_threads(thread_count())  # OpenMP keeps this setting for each calling thread
        return super().separate(mixture, sample_rate)

    def release_memory(self) -> None:
        _torch().cuda.empty_cache()


def _torch() -> Any:
    return importlib.import_module("torch")  # not at the top: this module also runs without PyTorch


def requested_model(variable: str, weights_toml: Path) -> str:
    """The model named by the environment variable `variable`; by default, the one in `weights_toml`."""
    return os.environ.get(variable, "").strip() or weights.load(weights_toml).default


def model_family(make: Callable[..., ModelSeparator], weights_toml: Path) -> Separators:
    """The separators of a service whose library has several models.

    The service's own name stands for the requested model; ``<service>:<model>`` for each pinned one that declares its
    stems in `weights_toml`.
    """
    pins = weights.load(weights_toml)
    named = {f"{pins.service}:{model.removeprefix(f'{pins.service}:')}": model for model in pins.stems}
    return {pins.service: make, **{name: functools.partial(make, model) for name, model in named.items()}}


def check_stems(model: str, stems: Sequence[str], channels: int) -> None:
    """Check that a model estimates named stems in stereo.

    Raises
    ------
    NotReady
        It has no stem, two of one name or an invalid name, or another number of channels.
    """
    if not stems or channels != 2:
        raise NotReady(
            f"the model {model!r} estimates {', '.join(stems) or 'nothing'} in {channels} channel(s); expected 2"
        )
    try:
        check_stem_names(stems, f"the model {model!r}")
    except BadInput as error:
        raise NotReady(error.detail) from None


def checked_sample_rate(model: str, sample_rate: float) -> int:
    """The sample rate of `model` in Hz as a whole number.

    Raises
    ------
    NotReady
        It is outside the range that tracks can be resampled to.
    """
    low, high = audio.SAMPLE_RATES
    if not low <= sample_rate <= high:
        raise NotReady(
            f"the model {model!r} has a sample rate of {sample_rate:g} Hz; expected {low} to {high} Hz"
        )
    return int(sample_rate)


@contextlib.contextmanager
def not_ready_on_error(what: str) -> Iterator[None]:
    """Raise ``NotReady`` with `what` before the reason for any exception: a wrong file fails in many ways."""
    try:
        yield
    except NotReady:
        raise
    except Exception as error:
        raise NotReady(f"{what}{type(error).__name__} {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """First line of the message of a library's exception."""
    text = str(getattr(error, "message", "") or error)  # TensorFlow's text also describes the graph
    return next(iter(text.strip().splitlines()), "no message")[:300]
