"""Speed of the metrics relative to code that follows their definitions, at equal results.

    python benchmarks/metrics/speed.py                       # a stem of 4 minutes; takes about 15 minutes
    python benchmarks/metrics/speed.py --seconds 20 --quick  # a short run
    python benchmarks/metrics/speed.py --before FOLDER       # also an earlier version: a checkout of it

The baselines are museval, and the literal code of the tests of the metrics, which follows the specification line by
line with NumPy and SciPy. All code uses one BLAS thread. Baseline and metric alternate, three times (the slowest row:
once). The columns for one core are medians of the processor time and of its ratios, which depend less on other load.
The columns for all cores compare the shortest elapsed times, which are meaningful only on an idle machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from binaural_metrics.bsseval import bss_eval
from binaural_metrics.cues import interaural_cues
from binaural_metrics.interaural import paper_cues
from binaural_metrics.level import level
from binaural_metrics.place import place
from binaural_metrics.registry import metrics
from binaural_metrics.response import DIRECTIONS
from binaural_metrics.scoring import score_track
from binaural_metrics.spauq import spauq_both, spauq_equations, spauq_released
from binaural_metrics.threads import core_count
from scipy import fft

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "metrics" / "tests"))
import literal_cues  # noqa: E402
import literal_metrics as literal  # noqa: E402

BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
FS = 44100
ROUNDS = 3
PLACE = ("in_place", "in_place_1jnd", "in_place_4jnd", "in_place_bands", "missing", "cue_error_jnd")
NEW = (*PLACE, "silence_leak_db", *DIRECTIONS, "timbre_db")
Stems = dict[str, np.ndarray]


def stem(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Panned noise of varying level, and an estimate of it, shape (2, samples), float32."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * FS)
    swell = 0.05 + 0.05 * np.sin(2 * np.pi * np.arange(samples) / (3 * FS)).astype(np.float32)
    dry = rng.standard_normal((3, samples), dtype=np.float32) * swell
    reference = np.stack([dry[0], 0.6 * np.roll(dry[0], 17)]) + 0.2 * dry[1]
    estimate = 0.9 * reference + 0.05 * reference[::-1] + 0.2 * dry[2]
    return reference.astype(np.float32), estimate.astype(np.float32)


def timed(function: Callable[[], Any], repeats: int = 3) -> float:
    """Shortest processor time in s."""
    busy = np.inf
    for _ in range(repeats):
        before = time.process_time()
        function()
        busy = min(busy, time.process_time() - before)
    return float(busy)


def timed_once(function: Callable[[], Any]) -> tuple[float, float, Any]:
    """Processor time, elapsed time, result."""
    busy, clock = time.process_time(), time.perf_counter()
    result = function()
    return time.process_time() - busy, time.perf_counter() - clock, result


def track(length: float) -> tuple[Stems, Stems]:
    """References and estimates of four stems; the bass leaks into all."""
    pairs = {name: stem(length, seed) for seed, name in enumerate(("vocals", "drums", "bass", "other"))}
    references = {name: pair[0] for name, pair in pairs.items()}
    return references, {name: pair[1] + 0.1 * references["bass"] for name, pair in pairs.items()}


def line(*cells: object) -> None:
    print(f"{cells[0]!s:<46}" + "".join(f"{cell!s:>14}" for cell in cells[1:]), flush=True)


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def compare(
    name: str,
    baseline: Callable[[], Any],
    ours: Callable[[int], Any],
    same: Callable[[Any, Any], None],
    times: int = ROUNDS,
) -> None:
    rounds = []
    for _ in range(times):
        slow, slow_clock, expected = timed_once(baseline)
        one, _, found = timed_once(lambda: ours(1))
        _, all_cores, _ = timed_once(lambda: ours(core_count()))
        rounds.append((slow, one, slow / one, slow_clock, all_cores))
    same(found, expected)
    slow, one, ratio, *_ = np.median(rounds, axis=0)
    slow_clock, all_cores = np.min(rounds, axis=0)[3:]
    line(
        name,
        seconds(slow),
        seconds(one),
        f"{ratio:.1f} x",
        seconds(all_cores),
        f"{slow_clock / all_cores:.1f} x",
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


def paper_row(reference: np.ndarray, estimate: np.ndarray) -> None:
    pair = reference, estimate

    def script() -> Any:
        return [literal.paper_itd_us(x, FS) for x in pair], [literal.paper_ild_db(x) for x in pair]

    def same(found: Any, expected: Any) -> None:
        assert list(found.itd_us) == expected[0]
        np.testing.assert_allclose(found.ild_db, expected[1], atol=1e-9)

    compare("paper's ITD and ILD", script, lambda _: paper_cues(reference, estimate, FS), same)


def corrected_row(reference: np.ndarray, estimate: np.ndarray) -> None:
    def baseline() -> Any:
        ssr, srr, *_ = literal.spauq_equations(reference, estimate, FS)
        return (
            np.median(ssr),
            np.median(srr),
            *(literal_cues.d_itd_us(reference, estimate, FS) or ()),
            *literal_cues.band_cues(reference, estimate, FS),
            *literal_cues.in_place(reference, estimate, FS),
            *literal.level_and_si_sdr(reference, estimate),
        )

    def ours(workers: int) -> Any:
        spauq = spauq_equations(reference, estimate, FS, workers=workers)
        cues = interaural_cues(reference, estimate, FS, workers=workers)
        fitted = level(reference, estimate, FS)
        cells = place(reference, estimate, FS, workers=workers)
        found = [cues.d_itd_us, cues.itd_moved, cues.d_ild_db, cues.d_ild_db_flat, cues.d_ic]
        values = [cue.value for cue in (*found, cells.in_place[2], cells.missing, cells.cue_error_jnd)]
        return spauq.median_ssr, spauq.median_srr, *values, fitted.level_db, fitted.si_sdr_db

    def same(found: Any, expected: Any) -> None:
        np.testing.assert_allclose(found, expected, atol=1e-4)

    compare("corrected metrics without BSS Eval", baseline, ours, same, times=1)


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
    references, estimates = track(length)
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
    searches = timed(lambda: [(fft.rfft(x), fft.irfft(y, 27000)) for _ in range(2 * int(length))])
    ours = timed(lambda: spauq_both(reference, estimate, FS, workers=1))
    floor_line("SPAUQ, both: 16 transforms per second", searches, ours, length)

    ears, padded = rng.standard_normal((2, 4, FS), dtype=np.float32), int(length) // 2
    ours = timed(lambda: paper_cues(reference, estimate, FS))
    forward = timed(lambda: [fft.rfft(ears) for _ in range(padded * 2)])
    floor_line("paper's ITD: 8 forward transforms per second", forward, ours, length)

    # Two signals of two ears. Per second: 20 sections of 100 ms; 20 frames of 50 ms with 1 ms at either end, each with
    # two forward transforms and one inverse transform per ear; one forward and one inverse transform of the band-pass.
    sections = rng.standard_normal((80, 4410))
    lags = rng.standard_normal((80, 2304))
    spectra = fft.rfft(lags)
    band = rng.standard_normal((4, 46080))

    def second(_: int) -> None:
        fft.rfft(sections)
        fft.rfft(lags)
        fft.rfft(lags)
        fft.irfft(spectra, 2304)
        fft.irfft(fft.rfft(band), 46080)

    transforms = timed(lambda: deque(map(second, range(int(length))), 0))
    ours = timed(lambda: interaural_cues(reference, estimate, FS, workers=1))
    floor_line("cues: 328 transforms per second", transforms, ours, length)

    one_pass = timed(lambda: (reference.astype(np.float64), estimate.astype(np.float64)))
    ours = timed(lambda: corrected({"a": reference}, {"a": estimate}, bsseval=False))
    floor_line("corrected metrics: one pass over the samples", one_pass, ours, length)


def corrected(references: Stems, estimates: Stems, bsseval: bool = True) -> list[dict[str, Any]]:
    """Rows of the corrected set, on one core. The left ears serve as dry stems."""
    dry = {name: x[0] for name, x in references.items()}
    return score_track(references, estimates, FS, metrics="corrected", bsseval=bsseval, workers=1, dry=dry)[0]


def floor_line(name: str, floor: float, ours: float, length: float) -> None:
    line(name, seconds(floor), seconds(ours), f"{floor / ours:.0%}", f"{length / ours:.0f} s/s")


def linear_rows(minutes: list[float]) -> None:
    for length in minutes:
        reference, estimate = stem(60 * length, 0)
        score = partial(score_track, {"a": reference}, {"a": estimate}, FS, bsseval=False, workers=1)
        spent = timed(score, 2)
        line(
            f"both sets without BSS Eval, {length:g} min",
            "",
            seconds(spent),
            f"{60 * length / spent:.0f} s/s",
        )


def new_metrics_row(length: float) -> None:
    """Time of the corrected set of four stems without and with the metrics of what a listener hears."""
    references, estimates = track(length)
    known = tuple(metric for metric in metrics() if metric.column not in NEW)
    assert len(known) == len(metrics()) - len(NEW)
    rounds = []
    for _ in range(ROUNDS):
        with patch("binaural_metrics.scoring.all_metrics", lambda: known):
            without, _, rows = timed_once(lambda: corrected(references, estimates))
        assert all(row["in_place"] is row["timbre_db"] is None for row in rows)
        with_them, _, rows = timed_once(lambda: corrected(references, estimates))
        assert all(row["in_place"] is not None and row["timbre_db"] is not None for row in rows)
        rounds.append((without, with_them, with_them / without))
    without, with_them, share = np.median(rounds, axis=0)
    line(
        "place, leak in silence, effective response",
        seconds(without),
        seconds(with_them),
        f"{share:.2f} x",
    )


VERSION = """
import inspect, pickle, sys, time
sys.path.insert(0, sys.argv[1])
import binaural_metrics
from binaural_metrics.scoring import score_track

