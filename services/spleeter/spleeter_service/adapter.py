"""Spleeter behind the separator contract.

Hennequin, Khlif, Voituret & Moussallam, "Spleeter: a fast and efficient music source separation tool with
pre-trained models", Journal of Open Source Software 5(50), 2020.

========================  ===================================================================================
``SPLEETER_MODEL``        ``spleeter:4stems`` (default: masks up to 11 kHz), ``spleeter:4stems-16kHz``, or a
                          configuration of one's own: the name of a ``.json`` file in the weights folder
``SPLEETER_BATCH_SIZE``   groups of T frames (11.9 s) at a time (default 4); memory grows with it
``DEVICE, THREADS``       see :mod:`mssbench_service.model_runtime`
``MSSBENCH_WEIGHTS_DIR``  checkpoints lie in its folder ``spleeter``, see :mod:`mssbench_service.weights`
========================  ===================================================================================

The multichannel Wiener filter, an option of the library, is off, as it is there by default.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from mssbench_service.audio import FloatArray
from mssbench_service.devices import chosen_device
from mssbench_service.environment import whole_number
from mssbench_service.errors import NotReady
from mssbench_service.model_runtime import model_errors, thread_count
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator, checked_sample_rate
from mssbench_service.weights import load, require, sha256_of, weights_folder
from spleeter import SpleeterError
from spleeter.utils.configuration import load_configuration

from .network import Network

WEIGHTS = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True)
class Config:
    """What the environment sets; see the module's docstring."""

    model: str
    batch_size: int

    @classmethod
    def from_environment(cls) -> Config:
        return cls(
            model=os.environ.get("SPLEETER_MODEL", "").strip() or load(WEIGHTS).default,
            batch_size=whole_number("SPLEETER_BATCH_SIZE", 4, 1, 1024),
        )


class SpleeterSeparator(Separator):
    """A Spleeter model held in one TensorFlow session."""

    description = "Spleeter: one U-Net for each stem makes a mask for the magnitude spectrogram"
    sample_rate = 44100

    def __init__(self) -> None:
        self._network: Network | None = None
        self._device = "not loaded"
        self._details: dict[str, object] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def device(self) -> str:
        return self._device

    def details(self) -> Mapping[str, object]:
        return self._details

    def setup(self) -> None:
        """Build the graph and restore the checkpoint.

        Raises
        ------
        BadInput
            A setting is wrong.
        NotReady
            A file is missing or damaged, the model is not one for four stereo stems, or the device that was
            asked for is not there.
        """
        config = Config.from_environment()
        self._device, session_config = tensorflow_device()
        folder = weights_folder("spleeter")
        params = load_params(config.model, folder)
        model_folder = folder / params["model_dir"]
        checkpoint = tf.train.latest_checkpoint(str(model_folder)) if model_folder.is_dir() else None
        # The file "checkpoint" names it, and may name one that is somewhere else.
        if checkpoint is None or Path(checkpoint).parent != model_folder:
            raise NotReady(
                f"{model_folder / 'checkpoint'} is missing, or names no checkpoint that is beside it; "
                f"the model {config.model!r} needs it"
            )
        tf.get_logger().handlers.clear()  # the application logs what TensorFlow says, once and as JSON
        try:
            self._network = Network(params, checkpoint, config.batch_size, session_config)
        except (tf.errors.OpError, KeyError, TypeError, ValueError, ArithmeticError, OSError) as error:
            detail = f"the checkpoint {checkpoint} is damaged or not of this model: {_reason(error)}"
            raise NotReady(detail) from error
        self.sample_rate = params["sample_rate"]
        self._details = {
            "model": config.model,
            "model_stems": list(params["instrument_list"]),
            "weights": [
                {"file": path.name, "sha256": sha256_of(path)}
                for path in sorted(model_folder.glob(f"{Path(checkpoint).name}.*"))
            ],
            "settings": asdict(config) | {"highest_bin": params["F"], "mwf": False},
            "threads": thread_count(),
            "libraries": {name: version(name) for name in ("spleeter", "tensorflow", "numpy")},
        }
        self.separate(np.zeros((2, 1), np.float32), self.sample_rate)  # the first run takes longer

    def separate(self, mixture: FloatArray, sample_rate: int) -> Mapping[str, FloatArray]:
        assert self._network is not None, "setup() comes first"
        with self._one_at_a_time, model_errors("Spleeter", (tf.errors.ResourceExhaustedError,)):
            stems = self._network.separate(mixture.T)
        return {stem: np.ascontiguousarray(estimate.T) for stem, estimate in stems.items()}


def load_params(model: str, folder: Path) -> dict[str, Any]:
    """The library's configuration called `model`, after checking that its released weights are in `folder`.

    Raises
    ------
    NotReady
        There is none of that name, its weights are missing or damaged, or it is not for four stereo stems.
    """
    if model in load(WEIGHTS).models:
        require(WEIGHTS, folder.parent, model)
    try:
        params: dict[str, Any] = load_configuration(model if ":" in model else str(folder / model))
        stems, channels = params["instrument_list"], params["n_channels"]
        params["model_dir"] = str(params["model_dir"])
        params["sample_rate"] = checked_sample_rate(model, float(params["sample_rate"]))
        wrong = sorted(stems) != sorted(STEMS) or channels != 2
    except (SpleeterError, ValueError, KeyError, TypeError, OSError) as error:
        raise NotReady(f"the Spleeter configuration {model!r} cannot be read: {_reason(error)}") from error
    if wrong:
        raise NotReady(
            f"the model {model!r} estimates {', '.join(stems)} in {channels} channel(s); "
            f"the benchmark needs {', '.join(STEMS)} in 2"
        )
    return params


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "message", "") or error).strip().splitlines()
    return f"{type(error).__name__} {lines[0] if lines else ''}"


def tensorflow_device() -> tuple[str, Any]:
    """The device that ``DEVICE`` asks for, and the session settings for it.

    Raises
    ------
    BadInput, NotReady
        See :func:`chosen_device`.
    """
    device = chosen_device(
        "spleeter", f"TensorFlow {tf.__version__}", lambda: len(tf.config.list_physical_devices("GPU"))
    )
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=thread_count(),
        # One U-Net after the other: four side by side need four times the memory, for no more speed.
        inter_op_parallelism_threads=1,
    )
    if device == "cpu":
        config.device_count["GPU"] = 0
        return device, config
    config.gpu_options.visible_device_list = device.partition(":")[2] or "0"
    config.gpu_options.allow_growth = True
    return device, config
