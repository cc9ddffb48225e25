"""Speed of the metrics relative to code that follows their definitions, at equal results.

    python benchmarks/metrics/speed.py                       # a stem of 4 minutes; takes about 5 minutes
    python benchmarks/metrics/speed.py --seconds 30 --quick  # a short run

The baselines are museval, and the literal code of the tests of the metrics, which follows the specification line by
line with NumPy and SciPy. All code uses one BLAS thread. The columns for one core compare processor time, which depends
less on other load. The columns for all cores compare elapsed time, which is meaningful only on an idle machine. The
times of the metrics are the best of three.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from binaural_metrics.bsseval import bss_eval
from binaural_metrics.cues import interaural_cues
from binaural_metrics.level import level
from binaural_metrics.place import place
from binaural_metrics.scoring import score_track
from binaural_metrics.spauq import spauq_both, spauq_equations, spauq_released
from binaural_metrics.threads import core_count
from scipy import fft

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "metrics" / "tests"))
import literal_metrics as literal  # noqa: E402

BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
FS = 44100


def stem(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Panned noise of varying level, and an estimate of it, shape (2, samples), float32."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * FS)
    swell = 0.05 + 0.05 * np.sin(2 * np.pi * np.arange(samples) / (3 * FS)).astype(np.float32)
    dry = rng.standard_normal((3, samples), dtype=np.float32) * swell
    reference = np.stack([dry[0], 0.6 * np.roll(dry[0], 17)]) + 0.2 * dry[1]
    estimate = 0.9 * reference + 0.05 * reference[::-1] + 0.2 * dry[2]
    return reference.astype(np.float32), estimate.astype(np.float32)


def timed(function: Callable[[], Any], repeats: int = 3) -> tuple[float, float, Any]:
    """Shortest processor time, shortest elapsed time, result."""
    busy, clock, result = np.inf, np.inf, None
    for _ in range(repeats):
        busy_before, clock_before = time.process_time(), time.perf_counter()
        result = function()
        busy = min(busy, time.process_time() - busy_before)
        clock = min(clock, time.perf_counter() - clock_before)
    return busy, clock, result


def line(*cells: object) -> None:
    print(f"{cells[0]!s:<46}" + "".join(f"{cell!s:>14}" for cell in cells[1:]), flush=True)


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def ratio(baseline: float, ours: float) -> str:
    return f"{baseline / ours:.1f} x"


def compare(
    name: str, baseline: Callable[[], Any], ours: Callable[[int], Any], same: Callable[[Any, Any], None]
) -> None:
    slow_busy, slow_clock, expected = timed(baseline, 1)
    one, _, found = timed(lambda: ours(1))
    same(found, expected)
    _, all_cores, _ = timed(lambda: ours(core_count()))
    line(
        name,
        seconds(slow_busy),
        seconds(one),
        ratio(slow_busy, one),
        seconds(all_cores),
        ratio(slow_clock, all_cores),
    )


def spauq_rows(reference: np.ndarray, estimate: np.ndarray) -> None:
    def check_released(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found.ssr, expected[0], atol=1e-6)
        np.testing.assert_allclose(found.srr, expected[1], atol=1e-6)
        np.testing.assert_array_equal(found.shift, expected[3])

    def check_equations(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found.ssr, expected[0], atol=1e-6)
        np.testing.assert_allclose(found.srr, expected[1], atol=1e-6)
        np.testing.assert_array_equal(found.delays, expected[2])

    def check_both(found: Any, expected: Any) -> None:
        check_released(found[0], expected[0])
        check_equations(found[1], expected[1])

    def both() -> Any:
        return literal.spauq_released(reference, estimate, FS), literal.spauq_equations(
            reference, estimate, FS
        )

    compare(
        "SPAUQ, both variants",
        both,
        lambda workers: spauq_both(reference, estimate, FS, workers=workers),
        check_both,
    )
    compare(
        "SPAUQ, released alone",
        lambda: literal.spauq_released(reference, estimate, FS),
        lambda workers: spauq_released(reference, estimate, FS, workers=workers),
        check_released,
    )
    compare(
        "SPAUQ, equations alone",
        lambda: literal.spauq_equations(reference, estimate, FS),
        lambda workers: spauq_equations(reference, estimate, FS, workers=workers),
        check_equations,
    )


def corrected_row(reference: np.ndarray, estimate: np.ndarray) -> None:
    def baseline() -> Any:
        ssr, srr, *_ = literal.spauq_equations(reference, estimate, FS)
        return (
            np.median(ssr),
            np.median(srr),
            *(literal.d_itd_us(reference, estimate, FS) or ()),
            *literal.band_cues(reference, estimate, FS),
            *literal.in_place(reference, estimate, FS),
            *literal.level_and_si_sdr(reference, estimate),
        )

    def ours(workers: int) -> Any:
        spauq = spauq_equations(reference, estimate, FS, workers=workers)
        cues = interaural_cues(reference, estimate, FS, workers=workers)
        fitted = level(reference, estimate, FS)
        cells = place(reference, estimate, FS, workers=workers)
        found = (cues.d_itd_us, cues.itd_moved, cues.d_ild_db, cues.d_ild_db_flat, cues.d_ic)
        found += (cells.in_place[2], cells.missing, cells.cue_error_jnd)
        values = [cue.value for cue in found]
        return spauq.median_ssr, spauq.median_srr, *values, fitted.level_db, fitted.si_sdr_db

    def same(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found, expected, atol=1e-4)

    compare("corrected metrics without BSS Eval", baseline, ours, same)


def museval_row(length: float) -> None:
    package = importlib.util.find_spec("museval")
    if package is None or not package.submodule_search_locations:
        line("BSS Eval", "museval is not installed")
        return
    # Only the module is imported, because the package needs an ffmpeg program.
    path = Path(next(iter(package.submodule_search_locations))) / "metrics.py"
    spec = importlib.util.spec_from_file_location("museval_metrics", path)
    assert spec is not None
    assert spec.loader is not None
    museval = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(museval)
    pairs = {name: stem(length, seed) for seed, name in enumerate(("vocals", "drums", "bass", "other"))}
    references = {name: pair[0] for name, pair in pairs.items()}
    estimates = {name: pair[1] + 0.1 * references["bass"] for name, pair in pairs.items()}
    stacks = [np.stack([x.T for x in side.values()]).astype(float) for side in (references, estimates)]

    def same(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found.values, np.array(expected[:4]), atol=1e-4)

    compare(
        f"BSS Eval v4, 4 stems of {length:.0f} s (museval)",
        lambda: museval.bss_eval(*stacks, window=FS, hop=FS),
        lambda workers: bss_eval(references, estimates, FS, workers=workers),
        same,
    )


def floor_rows(reference: np.ndarray, estimate: np.ndarray) -> None:
    """Time of the transforms that a metric needs at least, and time of the metric."""
    rng = np.random.default_rng(0)
    length = reference.shape[1] / FS
    x = rng.standard_normal((4, 27000), dtype=np.float32)
    y = fft.rfft(x)
    searches, _, _ = timed(lambda: [(fft.rfft(x), fft.irfft(y, 27000)) for _ in range(2 * int(length))])
    ours, _, _ = timed(lambda: spauq_both(reference, estimate, FS, workers=1))
    floor_line("SPAUQ, both: 16 transforms per second", searches, ours, length)

    # Two signals of two ears. Per second: 20 sections of 100 ms; 20 frames of 50 ms with 1 ms at either end, each with
    # two forward transforms and one inverse transform per ear; one forward and one inverse transform of the band-pass.
    sections = rng.standard_normal((80, 4410))
    lags = rng.standard_normal((80, 2304))
    spectra = fft.rfft(lags)
    band = rng.standard_normal((4, 46080))

    def second() -> None:
        fft.rfft(sections), fft.rfft(lags), fft.rfft(lags), fft.irfft(spectra, 2304)
        fft.irfft(fft.rfft(band), 46080)

    transforms, _, _ = timed(lambda: [second() for _ in range(int(length))])
    ours, _, _ = timed(lambda: interaural_cues(reference, estimate, FS, workers=1))
    floor_line("cues: 328 transforms per second", transforms, ours, length)

    one_pass, _, _ = timed(lambda: (reference.astype(np.float64), estimate.astype(np.float64)))
    ours, _, _ = timed(
        lambda: score_track(
            {"a": reference}, {"a": estimate}, FS, metrics="corrected", bsseval=False, workers=1
        )
    )
    floor_line("corrected metrics: one pass over the samples", one_pass, ours, length)


def floor_line(name: str, floor: float, ours: float, length: float) -> None:
    line(name, seconds(floor), seconds(ours), f"{floor / ours:.0%}", f"{length / ours:.0f} s/s")


def linear_rows(minutes: list[float]) -> None:
    for length in minutes:
        reference, estimate = stem(60 * length, 0)
        spent, _, _ = timed(
            lambda r=reference, e=estimate: score_track({"a": r}, {"a": e}, FS, bsseval=False, workers=1), 2
        )
        line(
            f"both sets without BSS Eval, {length:g} min",
            "",
            seconds(spent),
            f"{60 * length / spent:.0f} s/s",
        )


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from binaural_metrics.scoring import score_track

rng = np.random.default_rng(0)
signals = [rng.standard_normal((2, {samples}), dtype=np.float32) for _ in range(2)]
Path("/proc/self/clear_refs").write_text("5")  # reset the peak

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

before = status("VmRSS")
score_track({{"a": signals[0]}}, {{"a": signals[1]}}, {fs}, bsseval={bsseval})
print(before, status("VmHWM"))
"""


