"""Spleeter as a separator.

==========================  ====================================================================================
``SPLEETER_MODEL``          model of the separator ``spleeter``: ``spleeter:4stems`` (default: masks up to 11 kHz),
                            another released model (``2stems``, ``5stems``, each also with ``-16kHz``: masks up to
                            16 kHz), or your own configuration: the name of a ``.json`` file in the weights folder
``MSSBENCH_LOADED_MODELS``  number of models that are kept in memory (default 3)
``SPLEETER_BATCH_SIZE``     groups of T frames (11.9 s) at a time (default 4); memory grows with it
``DEVICE``, ``THREADS``     see :mod:`mssbench_service.devices`
``MSSBENCH_WEIGHTS_DIR``    weights folder, whose subfolder ``spleeter`` holds the checkpoints; see
                            :mod:`mssbench_service.weights`
==========================  ====================================================================================

The released models are separators of their own, too (``spleeter:2stems``), which are loaded on first use.

The multichannel Wiener filter, an option of the library, is off, as it is by default in the library.

References
----------
.. [1] R. Hennequin, A. Khlif, F. Voituret and M. Moussallam, "Spleeter: a fast and efficient music source separation
   tool with pre-trained models," Journal of Open Source Software 5(50), 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from mssbench_service import weights
from mssbench_service.audio import FloatArray
from mssbench_service.devices import thread_count
from mssbench_service.environment import whole_number
from mssbench_service.errors import NotReady
from mssbench_service.model import (
    LoadedModel,
    ModelSeparator,
    check_stems,
    not_ready_on_error,
    requested_model,
)
from spleeter.utils.configuration import load_configuration

from .network import Network

WEIGHTS = Path(__file__).with_name("weights.toml")


class SpleeterSeparator(ModelSeparator):
    """A Spleeter model held in one TensorFlow session."""

    description = "Spleeter: one U-Net for each stem makes a mask for the magnitude spectrogram"
    sample_rate = 44100
    service = "spleeter"
    library = "Spleeter"
    distributions = ("spleeter", "tensorflow", "numpy")
    out_of_memory = (tf.errors.ResourceExhaustedError,)

    def load(self) -> LoadedModel:
        model = self.model or requested_model("SPLEETER_MODEL", WEIGHTS)
        batch_size = whole_number("SPLEETER_BATCH_SIZE", 4, 1, 1024)
        session_config = session_config_for(self.choose_device())
        folder = weights.weights_folder("spleeter")
        params = load_params(model, folder)
        checkpoint = _checkpoint(model, folder / params["model_dir"])
        tf.get_logger().handlers.clear()  # the application logs TensorFlow's messages once, as JSON
        with not_ready_on_error(f"the checkpoint {checkpoint} is damaged or not of this model: "):
            self._network = Network(params, str(checkpoint), batch_size, session_config)
        return LoadedModel(
            name=model,
            stems=params["instrument_list"],
            sample_rate=params["sample_rate"],
            weights=sorted(checkpoint.parent.glob(f"{checkpoint.name}.*")),
            settings={"model": model, "batch_size": batch_size, "highest_bin": params["F"], "mwf": False},
        )

    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        return {stem: estimate.T for stem, estimate in self._network.separate(mixture.T).items()}

    def unload(self) -> None:
        self._network.close()

    def framework(self) -> str:
        return f"TensorFlow {tf.__version__}"

    def cuda_devices(self) -> int:
        return len(tf.config.list_physical_devices("GPU"))


def load_params(model: str, folder: Path) -> dict[str, Any]:
    """Read the library's configuration named `model`, after verifying its released weights in `folder`.

    Raises
    ------
    NotReady
        There is no such configuration, its weights are missing or damaged, or it is not for stereo.
    """
    if model in weights.load(WEIGHTS).models:
        weights.require(WEIGHTS, folder.parent, model)
    with not_ready_on_error(f"the Spleeter configuration {model!r} cannot be read: "):
        params: dict[str, Any] = load_configuration(model if ":" in model else str(folder / model))
        params["model_dir"] = str(params["model_dir"])
        params["sample_rate"] = float(params["sample_rate"])
        check_stems(model, params["instrument_list"], params["n_channels"])
    return params


def _checkpoint(model: str, folder: Path) -> Path:
    """Prefix of the files of the latest checkpoint in `folder`."""
    prefix = tf.train.latest_checkpoint(str(folder)) if folder.is_dir() else None
    # The file "checkpoint" may name a checkpoint in another folder.
    if prefix is None or Path(prefix).parent != folder:
        raise NotReady(
            f"{folder / 'checkpoint'} is missing, or names no checkpoint in the same folder; "
            f"the model {model!r} needs it"
        )
    return Path(prefix)


def session_config_for(device: str) -> Any:
    """Session settings (``tf.compat.v1.ConfigProto``) for `device`: ``cpu``, ``cuda`` or ``cuda:<n>``."""
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=thread_count(),
        # One U-Net after the other: four in parallel need four times the memory and are not faster.
        inter_op_parallelism_threads=1,
    )
    if device == "cpu":
        config.device_count["GPU"] = 0
    else:
        config.gpu_options.visible_device_list = device.partition(":")[2] or "0"
        config.gpu_options.allow_growth = True
    return config
