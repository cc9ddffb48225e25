"""Importing the package does not change the state of the process, and scoring restores it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics.threads import one_blas_thread
from threadpoolctl import threadpool_info

STATE = """
import json, logging, os, sys, threading, warnings
import numpy, scipy.linalg, scipy.signal  # imported first, because SciPy adds warning filters
from threadpoolctl import threadpool_info

def state():
    root = logging.getLogger()
    return [threadpool_info(), logging.root.manager.disable, root.level, [repr(h) for h in root.handlers],
            [repr(f) for f in warnings.filters], dict(os.environ), threading.active_count(), numpy.geterr()]

before = state()
import binaural_metrics
{use}
assert state() == before, (before, state())
print(json.dumps(sorted(sys.modules)))
"""
USE = """
x = numpy.random.default_rng(0).standard_normal((2, 8000))
binaural_metrics.score({"a": x, "b": x[::-1]}, {"a": x, "b": x}, 8000, metrics="all")
"""
FORBIDDEN = {
    "fastapi",
    "museval",
    "pandas",
    "mssbench_service",
    "pyarrow",
    "soundfile",
    "pydantic",
    "matplotlib",
}


def imported(use: str) -> set[str]:
    """Names of the modules loaded after importing the package and running `use`, which must not change the state."""
    done = subprocess.run(
        [sys.executable, "-c", STATE.replace("{use}", use)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_changes_nothing_in_the_process() -> None:
    assert not imported("") & FORBIDDEN


def test_scoring_restores_the_process_and_imports_no_heavy_package() -> None:
    assert not imported(USE) & FORBIDDEN


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_a_computation_that_ends_does_not_lift_the_limit_of_another() -> None:
    before = blas_threads()
    inside, ended = threading.Event(), threading.Event()

    def first() -> None:
        with one_blas_thread:
            inside.set()
            ended.wait(300)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(300)
    with one_blas_thread:
        pass
    assert set(blas_threads()) == {1}
    ended.set()
    thread.join()
    assert blas_threads() == before


def test_an_error_restores_the_number_of_threads() -> None:
    before = blas_threads()
    with pytest.raises(ValueError, match="silent"):
        bm.bss_eval({"a": np.zeros((2, 8000))}, {"a": np.zeros((2, 8000))}, 8000)
    assert blas_threads() == before


def test_ctrl_c_while_the_table_of_metrics_is_imported_prints_nothing(tmp_path: Path) -> None:
    interrupt = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "numpy.py").write_text(interrupt)  # imported in place of the package
    done = subprocess.run(
        [sys.executable, "-m", "binaural_metrics"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
