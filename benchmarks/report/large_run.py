"""Measure time, memory, size and responsiveness of the report of a large run, and compare them with limits.

    python benchmarks/report/large_run.py                # 50 tracks × 2 conditions × 6 separators: 2,400 rows
    python benchmarks/report/large_run.py --tracks 10    # a quick check

The run is the synthetic run of the report's tests: five models, a reference separator and a known-answer test, with
all metrics, without audio. "ratio" is measured / allowed; a ratio below 1 is within the limit. Memory is the peak of
the process. The last two lines need Chromium (``CHROMIUM``, or ``chromium`` on the PATH) and playwright. The bootstrap
is compared with SciPy's on one column of 50 tracks with the same number of resamples.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from mssbench.report import build_report, statistics
from scipy import stats

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES, INTERACTIVE, MEMORY = 60.0, 15.0, 3.0, 1024.0


def write_run(folder: Path, tracks: int) -> Path:
    """Write the synthetic run of the report's tests."""
    path = ROOT / "orchestrator" / "tests" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Path = module.write_run(folder, tracks=tracks, models=5, later=True, gain=1.3)
    return run


def page_times(index: Path) -> tuple[float, float] | None:
    """Return the seconds to parse the page and to apply a filter; None without a browser."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(index.resolve().as_uri())
        loaded = (
            page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000
        )
        # Time from a key press to the filtered table, including layout and style.
        typed = page.evaluate(
            """() => { const field = document.getElementById("f-text"); field.value = "Song 7";
              const start = performance.now(); field.dispatchEvent(new Event("input", {bubbles: true}));
              document.body.getBoundingClientRect(); return (performance.now() - start) / 1000; }"""
        )
        browser.close()
    return loaded, typed


def bootstrap_ratio(resamples: int = 10_000) -> float:
    """Return the processor time of ``scipy.stats.bootstrap`` relative to ours, for the median of 50 tracks."""
    values = np.random.default_rng(0).normal(size=50)
    statistics.median(values, resamples)  # draws the resamples, which all intervals of a report share
    start = time.process_time()
    for _ in range(20):
        statistics.median(values, resamples)
    ours = (time.process_time() - start) / 20
    start = time.process_time()
    stats.bootstrap((values,), np.median, n_resamples=resamples, method="percentile")
    return (time.process_time() - start) / ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=50)
    tracks = parser.parse_args().tracks
    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder), tracks)
        start, busy = time.perf_counter(), time.process_time()
        index = build_report(run, audio=False)
        clock, busy = time.perf_counter() - start, time.process_time() - busy
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            1024 if sys.platform == "linux" else 2**20
        )
        size = sum(file.stat().st_size for file in index.parent.rglob("*") if file.is_file()) / 1e6
        page = index.stat().st_size / 1e6
        times = page_times(index)
    lines = [
        ("report, wall-clock time", clock, SECONDS, "s"),
        ("report, processor time", busy, SECONDS, "s"),
        ("peak memory", memory, MEMORY, "MiB"),
        ("whole report", size, MEGABYTES, "MB"),
        ("index.html alone", page, MEGABYTES, "MB"),
    ]
    if times is not None:
        lines += [
            ("page parsed and its table drawn", times[0], INTERACTIVE, "s"),
            ("table filtered after a key press", times[1], 0.1, "s"),
        ]
    print(
        f"{tracks} tracks × 2 conditions × 6 separators and a known-answer test: {tracks * 2 * 7 * 4} rows\n"
    )
    print(f"{'':34}{'measured':>12}{'allowed':>12}{'ratio':>8}")
    for name, measured, allowed, unit in lines:
        print(f"{name:34}{measured:>8.2f} {unit:<3}{allowed:>8.1f} {unit:<3}{measured / allowed:>8.2f}")
    if times is None:
        print("Chromium or playwright is missing: the page was not opened")
    print(f"\nbootstrap, SciPy’s time / ours: {bootstrap_ratio():.1f}")


if __name__ == "__main__":
    main()
