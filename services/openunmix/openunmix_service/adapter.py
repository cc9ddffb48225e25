"""Open-Unmix as a separator.

==========================  ====================================================================================
``OPENUNMIX_MODEL``         ``umxhq`` (default), ``umxl``, ``umx``, or your own model: the name of a folder with
                            ``separator.json`` and ``<stem>.json`` and ``<stem>.pth`` in the weights folder
``OPENUNMIX_TARGETS``       targets that are estimated, separated by commas (default: ``vocals,drums,bass,other``); a
                            model of your own needs files for these only
``OPENUNMIX_RESIDUAL``      ``yes``: the Wiener filter has one more source for the rest of the mixture, which is no
                            stem; ``no``: the targets share the whole mixture (default: ``no`` with all four
                            targets of MUSDB18-HQ, else ``yes``)
``OPENUNMIX_NITER``         iterations of the multichannel Wiener filter (default 1, as in the library)
``OPENUNMIX_WINDOW``        frames that it filters together (default 300, as in the library)
``DEVICE``, ``THREADS``     see :mod:`mssbench_service.devices`
``MSSBENCH_WEIGHTS_DIR``    weights folder, whose subfolder ``openunmix`` holds the checkpoints; see
                            :mod:`mssbench_service.weights`
==========================  ====================================================================================

References
----------
.. [1] F.-R. Stöter, S. Uhlich, A. Liutkus and Y. Mitsufuji, "Open-Unmix - A Reference Implementation for Music Source
   Separation," Journal of Open Source Software 4(41), 2019.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openunmix
import torch
from mssbench_service import weights
from mssbench_service.audio import FloatArray
from mssbench_service.environment import choice, whole_number
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.files import read_json
from mssbench_service.model import LoadedModel, TorchSeparator, not_ready_on_error, requested_model
from mssbench_service.stems import STEMS, check_stem_names
from openunmix.utils import load_separator

from . import windows

WEIGHTS = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True)
class Config:
    """Settings from the environment; see the module's docstring."""

    model: str
    targets: Sequence[str]
    residual: bool
    niter: int
    window: int

    @classmethod
    def from_environment(cls) -> Config:
        named = os.environ.get("OPENUNMIX_TARGETS", "").split(",")
        targets = [target.strip() for target in named if target.strip()] or list(STEMS)
        check_stem_names(targets, "OPENUNMIX_TARGETS")
        rest = "no" if set(STEMS) <= set(targets) else "yes"
        config = cls(
            model=requested_model("OPENUNMIX_MODEL", WEIGHTS),
            targets=targets,
            residual=choice("OPENUNMIX_RESIDUAL", rest, ("yes", "no")) == "yes",
            niter=whole_number("OPENUNMIX_NITER", 1, 0, 100),
            window=whole_number("OPENUNMIX_WINDOW", 300, 1, 100_000),
        )
        if len(targets) == 1 and config.niter and not config.residual:
            raise BadInput(
                "OPENUNMIX_RESIDUAL=no with one target needs OPENUNMIX_NITER=0: there is nothing to filter"
            )
        return config


class OpenUnmixSeparator(TorchSeparator):
    """An Open-Unmix model, one network per stem, held in memory."""

    description = "Open-Unmix: one LSTM for each stem on the magnitudes, then a multichannel Wiener filter"
    sample_rate = 44100
    service = "openunmix"
    library = "Open-Unmix"
    distributions = ("openunmix", "torch", "torchaudio", "numpy")
    out_of_memory = (torch.OutOfMemoryError,)

    def load(self) -> LoadedModel:
        config = Config.from_environment()
        device = self.choose_device()
        model, files = load_model(config, weights.weights_folder("openunmix"))
        model.freeze()  # as in the library before it separates: evaluation mode, no gradients
        self._model = model.to(device)
        return LoadedModel(
            name=config.model,
            stems=list(model.target_models),
            sample_rate=float(model.sample_rate),
            weights=files,
            settings={name: getattr(config, name) for name in ("model", "niter", "window", "residual")},
            shortest=model.stft.n_fft // 2 + 1,  # the transform reflects half a frame at both ends
        )

    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        # Not in torch.no_grad(): the frozen parameters need none, and PyTorch would choose another LSTM kernel than it
        # does for the library. The Wiener filter amplifies the different rounding.
        estimates = windows.separate(self._model, torch.from_numpy(mixture).to(self.device))
        return {stem: estimate.numpy() for stem, estimate in estimates.items()}


