"""Resident memory after loading the signals of a stem, and its peak during scoring. Linux only.

python benchmarks/metrics/memory.py                # a stem of 10 minutes; takes about 3 minutes
python benchmarks/metrics/memory.py --seconds 1200
"""

from __future__ import annotations

import argparse
import subprocess
import sys

FS = 44100

CODE = """
from pathlib import Path
import numpy as np
from binaural_metrics.scoring import score_track

rng = np.random.default_rng(0)
dry = rng.standard_normal({samples}, dtype=np.float32)
signals = [np.stack([dry, np.roll(dry, 10)]) for _ in range(2)]
signals[1] += rng.standard_normal(signals[1].shape, dtype=np.float32)
options = {{"dry": {{"a": dry}}}} if {dry} else {{}}
del dry
Path("/proc/self/clear_refs").write_text("5")  # reset the peak

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

before = status("VmRSS")
(row,) = score_track({{"a": signals[0]}}, {{"a": signals[1]}}, {fs}, bsseval={bsseval}, **options)[0]
assert row["status"] == "ok" and (row["timbre_db"] is not None) == {dry}, row
print(before, status("VmHWM"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    print(f"{'':<40}{'signals':>12}{'peak':>12}")
    for bsseval, dry in ((False, False), (True, False), (False, True), (True, True)):
        code = CODE.format(samples=int(options.seconds * FS), fs=FS, bsseval=bsseval, dry=dry)
        out = subprocess.check_output([sys.executable, "-c", code], text=True)
        before, peak = (int(word) / 2**20 for word in out.split())
        name = f"{options.seconds:g} s{', dry stem' * dry}{', BSS Eval' * bsseval}"
        print(f"{name:<40}{before:>8.2f} GiB{peak:>8.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
