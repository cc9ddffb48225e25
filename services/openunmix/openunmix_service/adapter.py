"""Open-Unmix behind the separator contract.

Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix - A Reference Implementation for Music Source Separation",
Journal of Open Source Software 4(41), 2019.

========================  ===================================================================================
``OPENUNMIX_MODEL``       ``umxhq`` (default), ``umxl``, ``umx``, or a model of one's own: the name of a folder
                          with ``separator.json`` and ``<stem>.json`` and ``<stem>.pth`` in the weights folder
``OPENUNMIX_NITER``       iterations of the multichannel Wiener filter (default 1, as in the library)
``OPENUNMIX_WINDOW``      frames it looks at together (default 300, as in the library)
``DEVICE, THREADS``       see :mod:`mssbench_service.model_runtime`
``MSSBENCH_WEIGHTS_DIR``  checkpoints lie in its folder ``openunmix``, see :mod:`mssbench_service.weights`
========================  ===================================================================================

There is no residual target: the stems need not add up to the mixture.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openunmix
import torch
from mssbench_service.audio import FloatArray
from mssbench_service.devices import torch_device
from mssbench_service.environment import whole_number
from mssbench_service.errors import NotReady
from mssbench_service.files import read_json
from mssbench_service.model_runtime import model_errors, thread_count
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator, checked_sample_rate
from mssbench_service.weights import load, require, sha256_of, weights_folder
from openunmix.utils import load_separator

from . import windows

WEIGHTS = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True)
class Config:
    """What the environment sets; see the module's docstring."""

    model: str
    niter: int
    window: int

    @classmethod
    def from_environment(cls) -> Config:
        return cls(
            model=os.environ.get("OPENUNMIX_MODEL", "").strip() or load(WEIGHTS).default,
            niter=whole_number("OPENUNMIX_NITER", 1, 0, 100),
            window=whole_number("OPENUNMIX_WINDOW", 300, 1, 100_000),
        )