# --- loading ----------------------------------------------------------------------------------------------


def load_model(config: Config, folder: Path) -> tuple[Any, list[Path]]:
    """Load a model with the library's own code.

    Parameters
    ----------
    config : Config
    folder : Path
        Folder of the service in the weights folder.

    Returns
    -------
    model : openunmix.model.Separator
    files : list of Path
        The checkpoints that it was loaded from, one per stem.

    Raises
    ------
    BadInput
        The released model has no such target.
    NotReady
        A file is missing or damaged. The message names the file and the remedy.
    """
    targets = list(config.targets)
    options: dict[str, Any] = {
        "targets": targets,
        "niter": config.niter,
        "residual": config.residual,
        "wiener_win_len": config.window,
    }
    pins = weights.load(WEIGHTS)
    if config.model in pins.models:
        if unknown := set(targets).difference(STEMS):
            raise BadInput(
                f"OPENUNMIX_TARGETS names {min(unknown)}; the model {config.model!r} has {', '.join(STEMS)}"
            )
        weights.require(WEIGHTS, folder.parent, config.model)
        released = {weight.name.partition("-")[0]: folder / weight.name for weight in pins.of(config.model)}
        files = [released[target] for target in targets]
        with _torch_hub_finds(files):
            return getattr(openunmix, config.model)(**options), files
    files = _own_files(folder / config.model, targets)
    with not_ready_on_error(f"the model in {folder / config.model} is damaged: "):
        model = load_separator(str(folder / config.model), **options)
    for path, target in zip(files, model.target_models.values(), strict=True):
        # The library leaves parameters that a checkpoint lacks at their random initial values.
        if absent := sorted(target.state_dict().keys() - _state(path).keys()):
            raise NotReady(f"{path} is damaged: it lacks {absent[0]}")
        if target.fc3.out_features != 2 * target.nb_output_bins:
            raise NotReady(f"{path} is not for two channels")
    return model, files


def _own_files(folder: Path, targets: Sequence[str]) -> list[Path]:
    """Checkpoints of a user's model; the library takes ``<stem>.pth`` or ``<stem>-<checksum>.pth``."""
    if not folder.is_dir():
        raise NotReady(f"the folder {folder}, which should hold the model {folder.name!r}, does not exist")
    found = []
    for name in ("separator", *targets):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise NotReady(f"{path} is missing; the model {folder.name!r} needs it")
        with not_ready_on_error(f"{path} is damaged: "):
            description = read_json(path)
            channels = (description if name == "separator" else description["args"])["nb_channels"]
        if channels != 2:
            raise NotReady(f"{path} is not for two channels")
    for stem in targets:
        checkpoints = sorted(folder.glob(f"{stem}*.pth"))
        if len(checkpoints) != 1:
            raise NotReady(f"{folder / stem}.pth is missing, or there are several; {folder.name!r} needs one")
        _state(checkpoints[0])
        found += checkpoints
    return found


def _state(path: Path) -> Mapping[str, Any]:
    with not_ready_on_error(f"{path} is damaged: "):
        # Runs no code from the file, here as in the library, which keeps the safe default of torch.load.
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state)


@contextlib.contextmanager
def _torch_hub_finds(files: list[Path]) -> Iterator[None]:
    """Make torch.hub load these verified files instead of downloading them.

    A temporary folder takes the place of its download folder, because the weights folder has another layout and may
    be read-only.
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
