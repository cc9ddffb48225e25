"""Checkpoints of Music-Source-Separation-Training (MSST) as a separator.

==========================  ====================================================================================
``MSST_MODEL``              a preset (``scnet_small_musdb`` by default, and others in ``weights.toml`` and in your own
                            ``presets.toml`` in the weights folder), or your own model: the name of a folder in the
                            weights folder, or its whole path, with a YAML file and a checkpoint (``.ckpt``, ``.chpt``,
                            ``.pt``, ``.pth``, ``.th``)
``MSST_OVERLAP``            chunks that cover each sample (default: the YAML file's ``inference.num_overlap``)
``MSST_BATCH_SIZE``         chunks in one forward pass (default: 1 on the CPU, else the YAML file's). It changes speed
                            and memory only
``MSST_PRECISION``          ``fp32`` (default), ``bf16`` or ``fp16``
``MSST_ZERO_DC``            RoFormers: set the 0 Hz bin of the estimates to 0, ``yes`` or ``no`` (default: as the YAML
                            file says, else ``yes``, as MSST since 23 September 2025; ``no`` as before)
``MSST_EXTRACT_INSTRUMENTAL``  a model with one target: also give the mixture without the target, ``yes`` or ``no``
                            (default: as the YAML file says)
``DEVICE``, ``THREADS``     see :mod:`mssbench_service.devices`
``MSSBENCH_WEIGHTS_DIR``    weights folder, whose subfolder ``msst`` holds the files; see
                            :mod:`mssbench_service.weights`
==========================  ====================================================================================

References
----------
.. [1] R. Solovyev, A. Stempkovskiy and T. Habruseva, "Benchmarks and leaderboards for sound demixing tasks,"
   arXiv:2305.07489, 2023.
.. [2] W.-T. Lu, J.-C. Wang, Q. Kong and Y.-N. Hung, "Music Source Separation with Band-Split RoPE Transformer," IEEE
   International Conference on Acoustics, Speech and Signal Processing (ICASSP), 2024.
.. [3] W. Tong, J. Zhu, J. Chen, S. Kang, T. Jiang, Y. Li, Z. Wu and H. Meng, "SCNet: Sparse Compression Network for
   Music Source Separation," ICASSP, 2024.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from mssbench_service import weights
from mssbench_service.audio import FloatArray
from mssbench_service.cards import checked_card
from mssbench_service.environment import choice, whole_number
from mssbench_service.errors import BadInput, NotReady
from mssbench_service.model import LoadedModel, TorchSeparator, check_stems, requested_model
from mssbench_service.wire import ModelCard

from .checkpoint import load_model, read_config, run
from .chunks import separate, stems_of
from .stems import rest_of, stem_names

WEIGHTS = Path(__file__).with_name("weights.toml")

CHECKPOINTS = (".ckpt", ".chpt", ".pt", ".pth", ".th")
"""Extensions of checkpoints."""

CARD_FILE = "card.toml"

_CHOICE = {"": None, "yes": True, "no": False}
_PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class MsstSeparator(TorchSeparator):
    """A model in MSST's format, held in memory."""

    description = "A checkpoint of Music-Source-Separation-Training: BS-RoFormer, SCNet and others"
    sample_rate = 44100
    service = "msst"
    library = "MSST"
    distributions = ("pymss-core", "torch", "numpy")
    out_of_memory = (torch.OutOfMemoryError,)

    def load(self) -> LoadedModel:
        name = self.model or requested_model("MSST_MODEL", WEIGHTS)
        # 0 and None stand for what the YAML file says.
        overlap = whole_number("MSST_OVERLAP", 0, 0, 50)
        batch_size = whole_number("MSST_BATCH_SIZE", 0, 0, 1024)
        self._precision = choice("MSST_PRECISION", "fp32", tuple(_PRECISIONS))
        zero_dc = _CHOICE[choice("MSST_ZERO_DC", "", tuple(_CHOICE))]
        extract = _CHOICE[choice("MSST_EXTRACT_INSTRUMENTAL", "", tuple(_CHOICE))]
        on_cpu = self.choose_device() == "cpu"
        config_path, checkpoint = model_files(name, weights.weights_folder("msst"))
        found = read_config(config_path)
        if overlap > found.size:
            raise BadInput(f"MSST_OVERLAP={overlap}; the chunks of {name!r} have {found.size} samples")
        self._found = found
        self._model = load_model(found, config_path, checkpoint, zero_dc).to(self.device)
        self._chunks = found.chunks(overlap or found.overlap)
        self._batch_size = batch_size or (1 if on_cpu else found.batch_size)
        names = stem_names(found.instruments, other_fix=found.other_fix)
        stems = names if found.target is None else [names[found.instruments.index(found.target)]]
        extract = found.extract_instrumental if extract is None else extract
        self._rest = rest_of(stems[0]) if extract and len(stems) == 1 else ""
        self._estimated = stems
        offered = [*stems, self._rest] if self._rest else stems
        check_stems(name, offered, 2)
        return LoadedModel(
            name=name,
            stems=offered,
            sample_rate=found.sample_rate,
            weights=[checkpoint, config_path],
            settings={
                "model": name,
                "architecture": found.architecture,
                "instruments": found.instruments,
                "target_instrument": found.target,
                "other_fix": found.other_fix,
                "mixture_minus_target": self._rest,
                **asdict(self._chunks),
                "batch_size": self._batch_size,
                "precision": self._precision,
                "zero_dc": getattr(self._model, "zero_dc", None),
            },
        )

    def read_card(self, model: str) -> ModelCard:
        """The card of a preset, or ``card.toml`` in the folder of the user's own model."""
        path = weights.weights_folder("msst") / model / CARD_FILE
        card = super().read_card(model)
        if path.is_file():
            card = replace(card, **checked_card(weights.read_tables(path), str(path)))
        found = getattr(self, "_found", None)
        return replace(card, architecture=card.architecture or found.architecture) if found else card

    def estimate(self, mixture: FloatArray) -> Mapping[str, FloatArray]:
        dtype = _PRECISIONS[self._precision]
        device = torch.device(self.device)

        def forward(batch: torch.Tensor) -> torch.Tensor:
            with warnings.catch_warnings(), torch.autocast(device.type, dtype, enabled=dtype is not None):
                warnings.filterwarnings("ignore", "A window was not provided")  # SCNet's is a rectangle
                output = run(self._model, self._found.architecture, batch.to(device))
            return stems_of(output, self._found.instruments, self._found.target)

        with torch.inference_mode():
            result = separate(mixture, forward, len(self._estimated), self._chunks, self._batch_size)
        estimates = dict(zip(self._estimated, result, strict=True))
        if self._rest:
            estimates[self._rest] = mixture - result[0]
        return estimates


def model_files(name: str, folder: Path) -> tuple[Path, Path]:
    """The YAML file and the checkpoint of a model.

    Parameters
    ----------
    name : str
        A preset, a folder in `folder`, or the whole path of a folder.
    folder : Path
        Folder of the service in the weights folder.

    Raises
    ------
    NotReady
        A file is missing or damaged. The message names the file and the remedy.
    """
    pins = weights.load(WEIGHTS, folder.parent)
    if name in pins.models:
        weights.require(WEIGHTS, folder.parent, name)
        files = [folder / weight.local_name for weight in pins.of(name)]
    else:
        files = _own_files(folder / name, ", ".join(pins.models))
    found = []
    for kind, extensions in (("YAML file", (".yaml", ".yml")), ("checkpoint", CHECKPOINTS)):
        fitting = [path for path in files if path.suffix.lower() in extensions]
        if len(fitting) != 1:
            raise NotReady(
                f"the model {name!r} has {len(fitting)} {kind}s ({', '.join(extensions)}); expected one"
            )
        found += fitting
    return found[0], found[1]


def _own_files(folder: Path, presets: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError):
        raise NotReady(
            f"the model {folder.name!r} is no preset ({presets}), and the folder {folder} does not exist"
        ) from None
