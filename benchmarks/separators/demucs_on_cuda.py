"""HT Demucs FT on a GPU: the service with segments in batches, compared with the library. Needs a CUDA device.

    services/demucs/.venv/bin/python benchmarks/separators/demucs_on_cuda.py

The model is a bag of four models as large as the released ones, with random weights. Library and service hold the
model on the device and the track in memory. The time is the minimum of --repeats runs, after one run that is not
counted. Batches must not change the result (largest difference of a sample), and autocast must stay close to it (SDR
over all stems). ``--device cpu --small`` runs the small model of the tests without a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from demucs.api import Separator as Library
from demucs_service.adapter import DemucsSeparator, shifts_from
from mssbench_contract import music
from mssbench_service.audio import FloatArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "services" / "demucs" / "tests"))
from make_checkpoint import make_checkpoint, make_full  # noqa: E402

RATE = 44100
Stems = Mapping[str, FloatArray]


def timed(separate: Callable[[], Stems], repeats: int) -> tuple[float, Stems]:
    """Minimum wall time, and the result. The result is on the CPU, so that no work on the device is pending."""
    stems = separate()
    least = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        stems = separate()
        least = min(least, time.perf_counter() - started)
    return least, stems


def time_library(
    repository: Path, model: str, device: str, track: FloatArray, repeats: int
) -> tuple[float, Stems]:
    """Wall time and stems of the library."""
    library = Library(model, repo=repository, device=device)
    library.model.to(device)

    def separate() -> Stems:
        with shifts_from(0):
            _, stems = library.separate_tensor(torch.from_numpy(track))
        return {stem: estimate.numpy() for stem, estimate in stems.items()}

    return timed(separate, repeats)


def make_separator(
    weights: Path, model: str, device: str, batch_size: int, precision: str
) -> DemucsSeparator:
    """The separator of the service, ready to run."""
    settings = {
        "MSSBENCH_WEIGHTS_DIR": str(weights),
        "DEMUCS_MODEL": model,
        "DEMUCS_BATCH_SIZE": str(batch_size),
        "DEMUCS_PRECISION": precision,
        "DEVICE": device,
    }
    os.environ.update(settings)
    separator = DemucsSeparator()
    separator.setup()
    return separator


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="use the small model of the tests")
    options = parser.parse_args()
    device, model = options.device, "tinyft0" if options.small else "full_ft"
    on_gpu = device != "cpu"
    if on_gpu and not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return

    def peak_memory() -> str:
        """Peak memory on the device since the last call."""
        if not on_gpu:
            return "-"
        most = torch.cuda.max_memory_allocated(device) / 2**30
        torch.cuda.reset_peak_memory_stats(device)
        return f"{most:.1f} GiB"

    computer = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    print(f"{computer}, PyTorch {torch.__version__}, a track of {options.seconds:g} s\n")
    print(f"{'':<28}{'time':>10}{'throughput':>12}{'difference':>12}{'SDR':>10}{'memory':>12}")
    track = music(options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder)
        repository = (make_checkpoint if options.small else make_full)(weights)
        bare, expected = time_library(repository, model, device, track, options.repeats)
        print(f"{'library':<28}{bare:>8.2f} s{1.0:>10.2f} x{'':>12}{'':>10}{peak_memory():>12}", flush=True)
        runs = [(size, "float32") for size in options.batch_sizes]
        runs += [(options.batch_sizes[-1], precision) for precision in ("bfloat16", "float16")]
        for batch_size, precision in runs:
            separator = make_separator(weights, model, device, batch_size, precision)
            least, stems = timed(partial(separator.separate, track, RATE), options.repeats)
            errors = {stem: stems[stem] - expected[stem] for stem in expected}
            worst = max(float(np.abs(error).max()) for error in errors.values())
            energy = sum(float(np.sum(np.square(x, dtype=np.float64))) for x in expected.values())
            noise = sum(float(np.sum(np.square(x, dtype=np.float64))) for x in errors.values())
            sdr = 10 * np.log10(energy / max(noise, 1e-30))
            name = f"service, {precision} by {batch_size}"
            print(
                f"{name:<28}{least:>8.2f} s{bare / least:>10.2f} x{worst:>12.1e}{sdr:>7.1f} dB{peak_memory():>12}",
                flush=True,
            )


if __name__ == "__main__":
    main()
