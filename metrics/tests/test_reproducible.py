"""The same signals give bit-identical results in every process, with any number of threads and under any load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCORE = """
import hashlib, json, sys
import numpy as np
from binaural_metrics.scoring import score_track

FS, workers = 44100, int(sys.argv[1]) or None
rng = np.random.default_rng(1)
references = {}
for stem in ("vocals", "bass"):
    # The ear signals of one source make the equations of BSS Eval nearly singular, which amplifies rounding errors.
    source = np.cumsum(rng.standard_normal(3 * FS) * 0.01) * np.exp(-3 * (np.arange(3 * FS) / FS % 1))
    irs = rng.standard_normal((2, 20)) * np.exp(-np.arange(20) / 5)
    references[stem] = np.stack([np.convolve(source, ir)[: 3 * FS] for ir in irs]).astype(np.float32)
estimates = {"vocals": references["vocals"].copy(), "bass": 0.9 * references["bass"] + 0.1 * references["vocals"]}
rows, frames = score_track(references, estimates, FS, workers=workers)
found = hashlib.sha256(json.dumps(rows).encode())
for column in ("start_s", "value", "weight"):
    found.update(frames[column].tobytes())
print(rows[0]["SAR"], rows[1]["SAR"], found.hexdigest())
"""

SETTINGS = [("1", 1), ("2", 3), ("4", 2), (None, 0)]
"""Number of BLAS threads set by the environment, and number of workers (0: one per core)."""


def start(blas_threads: str | None, workers: int) -> subprocess.Popen[str]:
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    if blas_threads:
        environment |= dict.fromkeys(names, blas_threads)
    return subprocess.Popen(
        [sys.executable, "-c", SCORE, str(workers)],
        env=environment,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_threads_processes_and_load_do_not_change_the_result() -> None:
    # All run at the same time, to test the influence of load.
    answers = [process.communicate() for process in [start(*setting) for setting in SETTINGS]]
    assert answers[0][0], answers[0][1]
    assert [answer for answer, _ in answers] == [answers[0][0]] * len(SETTINGS), answers
