"""Write a small Demucs repository with random weights: ``python make_checkpoint.py WEIGHTS_DIR``.

In the released format: a bag ``<name>.yaml`` and checkpoints ``<signature>-<checksum>.th``, in the folder ``demucs``
of WEIGHTS_DIR.

``tiny_ft`` is a bag like ``htdemucs_ft``, one HT Demucs for each stem; ``tiny_hybrid`` is one Hybrid Demucs,
like ``hdemucs_mmi``; ``tiny_six`` estimates six stems, like ``htdemucs_6s``.

``--full`` writes models for benchmarks: ``full``, as large as ``htdemucs``, and ``full_ft``, as large as
``htdemucs_ft``.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from demucs.pretrained import SOURCES
from demucs.states import get_state, save_with_checksum

TRANSFORMER = {
    "channels": 4,
    "depth": 4,
    "dconv_comp": 2,
    "nfft": 2048,
    "bottom_channels": 16,
    "t_layers": 1,
    "t_heads": 2,
    "t_hidden_scale": 1.0,
    "segment": 2,
}
FULL = {"bottom_channels": 512, "dconv_mode": 3, "segment": Fraction(39, 5)}
"""Options of the released HT Demucs models: 42 million parameters, segments of 7.8 s."""

HYBRID = {"channels": 4, "nfft": 4096, "depth": 6, "segment": 4}


ONE_STEM_EACH = """weights: [
  [1., 0., 0., 0.],
  [0., 1., 0., 0.],
  [0., 0., 1., 0.],
  [0., 0., 0., 1.],
]
"""


def make_checkpoint(weights: Path) -> Path:
    """Write the repository below `weights` and return its folder."""
    folder = weights / "demucs"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        save(folder, f"tinyft{number}", HTDemucs, {"sources": list(SOURCES), **TRANSFORMER}, seed=number)
    signatures = "['tinyft0', 'tinyft1', 'tinyft2', 'tinyft3']"
    (folder / "tiny_ft.yaml").write_text(f"models: {signatures}\n{ONE_STEM_EACH}")
    save(folder, "tinyhybrid", HDemucs, {"sources": list(SOURCES), **HYBRID}, seed=7)
    (folder / "tiny_hybrid.yaml").write_text("models: ['tinyhybrid']\nsegment: 3\n")
    save(folder, "tinysix", HTDemucs, {"sources": [*SOURCES, "guitar", "piano"], **TRANSFORMER}, seed=8)
    (folder / "tiny_six.yaml").write_text("models: ['tinysix']\n")
    return folder


def make_full(weights: Path) -> Path:
    """Write the full-sized models below `weights` and return their folder."""
    folder = weights / "demucs"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        save(folder, f"full{number}", HTDemucs, {"sources": list(SOURCES), **FULL}, seed=number)
    (folder / "full.yaml").write_text("models: ['full0']\n")
    (folder / "full_ft.yaml").write_text(f"models: ['full0', 'full1', 'full2', 'full3']\n{ONE_STEM_EACH}")
    return folder


def save(folder: Path, signature: str, kind: Any, options: dict[str, Any], *, seed: int) -> None:
    torch.manual_seed(seed)
    model = kind(**options)
    package = {"klass": kind, "args": (), "kwargs": options, "state": get_state(model, None)}
    for old in folder.glob(f"{signature}-*.th"):
        old.unlink()  # the library refuses two files with one signature
    save_with_checksum(package, folder / f"{signature}.th")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--full", action="store_true", help="write the full-sized model instead")
    options = parser.parse_args()
    print((make_full if options.full else make_checkpoint)(options.weights))
