"""The reference implementation: ``msst`` itself, on the same YAML file and checkpoint.

``msst`` imports large libraries for its training and for a few functions. This module replaces them: most by nothing,
and the functions that its models call by their definitions.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from unittest.mock import MagicMock

import numpy as np
import torch
from mssbench_service.audio import FloatArray
from torch import nn

REPLACED = (
    "asteroid",
    "auraloss",
    "librosa",
    "matplotlib",
    "openunmix",
    "pedalboard",
    "pyloudnorm",
    "pytorch_lightning",
    "spafe",
    "torch_audiomentations",
    "torch_log_wmse",
    "torchaudio",
    "torchmetrics",
    "wandb",
)


class _Replaced(types.ModuleType):
    __path__ = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in REPLACED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = _Replaced(spec.name)
        vars(module).update(FUNCTIONS.get(spec.name, {}))
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _mel(*, sr: float, n_fft: int, n_mels: int) -> FloatArray:
    """``librosa.filters.mel``: triangles of unit area on Slaney's scale, linear to 1 kHz and logarithmic above."""

    def to_mel(hz: Any) -> Any:
        return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))

    def to_hz(mel: Any) -> Any:
        return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))

    edges = to_hz(np.linspace(0, float(to_mel(sr / 2)), n_mels + 2))
    bins = np.linspace(0, sr / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    found: FloatArray = filters.astype(np.float32)
    return found


class _Spectrogram(nn.Module):
    """``torchaudio.transforms.Spectrogram``, normalized by the window."""

    def __init__(
        self, *, n_fft: int, win_length: int, hop_length: int, normalized: bool, **options: Any
    ) -> None:
        super().__init__()
        assert normalized
        assert options["pad_mode"] == "constant"
        self.sizes: dict[str, Any] = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length}
        self.register_buffer("window", options["window_fn"](win_length))
        self.window: torch.Tensor

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        flat = signal.reshape(-1, signal.shape[-1])
        spectrum = torch.stft(
            flat, **self.sizes, window=self.window, pad_mode="constant", return_complex=True
        )
        return spectrum.reshape(*signal.shape[:-1], *spectrum.shape[1:]) / self.window.square().sum().sqrt()


class _InverseSpectrogram(_Spectrogram):
    def forward(self, spectrum: torch.Tensor, length: int) -> torch.Tensor:  # type: ignore[override]
        flat = spectrum.reshape(-1, *spectrum.shape[-2:]) * self.window.square().sum().sqrt()
        signal = torch.istft(flat, **self.sizes, window=self.window, length=length)
        return signal.reshape(*spectrum.shape[:-2], length)


FUNCTIONS: dict[str, dict[str, Any]] = {
    "librosa": {
        "hz_to_midi": lambda hz: 12 * np.log2(np.asarray(hz) / 440) + 69,
        "filters": SimpleNamespace(mel=_mel),
        "midi_to_hz": lambda midi: 440 * 2 ** ((np.asarray(midi) - 69) / 12),
    },
    "torchaudio": {
        "transforms": SimpleNamespace(Spectrogram=_Spectrogram, InverseSpectrogram=_InverseSpectrogram)
    },
    "torchaudio.transforms": {"Spectrogram": _Spectrogram, "InverseSpectrogram": _InverseSpectrogram},
    "librosa.filters": {"mel": _mel},
    "pytorch_lightning": {"LightningModule": nn.Module},
}


@contextlib.contextmanager
def _replaced() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


Separate = Callable[[FloatArray], dict[str, FloatArray]]


def load(architecture: str, folder: Path, **model: Any) -> Separate:
    """A model of ``msst`` as a function of a track, shape (2, samples): estimates by the names in the YAML file.

    Parameters
    ----------
    architecture : str
        ``msst``'s name of it.
    folder : Path
        Holds ``config.yaml`` and ``model.ckpt``.
    **model : object
        Changes to the section ``model`` of the YAML file.
    """
    with _replaced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BandIt uses torch.jit
        from msst.utils.audio_utils import denormalize_audio, normalize_audio
        from msst.utils.model_utils import demix
        from msst.utils.settings import build_model_from_config, load_config

        config: Any = load_config(architecture, str(folder / "config.yaml"))
        for name, value in model.items():
            config.model[name] = value
        built = build_model_from_config(architecture, config)
    built.load_state_dict(torch.load(folder / "model.ckpt", weights_only=True))
    built.eval()
    normalize = bool(config.inference.get("normalize", False))

    def separate(mixture: FloatArray) -> dict[str, FloatArray]:
        level: dict[str, float] = {}
        signal: Any = mixture
        if normalize:
            signal, level = normalize_audio(mixture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SCNet's window is a rectangle
            found: Any = demix(config, built, signal, torch.device("cpu"), architecture)
        if not isinstance(found, dict):
            found = dict(zip(config.training.instruments, found, strict=True))
        return {name: denormalize_audio(one, level) if normalize else one for name, one in found.items()}

    return separate


def separate(architecture: str, folder: Path, mixture: FloatArray, **model: Any) -> dict[str, FloatArray]:
    """What ``msst`` makes of a track; see :func:`load`."""
    return load(architecture, folder, **model)(mixture)


def train(folder: Path, songs: Path, results: Path) -> Path:
    """Train a model with ``msst.train``, from its checkpoint, on the CPU.

    Parameters
    ----------
    folder : Path
        Holds ``config.yaml`` and ``model.ckpt``.
    songs : Path
        A folder for each song, with the stems and the mixture: MSST's dataset type 1.
    results : Path
        Folder for what MSST writes.

    Returns
    -------
    Path
        The checkpoint of the best epoch.
    """
    with warnings.catch_warnings(), _replaced():
        warnings.simplefilter("ignore")
        import msst
        import msst._training as training

        # The function returns the name of the CPU, which the caller takes for a device.
        original = training.initialize_model_and_device
        on_cpu = mock.patch.object(
            training,
            "initialize_model_and_device",
            lambda model, ids: (torch.device("cpu"), original(model, ids)[1]),
        )
        with on_cpu:
            msst.train(
                config_path=folder / "config.yaml",
                results_path=results,
                data_path=songs,
                valid_path=songs,
                model_type="scnet",
                checkpoint_path=folder / "model.ckpt",
                dataset_type=1,
            )
    return max(results.glob("model_scnet_ep_*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
