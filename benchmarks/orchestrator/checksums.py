"""Share of a run's processor time that checksums take: one track, rendered, separated and scored in this process.

``python benchmarks/orchestrator/checksums.py [SECONDS]`` prints the ratio; at most 0.02 is allowed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from mssbench.datasets.demo import write_demo
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.services.runtime import make_runtime
from mssbench_service.checksums import checksum_of


def main(seconds: float) -> None:
    """Run the benchmark on a track of `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_demo(root / "music", tracks=1, seconds=seconds)
        run = prepare(RunConfig("music", separators=["oracle-irm"]), make_runtime(root))
        started = time.process_time()
        run_inline(run, lambda: None)
        total = time.process_time() - started
        files = [
            path for path in root.rglob("*") if path.suffix in (".wav", ".npz") and "music" not in path.parts
        ]
        started = time.process_time()
        for _ in range(2):  # when they are written, and when they are scored
            for path in files:
                checksum_of(path)
        checks = time.process_time() - started
        print(f"{checks:.3f} s of {total:.2f} s: {checks / total:.4f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