assert binaural_metrics.__file__.startswith(sys.argv[1])
references, estimates = pickle.load(open(sys.argv[2], "rb"))
score_track(*({{name: x[:, : {fs}] for name, x in side.items()}} for side in (references, estimates)), {fs})
options, known = {{"metrics": sys.argv[3], "workers": 1}}, inspect.signature(score_track).parameters
if "dry" in known:
    options["dry"] = {{name: x[0] for name, x in references.items()}}
if "cache" in known and sys.argv[4:]:  # the references were scored before
    options["cache"] = binaural_metrics.ReferenceCache()
    score_track(references, references, {fs}, **options)
started = time.process_time()
score_track(references, estimates, {fs}, **options)
print(time.process_time() - started)
"""


def version_rows(length: float, before: Path) -> None:
    """Time of an earlier version and of this one, for four stems, also of a further separator with references kept."""
    packages = [(root / "metrics").resolve() for root in (before, ROOT)]
    with tempfile.TemporaryDirectory() as folder:
        signals = Path(folder) / "signals.pickle"
        signals.write_bytes(pickle.dumps(track(length)))
        command = [sys.executable, "-c", VERSION.format(fs=FS)]
        for name, *arguments in (
            ("corrected set", "corrected"),
            ("all metrics", "all"),
            ("all metrics, next separator", "all", "again"),
        ):
            rounds = []
            for _ in range(ROUNDS):
                earlier, ours = (
                    float(subprocess.check_output([*command, str(package), str(signals), *arguments]))
                    for package in packages
                )
                rounds.append((earlier, ours, earlier / ours))
            earlier, ours, ratio = np.median(rounds, axis=0)
            line(f"{name}, 4 stems", seconds(earlier), seconds(ours), f"{ratio:.1f} x")


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
    parser.add_argument("--before", type=Path, help="folder of an earlier version of this repository")
    options = parser.parse_args()
    reference, estimate = stem(options.seconds, 0)
    print(f"stem of {options.seconds:g} s, {FS} Hz, stereo; {core_count()} cores\n")
    line("", "baseline", "one core", "ratio", f"{core_count()} cores", "ratio")
    spauq_rows(reference, estimate)
    paper_row(reference, estimate)
    corrected_row(reference, estimate)
    museval_row(min(options.museval_seconds, options.seconds))
    line("")
    line("corrected set, 4 stems", "without", "with", "ratio")
    new_metrics_row(min(options.museval_seconds, options.seconds))
    if options.before:
        line("")
        line("", options.before.name, "one core", "ratio")
        version_rows(min(options.museval_seconds, options.seconds), options.before)
    line("")
    line("", "lower bound", "one core", "share", "throughput")
    floor_rows(reference, estimate)
    line("")
    line("", "", "one core", "throughput")
    linear_rows([1] if options.quick else [1, 4, 16])


if __name__ == "__main__":
    main()
