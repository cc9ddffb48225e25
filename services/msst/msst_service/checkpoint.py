"""A YAML file and a checkpoint in MSST's format, as a model.

Neither can run code: the YAML file is read by a safe loader, to which tuples are added, and the checkpoint by
``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from mssbench_service.errors import NotReady
from mssbench_service.model import first_line, not_ready_on_error
from pymss_core import (
    ConfigLoader,
    ModelTypeDetectionError,
    detect_model_type,
    get_model_from_config,
    unwrap_state_dict,
)

from .chunks import Chunks

ARCHITECTURES = ("bs_roformer", "mel_band_roformer", "scnet", "mdx23c", "bandit", "htdemucs")
"""Architectures whose results agree with those of MSST."""

OVERLAP = 4
"""``inference.num_overlap`` of nearly all of MSST's YAML files, for those that have none."""

LONGEST_CHUNK = 120.0
"""Seconds. A longer chunk would need more memory than a machine has."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Also reads ``1e-3`` as a number, as the library does, and tuples."""


_Loader.yaml_implicit_resolvers = ConfigLoader.yaml_implicit_resolvers
_Loader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)


@dataclass(frozen=True)
class ModelConfig:
    """What the service needs of a YAML file.

    Attributes
    ----------
    values : mapping
        The whole file.
    architecture : str
        One of :data:`ARCHITECTURES`.
    instruments : list of str
        What the model was trained on.
    target : str or None
        The only one of `instruments` that it estimates.
    sample_rate : float
        Hz.
    size : int
        Samples of a chunk.
    overlap : int
        Chunks that cover a sample.
    batch_size : int
    normalize : bool
    other_fix : bool
        "other" is all but the vocals.
    extract_instrumental : bool
        The mixture without the target is an estimate, too.
    """

    values: Mapping[str, Any]
    architecture: str
    instruments: list[str]
    target: str | None
    sample_rate: float
    size: int
    overlap: int
    batch_size: int
    normalize: bool
    other_fix: bool
    extract_instrumental: bool

    def chunks(self, overlap: int) -> Chunks:
        """How a track is cut, if `overlap` chunks cover each sample."""
        return Chunks(
            self.size, self.size // overlap, self.architecture != "htdemucs", self.batch_size, self.normalize
        )


def read_config(path: Path) -> ModelConfig:
    """Read and check the YAML file of a model.

    Raises
    ------
    NotReady
        It cannot be read, lacks what is needed, or is of an unknown architecture. The message names the file.
    """
    try:
        values = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise NotReady(f"{path} cannot be read as YAML: {first_line(error)}") from None
    if not isinstance(values, dict):
        raise NotReady(f"{path} is no YAML file of MSST: it has no sections")
    audio, training, inference = (_section(path, values, name) for name in ("audio", "training", "inference"))
    architecture = _architecture(path, values)
    instruments = training.get("instruments")
    if not isinstance(instruments, (list, tuple)) or not instruments or not all(map(_is_name, instruments)):
        raise NotReady(f"{path}: training.instruments is {instruments!r:.80}; expected a list of names")
    target = training.get("target_instrument") or None
    if target is not None and target not in instruments:
        raise NotReady(
            f"{path}: training.target_instrument is {target!r:.80}, which is none of the instruments"
        )
    if architecture == "htdemucs":
        rate = _number(path, "training.samplerate", training.get("samplerate"), 1, 1e6)
        segment = _number(path, "training.segment", training.get("segment"), 0.01, LONGEST_CHUNK)
        size = round(rate * segment)
    else:
        rate = _number(path, "audio.sample_rate", audio.get("sample_rate", 44100), 1, 1e6)
        given = inference.get("chunk_size", audio.get("chunk_size"))
        size = _whole(path, "audio.chunk_size", given, 16, int(LONGEST_CHUNK * rate))
    sections = (inference, training, values)
    return ModelConfig(
        values,
        architecture,
        list(instruments),
        target,
        rate,
        size,
        overlap=_whole(
            path, "inference.num_overlap", inference.get("num_overlap", OVERLAP), 1, min(50, size)
        ),
        batch_size=_whole(path, "inference.batch_size", inference.get("batch_size", 1), 1, 1024),
        normalize=bool(inference.get("normalize", False)),
        other_fix=bool(training.get("other_fix", False)),
        extract_instrumental=any(section.get("extract_instrumental") for section in sections),
    )


def _architecture(path: Path, values: dict[str, Any]) -> str:
    try:
        found: str = detect_model_type(values)
    except ModelTypeDetectionError as error:
        reason = str(error).removesuffix(" Set model_type explicitly.")
        raise NotReady(f"{path}: {reason} Supported as model_type: {', '.join(ARCHITECTURES)}") from None
    if found not in ARCHITECTURES:
        raise NotReady(
            f"{path}: the architecture {found} is not supported; supported: {', '.join(ARCHITECTURES)}"
        )
    return found


