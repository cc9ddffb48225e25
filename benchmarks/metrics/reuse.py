"""Processor time of the evaluations of a run of several separators, with and without reuse of what depends on the
references alone.

    python benchmarks/metrics/reuse.py                # demo tracks of 6 s
    python benchmarks/metrics/reuse.py --seconds 60

Each cell is evaluated as a worker does it: in a process of its own, forked from one that has loaded the code. The time
is that of these processes, from the files of the stems to the table of the frames. The ways alternate, and must give
the same results. The last column is the limit of what reuse can gain: the analyses of the references are in memory,
and cost nothing but the search for them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from binaural_metrics import ReferenceCache
from evaluator_service import shared, steps
from mssbench.datasets.demo import write_demo
from mssbench_service import audio
from mssbench_service.files import DataRoot
from mssbench_service.musdb import STEMS
from mssbench_service.wire import EvaluateRequest, RenderRequest
from synth_service.steps import render

ANGLES = dict(zip(STEMS, (40.0, 320.0, 0.0, 80.0), strict=True))


def make_track(root: Path, seconds: float, separators: int) -> list[EvaluateRequest]:
    """Render a demo track and write the estimates of `separators`; return the requests."""
    (track,) = write_demo(root / "demo", 1, seconds)
    dry = str(track.relative_to(root))
    gain = render(DataRoot(root), RenderRequest(dry, "rendered", "sphere", ANGLES)).mixture_gain
    stems = {stem: audio.read(root / "rendered" / f"{stem}.wav") for stem in STEMS}
    mixture = np.sum([signal for signal, _ in stems.values()], axis=0)
    requests = []
    for number in range(separators):
        name = f"separator{number}"
        (root / name).mkdir()
        for stem, (signal, rate) in stems.items():
            audio.write_wav(root / name / f"{stem}.wav", 0.9 * signal + 0.02 * (number + 1) * mixture, rate)
        requests.append(
            EvaluateRequest(
                "rendered", name, mixture_gain=gain, binaural=True, dry=dry, frames=f"{name}.parquet"
            )
        )
    return requests


def evaluated(root: Path, request: EvaluateRequest, cache: Any) -> tuple[float, str]:
    """Evaluate a cell in a forked process. Return its processor time in s and its rows."""
    answer = root / "answer.json"
    process = os.fork()
    if process == 0:
        steps._REFERENCES = cache
        rows = asdict(steps.evaluate(DataRoot(root), request))["rows"]
        answer.write_text(json.dumps(rows))
        os._exit(0)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit("an evaluation failed")
    return usage.ru_utime + usage.ru_stime, answer.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the track")
    parser.add_argument("--separators", type=int, default=8)
    options = parser.parse_args()
    os.environ |= {"MSSBENCH_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    without, reused, kept = [], [], []
    memory = ReferenceCache(1 << 40)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as references:
        root = Path(folder)
        requests = make_track(root, options.seconds, options.separators)
        steps._REFERENCES = memory
        steps.evaluate(DataRoot(root), requests[0])
        for request in requests:
            alone, rows = evaluated(root, request, ReferenceCache())
            shares, same = evaluated(root, request, shared.SharedCache(Path(references)))
            limit, same_too = evaluated(root, request, memory)
            if not rows == same == same_too:
                raise SystemExit("the results differ")
            without.append(alone)
            reused.append(shares)
            kept.append(limit)
    print(f"four stems of {options.seconds:g} s; processor time in s\n")
    print(f"{'separators':>10}{'without':>10}{'with':>10}{'ratio':>8}{'the last one':>14}{'limit':>8}")
    for count in range(1, options.separators + 1):
        before, after = sum(without[:count]), sum(reused[:count])
        last, limit = without[count - 1] / reused[count - 1], without[count - 1] / kept[count - 1]
        print(f"{count:>10}{before:>10.2f}{after:>10.2f}{before / after:>8.2f}{last:>14.2f}{limit:>8.2f}")
    print(
        f"{'median':>10}{np.median(np.divide(without, reused)):>42.2f}{np.median(np.divide(without, kept)):>8.2f}"
    )


if __name__ == "__main__":
    main()