class OpenUnmixSeparator(Separator):
    """An Open-Unmix model, one network for each stem, held in memory."""

    description = "Open-Unmix: one LSTM for each stem on the magnitudes, then a multichannel Wiener filter"
    sample_rate = 44100

    def __init__(self) -> None:
        self._model: Any = None
        self._device = "not loaded"
        self._details: dict[str, object] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def device(self) -> str:
        return self._device

    def details(self) -> Mapping[str, object]:
        return self._details

    def setup(self) -> None:
        """Load the networks.

        Raises
        ------
        BadInput
            A setting is wrong.
        NotReady
            A file is missing or damaged, the model is not one for four stereo stems, or the device that was
            asked for is not there.
        """
        config = Config.from_environment()
        self._device = torch_device("openunmix")
        model, files = load_model(config, weights_folder("openunmix"))
        if self._device != "cpu":
            # Else it may pick another algorithm, or sum in another order, and so give other bits each time.
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        model.freeze()  # what the library does before it separates: evaluation mode, no gradients
        self._model = model.to(self._device)
        self.sample_rate = checked_sample_rate(config.model, float(model.sample_rate))
        self._details = {
            "model": config.model,
            "model_stems": list(model.target_models),
            "weights": [{"file": path.name, "sha256": sha256_of(path)} for path in files],
            "settings": asdict(config) | {"residual": False},
            "threads": thread_count(),
            "libraries": {name: version(name) for name in ("openunmix", "torch", "torchaudio", "numpy")},
        }
        # So that parts that do not fit together show now; and the first run on a GPU takes longer.
        self.separate(np.zeros((2, self.sample_rate), np.float32), self.sample_rate)

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        samples = mixture.shape[1]
        # The transform reflects half a frame at either end, and cannot where there is less than that.
        missing = max(0, self._model.stft.n_fft // 2 + 1 - samples)
        signal = torch.from_numpy(np.pad(mixture, ((0, 0), (0, missing))) if missing else mixture)
        # No torch.no_grad(): the frozen parameters need none, and with it PyTorch takes another LSTM kernel than
        # the library gets, whose rounding the Wiener filter magnifies.
        with self._one_at_a_time, model_errors("Open-Unmix", (torch.OutOfMemoryError,)), _releasing_memory():
            torch.set_num_threads(thread_count())  # OpenMP keeps this for each calling thread
            estimates = windows.separate(self._model, signal.to(self._device))
        return {
            stem: np.ascontiguousarray(estimate.numpy()[:, :samples]) for stem, estimate in estimates.items()
        }


@contextlib.contextmanager
def _releasing_memory() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()  # so that a shorter track has a chance after one that was too long
        raise


# --- loading ----------------------------------------------------------------------------------------------


def load_model(config: Config, folder: Path) -> tuple[Any, list[Path]]:
    """Load a model with the library's own code, and say which files it came from.

    Raises
    ------
    NotReady
        A file is missing or damaged; the message names it and what to do.
    """
    options: dict[str, Any] = {"niter": config.niter, "residual": False, "wiener_win_len": config.window}
    pins = load(WEIGHTS)
    if config.model in pins.models:
        require(WEIGHTS, folder.parent, config.model)
        files = [folder / weight.name for weight in pins.of(config.model)]
        with _torch_hub_finds(files):
            return getattr(openunmix, config.model)(**options), files
    files = _own_files(folder / config.model)
    with _damage_named(f"the model in {folder / config.model} is"):
        model = load_separator(str(folder / config.model), targets=list(STEMS), **options)
    for path, target in zip(files, model.target_models.values(), strict=True):
        # The library leaves at random what a checkpoint lacks.
        if absent := sorted(target.state_dict().keys() - _state(path).keys()):
            raise NotReady(f"{path} is damaged: it lacks {absent[0]}")
        if target.fc3.out_features != 2 * target.nb_output_bins:
            raise NotReady(f"{path} is not for two channels")
    return model, files


def _own_files(folder: Path) -> list[Path]:
    """Files of a model of one's own; the library takes ``<stem>.pth`` or ``<stem>-<checksum>.pth``."""
    if not folder.is_dir():
        raise NotReady(f"the folder {folder}, which should hold the model {folder.name!r}, does not exist")
    found = []
    for name in ("separator", *STEMS):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise NotReady(f"{path} is missing; the model {folder.name!r} needs it")
        with _damage_named(f"{path} is"):
            description = read_json(path)
            channels = (description if name == "separator" else description["args"])["nb_channels"]
        if channels != 2:
            raise NotReady(f"{path} is not for two channels")
    for stem in STEMS:
        weights = sorted(folder.glob(f"{stem}*.pth"))
        if len(weights) != 1:
            raise NotReady(f"{folder / stem}.pth is missing, or there are several; {folder.name!r} needs one")
        _state(weights[0])
        found += weights
    return found


def _state(path: Path) -> Mapping[str, Any]:
    with _damage_named(f"{path} is"):
        # This runs no code, for the library as for us: torch.load is left at its safe default.
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state)


@contextlib.contextmanager
def _damage_named(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # there are many ways not to be a file of the library, with an exception each
        reason = (str(error).strip().splitlines() or [""])[0]
        raise NotReady(f"{what} damaged: {type(error).__name__} {reason}") from error


@contextlib.contextmanager
def _torch_hub_finds(files: list[Path]) -> Iterator[None]:
    """Let torch.hub find these files, which have been verified, where it keeps its downloads.

    The weights folder may be read-only and has a layout of its own, so its place is taken by a temporary one.
    """
    before = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as hub:
        checkpoints = Path(hub) / "checkpoints"
        checkpoints.mkdir()
        for path in files:
            (checkpoints / path.name).symlink_to(path.resolve())
        torch.hub.set_dir(hub)
        try:
            yield
        finally:
            torch.hub.set_dir(before)