def memory_row(length: float, bsseval: bool) -> None:
    """Resident memory after loading the signals, and its peak during scoring. Linux only."""
    code = MEMORY.format(samples=int(length * FS), fs=FS, bsseval=bsseval)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, peak = (int(word) / 2**20 for word in out.split())
    name = f"stem of {length / 60:g} min{', with BSS Eval' if bsseval else ''}"
    line(name, f"{before:.2f} GiB", f"{peak:.2f} GiB")


def main() -> None:
    if any(os.environ.get(name) != "1" for name in BLAS):
        # NumPy reads these variables when it is loaded, so restart the process.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(BLAS, "1"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="length of the stem in seconds")
    parser.add_argument(
        "--museval-seconds", type=float, default=60.0, help="length of the track for museval in seconds"
    )
    parser.add_argument("--quick", action="store_true", help="skip rows that take minutes")
    options = parser.parse_args()
    reference, estimate = stem(options.seconds, 0)
    print(f"stem of {options.seconds:g} s, {FS} Hz, stereo; {core_count()} cores\n")
    line("", "baseline", "one core", "ratio", f"{core_count()} cores", "ratio")
    spauq_rows(reference, estimate)
    corrected_row(reference, estimate)
    museval_row(min(options.museval_seconds, options.seconds))
    line("")
    line("", "lower bound", "one core", "share", "throughput")
    floor_rows(reference, estimate)
    line("")
    line("", "", "one core", "throughput")
    linear_rows([1] if options.quick else [1, 4, 16])
    if not options.quick:
        line("")
        line("resident memory", "signals", "peak")
        memory_row(600, bsseval=False)
        memory_row(600, bsseval=True)


if __name__ == "__main__":
    main()
