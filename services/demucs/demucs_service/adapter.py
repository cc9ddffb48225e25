"""HT Demucs, and every other model of the ``demucs`` library, as a separator.

==========================  ====================================================================================
``DEMUCS_MODEL``            model of the separator ``demucs``: ``htdemucs_ft`` (default), another released model
                            (``htdemucs``, ``htdemucs_6s`` with six stems, ``hdemucs_mmi``), or your own: the name of
                            a ``<name>.yaml`` bag or the signature of a checkpoint in the weights folder
``MSSBENCH_LOADED_MODELS``  number of models that are kept in memory (default 3)
``DEMUCS_SHIFTS``           number of random shifts to average (default 1; 0 for none)
``DEMUCS_OVERLAP``          overlap of neighbouring segments, 0 to 0.95 (default 0.25, as in the library)
``DEMUCS_SEGMENT``          length of a segment in seconds (default: the model's own)
``DEMUCS_BATCH_SIZE``       segments per forward pass (default: 1 on a CPU, 8 on a GPU)
``DEMUCS_SEED``             seed of the random shifts (default 0)
``DEMUCS_PRECISION``        ``float32`` (default), or autocast to ``bfloat16`` or ``float16``
``DEVICE``, ``THREADS``     see :mod:`mssbench_service.devices`
``MSSBENCH_WEIGHTS_DIR``    weights folder, whose subfolder ``demucs`` holds the checkpoints; see
                            :mod:`mssbench_service.weights`
==========================  ====================================================================================

The released models are separators of their own, too (``demucs:htdemucs_6s``), which are loaded on first use.

A checkpoint is a pickle, which can run code when it is loaded. The library verifies it by the checksum in its file
name before it loads it. This adapter refuses a file without a checksum in its name.

References
----------
.. [1] S. Rouard, F. Massa and A. Défossez, "Hybrid Transformers for Music Source Separation," IEEE International
   Conference on Acoustics, Speech and Signal Processing (ICASSP), 2023.
"""

from __future__ import annotations

import contextlib
import random
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
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
from demucs.repo import AnyModelRepo, BagOnlyRepo, LocalRepo
from mssbench_service import weights
from mssbench_service.audio import FloatArray
from mssbench_service.environment import choice, number, whole_number
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.model import (
    LoadedModel,
    TorchSeparator,
    check_stems,
    not_ready_on_error,
    requested_model,
)

from .batches import BatchPool

WEIGHTS = Path(__file__).with_name("weights.toml")

SHORTEST = 2048
"""Samples to which shorter tracks are padded with zeros. On a few samples the library divides by a standard deviation
of 0, or has less than one frame for the innermost layers of Hybrid Demucs."""

SEGMENTS = (0.1, 600.0)
"""Range of segment lengths in seconds. Shorter segments would mean a forward pass for nearly every sample."""

_PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Config:
    """Settings from the environment; see the module's docstring. The `segment` 0 stands for the model's own."""

    model: str = "htdemucs_ft"
    shifts: int = 1
    overlap: float = 0.25
    segment: float = 0.0
    batch_size: int = 0
    seed: int = 0
    precision: str = "float32"

    @classmethod
    def from_environment(cls, model: str) -> Config:
        return cls(
            model=model or requested_model("DEMUCS_MODEL", WEIGHTS),
            shifts=whole_number("DEMUCS_SHIFTS", 1, 0, 100),
            overlap=number("DEMUCS_OVERLAP", 0.25, 0.0, 0.95),
            segment=number("DEMUCS_SEGMENT", 0.0, 0.0, SEGMENTS[1]),
            batch_size=whole_number("DEMUCS_BATCH_SIZE", 0, 0, 1024),
            seed=whole_number("DEMUCS_SEED", 0, 0, 2**32),
            precision=choice("DEMUCS_PRECISION", "float32", tuple(_PRECISIONS)),
        )


class DemucsSeparator(TorchSeparator):
    """A Demucs model, or a bag of Demucs models, held in memory."""

    description = "HT Demucs FT and its relatives, by the demucs library"
    sample_rate = 44100
    service = "demucs"
    library = "Demucs"
    distributions = ("demucs", "torch", "numpy")
    out_of_memory = (torch.OutOfMemoryError,)

    def load(self) -> LoadedModel:
        config = Config.from_environment(self.model)
        on_cpu = self.choose_device() == "cpu"
        model, checkpoints = load_model(config.model, weights.weights_folder("demucs"))
        _check(model, config)
        self._config = config = replace(config, batch_size=config.batch_size or (1 if on_cpu else 8))
        self._model = model.to(self.device)
        return LoadedModel(
            name=config.model,
            stems=model.sources,
            sample_rate=float(model.samplerate),
            weights=checkpoints,
            settings=asdict(config) | {"segment": config.segment or float(_models(model)[0].segment)},
            shortest=SHORTEST,
            warm_up=not on_cpu,
        )

    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        """Do what ``demucs.api.Separator.separate_tensor`` does: in batches, with less memory, reproducibly."""
        config = self._config
        signal = torch.from_numpy(mixture)
        reference = signal.mean(0)
        mean, std = reference.mean(), reference.std() + 1e-8
        dtype = _PRECISIONS[config.precision]
        device_type = torch.device(self.device).type
        with shifts_from(config.seed), torch.autocast(device_type, dtype, enabled=dtype is not None):
            estimates: torch.Tensor = apply_model(
                self._model,
                ((signal - mean) / std)[None],
                shifts=config.shifts,
                overlap=config.overlap,
                segment=config.segment or None,
                device=self.device,  # only segments are moved there: the track and the sums stay on the CPU
                pool=BatchPool(config.batch_size),
            )
        scaled = estimates.mul_(std).add_(mean)[0].numpy()
        # In the model's own order of stems, which differs between models and from the benchmark's.
        return dict(zip(self._model.sources, scaled, strict=True))