def _section(path: Path, values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    if section is None and name != "training":
        return {}
    if not isinstance(section, dict):
        raise NotReady(f"{path} is no YAML file of MSST: it has no section {name!r}")
    return section


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(path: Path, name: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise NotReady(f"{path}: {name} is {value!r:.80}; expected a number from {low:g} to {high:g}")
    return float(value)


def _whole(path: Path, name: str, value: object, low: int, high: int) -> int:
    if _number(path, name, value, low, high) != value or not isinstance(value, int):
        raise NotReady(f"{path}: {name} is {value!r:.80}; expected a whole number")
    return value


# --- the model ------------------------------------------------------------------------------------------------


def load_model(config: ModelConfig, config_path: Path, checkpoint: Path, zero_dc: bool | None = None) -> Any:
    """Build the model of a YAML file and load a checkpoint into it.

    Parameters
    ----------
    config : ModelConfig
    config_path, checkpoint : Path
        The files, for messages and to be loaded.
    zero_dc : bool or None
        RoFormers: set the 0 Hz bin of the estimates to 0. None: as the YAML file says, else as MSST does today.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    NotReady
        The checkpoint is missing, holds more than tensors, or is of another model; or the YAML file does not describe
        a model that the library can build.
    """
    state = _read_checkpoint(checkpoint, config)
    values = dict(config.values)
    if config.architecture in ("bs_roformer", "mel_band_roformer"):
        values["model"] = {"zero_dc": True, **_section(config_path, values, "model")}
        if zero_dc is not None:
            values["model"]["zero_dc"] = zero_dc
    if config.architecture == "mel_band_roformer" and (layers := _hidden_layers(state)) is not None:
        values["model"] = {"mlp_hidden_layers": layers} | values["model"]
    with not_ready_on_error(f"{config_path} does not describe a model: "), _as_file(values) as path:
        model = get_model_from_config(config.architecture, path)[0]
    wanted = model.state_dict()
    for names, problem in (
        (wanted.keys() - state.keys(), "lacks"),
        (state.keys() - wanted.keys(), "has the unknown tensor"),
        (
            {name for name in wanted.keys() & state.keys() if wanted[name].shape != state[name].shape},
            "has another shape of",
        ),
    ):
        if names:
            raise NotReady(
                f"{checkpoint} is of another model than {config_path.name}: it {problem} {min(names)}"
                + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            )
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def run(model: Any, architecture: str, batch: torch.Tensor) -> torch.Tensor:
    """Run a model on a batch of chunks, shape (batch, 2, samples).

    The library's BandIt differs from MSST in two ways, for which this function compensates. It mixes up the channels of
    a stereo chunk, so each channel is passed as a chunk. It normalizes spectra by the length of the window, and MSST by
    its energy, so the level is changed before and after.
    """
    output: torch.Tensor
    if architecture != "bandit":
        output = model(batch)
        return output
    window = model.stft.window
    level = (
        (model.stft.n_fft / window.square().sum()).sqrt() if model.stft.normalized else window.new_ones(())
    )
    channels = model(batch.reshape(-1, 1, batch.shape[-1]) * level) / level
    output = channels.reshape(*batch.shape[:2], *channels.shape[1:2], -1).transpose(1, 2)
    return output


def _read_checkpoint(path: Path, config: ModelConfig) -> dict[str, torch.Tensor]:
    """The tensors in a checkpoint. The file may also be one of a training, with the optimizer's state."""
    with not_ready_on_error(
        f"{path} is damaged, or holds more than tensors, which could run code when loaded: "
    ):
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    meta = content.get("meta") if isinstance(content, dict) else None
    if isinstance(meta, dict):
        for name, own in (("model_type", config.architecture), ("target_instrument", config.target)):
            if meta.get(name) not in (None, own):
                raise NotReady(
                    f"{path} is of another model: its {name} is {meta[name]!r:.80}; expected {own!r}"
                )
    state = unwrap_state_dict(content)
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise NotReady(f"{path} holds no model: expected tensors by name")
    # Saved from a model on several devices.
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _hidden_layers(state: Mapping[str, torch.Tensor]) -> int | None:
    """Hidden layers of the mask estimators, which older code made one more of than the YAML file says."""
    prefix = "mask_estimators.0.to_freqs.0.0."
    linear = sum(name.startswith(prefix) and name.endswith(".weight") for name in state)
    return linear - 1 if linear else None


@contextlib.contextmanager
def _as_file(values: Mapping[str, Any]) -> Iterator[Path]:
    """A YAML file of plain values: the library reads it with a loader that is not safe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
        yield path
