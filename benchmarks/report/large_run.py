"""Is the report of a large run quick, small and at once usable? One table of measured against allowed.

    python benchmarks/report/large_run.py                # 50 tracks × 2 conditions × 6 separators: 2,400 rows
    python benchmarks/report/large_run.py --tracks 10    # a glance

The run is synthetic, as the report's tests write it: five models, a reference separator, and a probe besides,
with every metric that the bench has. Audio is left out. "ratio" is measured / allowed: below 1 is within. Memory
is the peak of the process, and the last two lines need Chromium (``CHROMIUM``, or ``chromium`` on the path) and
playwright. The bootstrap is compared with SciPy's on one column of 50 tracks, at equal resamples.
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
    """The synthetic run of the report's tests."""
    path = ROOT / "orchestrator" / "tests" / "test_report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", path)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Path = module.write_run(folder, tracks=tracks, models=5, later=True, gain=1.3)
    return run


def page_times(index: Path) -> tuple[float, float] | None:
    """Seconds until the page has been parsed and until a change of the filters shows; None without a browser."""
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
        # What a person waits for after typing: handler, layout and style included.
        typed = page.evaluate(
            """() => { const field = document.getElementById("f-text"); field.value = "Song 7";
              const start = performance.now(); field.dispatchEvent(new Event("input", {bubbles: true}));
              document.body.getBoundingClientRect(); return (performance.now() - start) / 1000; }"""
        )
        browser.close()
    return loaded, typed


def bootstrap_ratio(resamples: int = 10_000) -> float:
    """Time of ``scipy.stats.bootstrap`` over that of ours, processor time, median of 50 tracks."""
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
        ("report, time on the clock", clock, SECONDS, "s"),
        ("report, processor time", busy, SECONDS, "s"),
        ("peak memory", memory, MEMORY, "MiB"),
        ("whole report", size, MEGABYTES, "MB"),
        ("index.html alone", page, MEGABYTES, "MB"),
    ]
    if times is not None:
        lines += [
            ("page parsed and its table drawn", times[0], INTERACTIVE, "s"),
            ("table filtered after a key", times[1], 0.1, "s"),
        ]
    print(f"{tracks} tracks × 2 conditions × 6 separators and a probe: {tracks * 2 * 7 * 4} rows\n")
    print(f"{'':34}{'measured':>12}{'allowed':>12}{'ratio':>8}")
    for name, measured, allowed, unit in lines:
        print(f"{name:34}{measured:>8.2f} {unit:<3}{allowed:>8.1f} {unit:<3}{measured / allowed:>8.2f}")
    if times is None:
        print("no Chromium or no playwright here: the page was not opened")
    print(f"\nbootstrap, SciPy’s time / ours: {bootstrap_ratio():.1f}")


if __name__ == "__main__":
    main()
