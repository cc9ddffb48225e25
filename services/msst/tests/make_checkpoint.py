"""Write a small model with random weights in MSST's format: ``python make_checkpoint.py WEIGHTS_DIR``.

It is the folder ``msst/tiny`` in WEIGHTS_DIR with ``config.yaml`` and ``model.ckpt``.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from pymss_core import get_model_from_config

MUSDB = ["drums", "bass", "other", "vocals"]

_ROFORMER = {
    "dim": 16,
    "depth": 1,
    "stereo": True,
    "num_stems": 4,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "dim_head": 8,
    "heads": 2,
    "attn_dropout": 0.1,
    "ff_dropout": 0.1,
    "flash_attn": True,
    "stft_normalized": False,
    "mask_estimator_depth": 2,
}

CONFIGS: dict[str, dict[str, Any]] = {
    "bs_roformer": {
        "model": _ROFORMER
        | {
            "freqs_per_bands": (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129),
            "stft_n_fft": 2048,
            "stft_hop_length": 512,
            "stft_win_length": 2048,
            "multi_stft_resolutions_window_sizes": (4096, 2048),
        }
    },
    "mel_band_roformer": {
        "model": _ROFORMER
        | {
            "num_bands": 20,
            "sample_rate": 44100,
            "dim_freqs_in": 1025,
            "stft_n_fft": 2048,
            "stft_hop_length": 512,
            "stft_win_length": 2048,
        }
    },
    "scnet": {
        "model": {
            "sources": MUSDB,
            "audio_channels": 2,
            "dims": [4, 8, 8],
            "nfft": 2048,
            "hop_size": 512,
            "win_size": 2048,
            "normalized": True,
            "band_SR": [0.175, 0.392, 0.433],
            "band_stride": [1, 4, 16],
            "band_kernel": [3, 4, 16],
            "conv_depths": [2, 1, 1],
            "compress": 4,
            "conv_kernel": 3,
            "num_dplayer": 2,
            "expand": 1,
        },
        "inference": {"batch_size": 3, "normalize": True},
    },
    "mdx23c": {
        "audio": {"dim_f": 512, "dim_t": 44, "hop_length": 512, "n_fft": 2048},
        "model": {
            "act": "gelu",
            "bottleneck_factor": 4,
            "growth": 4,
            "norm": "InstanceNorm",
            "num_blocks_per_scale": 1,
            "num_channels": 8,
            "num_scales": 2,
            "num_subbands": 4,
            "scale": [2, 2],
        },
    },
    "bandit": {
        "model": {
            "in_channel": 1,
            "stems": ["speech", "music", "effects"],
            "band_specs": "musical",
            "n_bands": 16,
            "fs": 44100,
            "n_sqm_modules": 1,
            "emb_dim": 8,
            "rnn_dim": 8,
            "rnn_type": "GRU",
            "mlp_dim": 16,
            "n_fft": 2048,
            "win_length": 2048,
            "hop_length": 512,
            "normalized": True,
        },
        "training": {"instruments": ["speech", "music", "effects"], "other_fix": True},
        "inference": {"batch_size": 2},
    },
    "htdemucs": {
        "model": "htdemucs",
        "training": {"samplerate": 44100, "segment": 0.5, "channels": 2},
        "htdemucs": {
            "channels": 8,
            "depth": 4,
            "nfft": 4096,
            "bottom_channels": 16,
            "t_layers": 1,
            "t_heads": 2,
            "dconv_init": "1e-3",
        },
        "inference": {"num_overlap": 3},
    },
}


def configuration(architecture: str, **sections: dict[str, Any]) -> dict[str, Any]:
    """The content of a YAML file, with changes in its sections."""
    values: dict[str, Any] = {
        "audio": {"chunk_size": 22016, "num_channels": 2, "sample_rate": 44100, "min_mean_abs": 0.0},
        "training": {"instruments": MUSDB, "target_instrument": None, "use_amp": True, "other_fix": False},
        "inference": {"batch_size": 1, "dim_t": 256, "num_overlap": 4},
    }
    for changes in (copy.deepcopy(CONFIGS[architecture]), sections):
        for name, section in changes.items():
            both = isinstance(section, dict) and isinstance(values.get(name), dict)
            values[name] = values[name] | section if both else section
    return values


def make_model(folder: Path, architecture: str, **sections: dict[str, Any]) -> Path:
    """Write a model with random weights into `folder`, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    values = configuration(architecture, **sections)
    text = yaml.dump(values).replace("'1e-3'", "1e-3")  # as it stands in MSST's files
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary) / "config.yaml"
        plain.write_text(yaml.safe_dump(yaml.load(text, yaml.FullLoader)), encoding="utf-8")
        built = values
        if architecture == "mel_band_roformer":
            # As MSST builds it, with one hidden layer more than the library from the same file.
            built = values | {
                "model": values["model"] | {"mlp_hidden_layers": values["model"]["mask_estimator_depth"]}
            }
            plain.write_text(yaml.safe_dump(built), encoding="utf-8")
        model = get_model_from_config(architecture, plain)[0]
    with torch.no_grad():
        for parameter in model.parameters():
            if (
                parameter.ndim == 1
            ):  # biases and gains, so that stems differ and no mask is the same everywhere
                parameter.add_(0.1 * torch.randn_like(parameter))
    torch.save(model.state_dict(), folder / "model.ckpt")
    return folder


def make_checkpoint(weights: Path) -> Path:
    """Write the small model of the tests of the service below `weights`."""
    return make_model(weights / "msst" / "tiny", "scnet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    options = parser.parse_args()
    print(make_checkpoint(options.weights))
