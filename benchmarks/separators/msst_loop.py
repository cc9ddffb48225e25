"""Speed of the service msst as a ratio to MSST's own loop, on the same model and track. One line per architecture.

    services/run-tests --prepare msst
    services/msst/.venv/bin/python benchmarks/separators/msst_loop.py

The models have random weights. SCNet is as large as the released small one; the others are smaller than released
models, so that the loops take a larger share of the time. Both compute on one core, alternately; processor time, the
minimum of --repeats runs each. A ratio above 1 means that the service is faster.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["DEVICE"] = "cpu"

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "services/msst/tests"))

import reference  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from make_checkpoint import make_model  # noqa: E402
from mssbench_contract import music  # noqa: E402
from msst_service import SEPARATORS  # noqa: E402

LONG = {"audio": {"chunk_size": 176128}}
ROFORMER = LONG | {"model": {"dim": 64, "depth": 2, "dim_head": 32, "heads": 4}}
RELEASED = yaml.safe_load((ROOT / "docs/scnet_small_binaural.yaml").read_text(encoding="utf-8"))
MODELS: dict[str, dict[str, Any]] = {
    "scnet": LONG | {"model": RELEASED["model"]},
    "mdx23c": {
        "audio": {"chunk_size": 130560, "dim_f": 1024, "dim_t": 256, "hop_length": 512, "n_fft": 2048},
        "model": {"num_channels": 32, "growth": 32, "num_scales": 3},
    },
    "bs_roformer": ROFORMER,
    "mel_band_roformer": ROFORMER,
}


def seconds_of(function: Callable[..., object], *arguments: object) -> float:
    """Processor time of a call."""
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the track (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="architectures (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    track = music(options.seconds)
    for architecture in options.models:
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(Path(folder), architecture, **MODELS[architecture])
            os.environ["MSST_MODEL"] = str(model)
            separator = SEPARATORS["msst"]()
            separator.setup()
            other = reference.load(architecture, model)
            ours = theirs = float("inf")
            for _ in range(options.repeats):
                theirs = min(theirs, seconds_of(other, track))
                ours = min(ours, seconds_of(separator.separate, track, 44100))
            millions = (separator.card().parameters or 0) / 1e6
            print(
                f"{architecture:18} {millions:6.1f} M parameters: {theirs / ours:.2f} times as fast as MSST "
                f"({options.seconds / ours:.2f} and {options.seconds / theirs:.2f} s of audio per s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
