"""Write a small Open-Unmix model with random weights: ``python make_checkpoint.py WEIGHTS_DIR``.

In the library's format: a folder with ``separator.json`` and, for each stem, ``<stem>.json`` and ``<stem>.pth``. The
model ``tiny`` is written to the folder ``openunmix`` of WEIGHTS_DIR. ``--full`` writes ``full`` for benchmarks, which
is as large as ``umxhq``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from openunmix.model import OpenUnmix
from openunmix.utils import bandwidth_to_max_bin

STEMS = ("vocals", "drums", "bass", "other")
NFFT, HOP, RATE = 4096, 1024, 44100


def make_checkpoint(weights: Path) -> Path:
    """Write the small model below `weights` and return its folder."""
    return _make(weights / "openunmix" / "tiny", hidden_size=16)


def make_full(weights: Path) -> Path:
    """Write the full-sized model below `weights` and return its folder."""
    return _make(weights / "openunmix" / "full", hidden_size=512)


def _make(folder: Path, hidden_size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shape = {"nfft": NFFT, "nhop": HOP, "nb_channels": 2, "sample_rate": RATE}
    (folder / "separator.json").write_text(json.dumps(shape, indent=1))
    max_bin = int(bandwidth_to_max_bin(RATE, NFFT, 16000))
    for number, stem in enumerate(STEMS):
        torch.manual_seed(number)
        model = OpenUnmix(NFFT // 2 + 1, nb_channels=2, hidden_size=hidden_size, max_bin=max_bin)
        with torch.no_grad():
            # Masks that follow the music and differ between the stems; the initial values would give masks of 1.
            model.output_mean.uniform_(-0.2, 0.6)
            model.output_scale.uniform_(0.2, 1.0)
        torch.save(model.state_dict(), folder / f"{stem}.pth")
        arguments = {**shape, "hidden_size": hidden_size, "bandwidth": 16000}
        (folder / f"{stem}.json").write_text(json.dumps({"args": arguments}, indent=1))
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--full", action="store_true", help="write the full-sized model instead")
    options = parser.parse_args()
    print((make_full if options.full else make_checkpoint)(options.weights))
