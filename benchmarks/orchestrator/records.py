"""Cost of records that survive a power cut, as a ratio to files that may be lost: ``python records.py [FOLDER]``.

A cell of a run writes three records (``separation.json``, ``result.json`` and the frames).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mssbench_service.files import atomic_file

COUNT = 100
TEXT = json.dumps({"rows": [{f"metric{number}": number / 7 for number in range(40)}] * 4})


def seconds(folder: Path, *, record: bool) -> float:
    """Median time of one write."""
    times = []
    for number in range(COUNT):
        started = time.perf_counter()
        with atomic_file(folder / f"{record}-{number}.json", record=record) as temporary:
            temporary.write_text(TEXT, encoding="utf-8")
        times.append(time.perf_counter() - started)
    return statistics.median(times)


with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
    plain, record = (seconds(Path(name), record=value) for value in (False, True))
print(f"a record: {record * 1e3:.2f} ms, {record / plain:.1f} times a file that is not synced")
print(f"three records of a cell that takes 10 s: {3 * record / 10:.3%} of it")