@contextlib.contextmanager
def shifts_from(seed: int) -> Iterator[None]:
    """Make the library draw its random shifts from a separate generator, seeded with `seed`.

    The library draws shifts from Python's global generator, which its transformer also uses in each forward pass
    (to draw a number that is always 0 in the released models). With a seeded global generator, the shifts of the
    later models in a bag would depend on the batch size, and other threads could draw in between.
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


def load_model(name: str, folder: Path) -> tuple[Any, list[Path]]:
    """Load a model with the library's own repositories.

    Parameters
    ----------
    name : str
        Name of a bag, or signature of a checkpoint. For a name that the library knows, the library's bag is used
        unless `folder` holds one of that name.
    folder : Path
        Any Demucs repository: checkpoints (``<signature>-<checksum>.th``) and bags (``<name>.yaml``).

    Returns
    -------
    model : demucs.apply.Model or BagOfModels
    checkpoints : list of Path
        The files that it was loaded from.

    Raises
    ------
    NotReady
        A file is missing or damaged. The message names the file and the remedy.
    """
    bags = folder if (folder / f"{name}.yaml").is_file() else REMOTE_ROOT
    if bags == REMOTE_ROOT and name in weights.load(WEIGHTS).models:
        weights.require(WEIGHTS, folder.parent, name)
    if not folder.is_dir():
        raise NotReady(f"the folder {folder}, which should hold the model {name!r}, does not exist")
    cannot_be_loaded = not_ready_on_error(f"the model {name!r} cannot be loaded from {folder}: ")
    try:
        with cannot_be_loaded, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pickles are from an older PyTorch
            local = LocalRepo(folder)
            checkpoints = _checkpoints(name, bags, local)
            model = AnyModelRepo(local, BagOnlyRepo(bags, local)).get_model(name)
    except SystemExit as error:  # raised by the library if a quantized model needs a package that is missing
        raise NotReady(f"the model {name!r} needs a package that is not installed (diffq)") from error
    model.eval()
    return model, checkpoints


def _checkpoints(name: str, bags: Path, local: LocalRepo) -> list[Path]:
    """The files that `name` consists of. Each must have its checksum in its name."""
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
                "an unverified checkpoint could run code when it is loaded"
            )
        found.append(path)
    return found


def _signatures(bag: Path) -> list[str]:
    """The signatures of the checkpoints in a bag, in its order."""
    try:
        named = yaml.safe_load(bag.read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise NotReady(f"{bag} is not a bag of models: {type(error).__name__} {error}") from error
    if not isinstance(named, list) or not named or not all(isinstance(signature, str) for signature in named):
        raise NotReady(f"{bag} is not a bag of models: 'models' is not a list of signatures")
    return named


def _models(model: Any) -> list[Any]:
    return list(model.models) if isinstance(model, BagOfModels) else [model]


def _check(model: Any, config: Config) -> None:
    """Check the stems, the segments and the weights of a model or bag, and the segment that was asked for."""
    check_stems(config.model, model.sources, model.audio_channels)
    try:
        segments = [float(one.segment) for one in _models(model)]
        shares = np.asarray(model.weights if isinstance(model, BagOfModels) else 1.0, np.float64)
    except (TypeError, ValueError) as error:
        raise NotReady(f"the bag {config.model!r} cannot be used: {type(error).__name__} {error}") from error
    if not all(SEGMENTS[0] <= segment <= SEGMENTS[1] for segment in segments):
        raise NotReady(
            f"the model {config.model!r} has segments of {segments} s; expected {SEGMENTS[0]:g} to {SEGMENTS[1]:g}"
        )
    if not (np.isfinite(shares).all() and shares.sum(0).all()):
        raise NotReady(f"the weights of the bag {config.model!r} are not finite, or add up to 0 for a stem")
    # Hybrid Demucs takes segments of any length, HT Demucs none longer than in training.
    limits = [float(one.segment) for one in _models(model) if isinstance(one, HTDemucs)]
    shortest, longest = SEGMENTS[0], min(limits, default=SEGMENTS[1])
    if config.segment and not shortest <= config.segment <= longest:
        raise BadInput(
            f"DEMUCS_SEGMENT={config.segment:g}; the model {config.model!r} takes {shortest:g} to {longest:g} s"
        )
