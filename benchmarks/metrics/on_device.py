"""Time and values of the metrics on a device of PyTorch, compared with NumPy.

    pip install 'binaural-metrics[gpu]'
    python benchmarks/metrics/on_device.py                # needs a CUDA device
    python benchmarks/metrics/on_device.py --device cpu   # the values without one

Elapsed time, the minimum of --repeats runs after one that is not counted; NumPy uses all cores. The time differences of
the paper are computed with NumPy in either case, and left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from binaural_metrics import arrays
from binaural_metrics.bsseval import BssEval, bss_eval
from binaural_metrics.cues import interaural_cues
from binaural_metrics.place import place
from binaural_metrics.spauq import spauq_both
from speed import FS, stem


def values(found: object) -> list[float]:
    """Values of a result."""
    if isinstance(found, BssEval):
        return found.values.ravel().tolist()
    if isinstance(found, tuple):  # of SPAUQ
        return [value for part in found for value in (part.median_ssr, part.median_srr)]
    cues = [x for part in vars(found).values() for x in (part.values() if isinstance(part, dict) else [part])]
    return [cue.value for cue in cues if getattr(cue, "value", None) is not None]


def timed(compute: Callable[[], object], repeats: int) -> tuple[float, list[float]]:
    """Shortest elapsed time and the values. These are on the processor, so that no work on the device is pending."""
    found, least = values(compute()), np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        compute()
        least = min(least, time.perf_counter() - started)
    return least, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return
    pair = stem(options.seconds, 0)
    stems = {str(seed): stem(options.seconds, seed) for seed in range(4)}
    references, estimates = ({name: pair[which] for name, pair in stems.items()} for which in (0, 1))
    print(f"{options.device}, PyTorch {torch.__version__}, a stem of {options.seconds:g} s; BSS Eval: four")
    print(f"{'':<10}{'NumPy':>10}{'device':>10}{'difference':>12}")
    metrics: dict[str, Callable[[], object]] = {
        "place": partial(place, *pair, FS),
        "cues": partial(interaural_cues, *pair, FS),
        "SPAUQ": partial(spauq_both, *pair, FS),
        "BSS Eval": partial(bss_eval, references, estimates, FS),
    }
    for name, compute in metrics.items():
        bare, expected = timed(compute, options.repeats)
        with arrays.on_device(options.device):
            least, found = timed(compute, options.repeats)
        worst = float(np.abs(np.subtract(found, expected)).max())
        print(f"{name:<10}{bare:>8.2f} s{least:>8.2f} s{worst:>12.1e}")


if __name__ == "__main__":
    main()
