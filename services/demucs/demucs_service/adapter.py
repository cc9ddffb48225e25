"""HT Demucs, and every other model of the ``demucs`` library, behind the separator contract.

Rouard, Massa & Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023.

======================  =====================================================================================
``DEMUCS_MODEL``        ``htdemucs_ft`` (default), ``htdemucs``, ``hdemucs_mmi``, or a model of one's own: the
                        name of a ``<name>.yaml`` bag or the signature of a checkpoint in the weights folder
``DEMUCS_SHIFTS``       random shifts to average over (default 1; 0 for none)
``DEMUCS_OVERLAP``      overlap of neighbouring segments, 0 to 0.95 (default 0.25, as in the library)
``DEMUCS_SEGMENT``      seconds per segment (default: the model's own)
``DEMUCS_BATCH_SIZE``   segments per forward pass (default: 1 on a CPU, 8 on a GPU)
``DEMUCS_SEED``         seed of the shifts (default 0)
``DEMUCS_PRECISION``    ``float32`` (default), or autocast to ``bfloat16`` or ``float16``
``DEVICE, THREADS``     see :mod:`mssbench_service.model_runtime`
``MSSBENCH_WEIGHTS_DIR``  checkpoints lie in its folder ``demucs``, see :mod:`mssbench_service.weights`
======================  =====================================================================================

A checkpoint is a pickle, which can run code when it is loaded; the library verifies it first by the checksum
in its name, and a file without one is refused here.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import demucs.apply
import demucs.transformer
import numpy as np
import torch
import yaml
from demucs.apply import BagOfModels, apply_model
from demucs.htdemucs import HTDemucs
from demucs.pretrained import REMOTE_ROOT
from demucs.repo import AnyModelRepo, BagOnlyRepo, LocalRepo, ModelLoadingError
from mssbench_service.audio import FloatArray
from mssbench_service.devices import torch_device
from mssbench_service.environment import choice, number, whole_number
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.model_runtime import model_errors, thread_count
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator, checked_sample_rate
from mssbench_service.weights import load, require, sha256_of, weights_folder

from .batches import BatchPool

WEIGHTS = Path(__file__).with_name("weights.toml")

SHORTEST = 2048
"""Shorter tracks are padded with silence to so many samples: on a few samples the library divides by a
standard deviation of nothing, or finds less than a frame for the innermost layers of Hybrid Demucs."""

SEGMENTS = (0.1, 600.0)
"""Seconds; below, a track falls into segments of next to nothing, each of them a forward pass."""

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Config:
    """What the environment sets; see the module's docstring. `segment` 0 is the model's own."""

    model: str = "htdemucs_ft"
    shifts: int = 1
    overlap: float = 0.25
    segment: float = 0.0
    batch_size: int = 0
    seed: int = 0
    precision: str = "float32"

    @classmethod
    def from_environment(cls) -> Config:
        return cls(
            model=_model_name(),
            shifts=whole_number("DEMUCS_SHIFTS", 1, 0, 100),
            overlap=number("DEMUCS_OVERLAP", 0.25, 0.0, 0.95),
            segment=number("DEMUCS_SEGMENT", 0.0, 0.0, SEGMENTS[1]),
            batch_size=whole_number("DEMUCS_BATCH_SIZE", 0, 0, 1024),
            seed=whole_number("DEMUCS_SEED", 0, 0, 2**32),
            precision=choice("DEMUCS_PRECISION", "float32", tuple(_PRECISIONS)),
        )


class DemucsSeparator(Separator):
    """A Demucs model, or a bag of them, held in memory."""

    description = "HT Demucs FT and its relatives, by the demucs library"
    sample_rate = 44100

    def __init__(self) -> None:
        self._model: Any = None
        self._config = Config()
        self._device = "not loaded"
        self._details: dict[str, object] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def device(self) -> str:
        return self._device

    def details(self) -> Mapping[str, object]:
        return self._details

    def setup(self) -> None:
        """Load the model.

        Raises
        ------
        BadInput
            A setting is wrong.
        NotReady
            A checkpoint is missing or damaged, the model is not one for four stereo stems, or the device that
            was asked for is not there.
        """
        config = Config.from_environment()
        self._device = torch_device("demucs")
        model, checkpoints = load_model(config.model, weights_folder("demucs"))
        _check(model, config)
        on_cpu = self._device == "cpu"
        config = Config(**asdict(config) | {"batch_size": config.batch_size or (1 if on_cpu else 8)})
        if not on_cpu:
            # Else it may pick another algorithm, or sum in another order, and so give other bits each time.
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        self._config, self._model = config, model.to(self._device)
        self.sample_rate = checked_sample_rate(config.model, float(model.samplerate))
        self._details = {
            "model": config.model,
            "model_stems": list(model.sources),
            "weights": [{"file": path.name, "sha256": sha256_of(path)} for path in checkpoints],
            "settings": asdict(config) | {"segment": config.segment or float(_models(model)[0].segment)},
            "threads": thread_count(),
            "libraries": {name: version(name) for name in ("demucs", "torch", "numpy")},
        }
        if not on_cpu:
            self.separate(np.zeros((2, self.sample_rate), np.float32), self.sample_rate)

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        samples = mixture.shape[1]
        missing = max(0, SHORTEST - samples)
        signal = torch.from_numpy(np.pad(mixture, ((0, 0), (0, missing))) if missing else mixture)
        with self._one_at_a_time, model_errors("Demucs", (torch.OutOfMemoryError,)), self._releasing_memory():
            estimates = self._apply(signal)
        # zip with the model's own list: its order differs from ours, and between models.
        return {
            source: np.ascontiguousarray(estimate.numpy()[:, :samples])
            for source, estimate in zip(self._model.sources, estimates, strict=True)
        }

    def _apply(self, signal: torch.Tensor) -> torch.Tensor:
        """What ``demucs.api.Separator.separate_tensor`` does, with a pool, in less memory, reproducibly."""
        config = self._config
        torch.set_num_threads(thread_count())  # OpenMP keeps this for each calling thread
        reference = signal.mean(0)
        mean, std = reference.mean(), reference.std() + 1e-8
        dtype = _PRECISIONS[config.precision]
        device_type = torch.device(self._device).type
        with shifts_from(config.seed), torch.autocast(device_type, dtype, enabled=dtype is not None):
            estimates: torch.Tensor = apply_model(
                self._model,
                ((signal - mean) / std)[None],
                shifts=config.shifts,
                overlap=config.overlap,
                segment=config.segment or None,
                device=self._device,  # only segments visit it: the track and the sums stay on the CPU
                pool=BatchPool(config.batch_size),
            )
        return estimates.mul_(std).add_(mean)[0]

    @contextlib.contextmanager
    def _releasing_memory(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # so that a shorter track has a chance after one that was too long
            raise


@contextlib.contextmanager
def shifts_from(seed: int) -> Iterator[None]:
    """Let the library draw its shifts from a generator of our own, seeded with `seed`.

    It draws them from Python's global generator, and so does its transformer for each forward pass (a number
    that is always 0 in the released models). Seeding the global generator would make the shifts of a bag's
    later models depend on how many segments make a batch; and another thread might draw in between.
    """
    modules: list[Any] = [demucs.apply, demucs.transformer]
    for module in modules:
        module.random = random.Random(seed)
    try:
        yield
    finally:
        for module in modules:
            module.random = random


# --- loading ----------------------------------------------------------------------------------------------


def _model_name() -> str:
    return os.environ.get("DEMUCS_MODEL", "").strip() or load(WEIGHTS).default


def load_model(name: str, folder: Path) -> tuple[Any, list[Path]]:
    """Load a model with the library's own repositories, and say which files it came from.

    `folder` may be any Demucs repository: checkpoints (``<signature>-<checksum>.th``) and bags
    (``<name>.yaml``). For the names that the library knows, its own bag is used unless there is one.

    Raises
    ------
    NotReady
        A file is missing or damaged; the message names it and what to do.
    """
    bags = folder if (folder / f"{name}.yaml").is_file() else REMOTE_ROOT
    if bags == REMOTE_ROOT and name in load(WEIGHTS).models:
        require(WEIGHTS, folder.parent, name)
    if not folder.is_dir():
        raise NotReady(f"the folder {folder}, which should hold the model {name!r}, does not exist")
    try:
        local = LocalRepo(folder)
        checkpoints = _checkpoints(name, bags, local)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of the pickles' PyTorch
            model = AnyModelRepo(local, BagOnlyRepo(bags, local)).get_model(name)
    except NotReady:
        raise
    except SystemExit as error:  # how the library reports that a quantized model needs a package it lacks
        raise NotReady(f"the model {name!r} needs a package that is not installed (diffq)") from error
    except Exception as error:  # a pickle, and a class that is given what it holds, may raise anything
        reason = str(error) if isinstance(error, ModelLoadingError) else f"{type(error).__name__} {error}"
        raise NotReady(f"the model {name!r} cannot be loaded from {folder}: {reason}") from error
    model.eval()
    return model, checkpoints


def _checkpoints(name: str, bags: Path, local: LocalRepo) -> list[Path]:
    """The files that `name` is made of, each of which must carry its checksum in its name."""
    available = local.list_model()
    signatures = [name]
    if name not in available:
        bag = bags / f"{name}.yaml"
        if not bag.is_file():
            raise NotReady(f"{local.root} holds neither a bag {name}.yaml nor a checkpoint {name}-….th")
        signatures = _signatures(bag)
    found = []
    for signature in signatures:
        if signature not in available:
            raise NotReady(f"{local.root / signature}-….th is missing; the model {name!r} needs it")
        path = Path(available[signature])
        if not re.fullmatch(r".+-[0-9a-f]{8,64}\.th", path.name):
            raise NotReady(
                f"{path} has no checksum in its name (<signature>-<first 8 digits of its SHA-256>.th); "
                "loading it could run code that nobody has vouched for"
            )
        found.append(path)
    return found


def _signatures(bag: Path) -> list[str]:
    """The checkpoints that a bag names, in its order."""
    try:
        named = yaml.safe_load(bag.read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise NotReady(f"{bag} is no bag of models: {type(error).__name__} {error}") from error
    if not isinstance(named, list) or not named or not all(isinstance(signature, str) for signature in named):
        raise NotReady(f"{bag} is no bag of models: its 'models' are no list of signatures")
    return named


def _models(model: Any) -> list[Any]:
    return list(model.models) if isinstance(model, BagOfModels) else [model]


def _check(model: Any, config: Config) -> None:
    if sorted(model.sources) != sorted(STEMS) or model.audio_channels != 2:
        raise NotReady(
            f"the model {config.model!r} estimates {', '.join(model.sources)} in {model.audio_channels} "
            f"channel(s); the benchmark needs {', '.join(STEMS)} in 2"
        )
    try:
        segments = [float(one.segment) for one in _models(model)]
        weights = np.asarray(model.weights if isinstance(model, BagOfModels) else 1.0, np.float64)
    except (TypeError, ValueError) as error:
        raise NotReady(f"the bag {config.model!r} cannot be used: {type(error).__name__} {error}") from error
    if not all(SEGMENTS[0] <= segment <= SEGMENTS[1] for segment in segments):
        raise NotReady(
            f"the model {config.model!r} has segments of {segments} s; expected {SEGMENTS[0]:g} to {SEGMENTS[1]:g}"
        )
    if not (np.isfinite(weights).all() and weights.sum(0).all()):
        raise NotReady(f"the weights of the bag {config.model!r} are not finite, or add up to 0 for a stem")
    # Hybrid Demucs takes any length; HT Demucs none beyond what it was trained on.
    limits = [float(one.segment) for one in _models(model) if isinstance(one, HTDemucs)]
    shortest, longest = SEGMENTS[0], min(limits, default=SEGMENTS[1])
    if config.segment and not shortest <= config.segment <= longest:
        raise BadInput(
            f"DEMUCS_SEGMENT={config.segment:g}; the model {config.model!r} takes {shortest:g} to {longest:g} s"
        )
