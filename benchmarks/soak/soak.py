"""A service for a long day: thousands of small separations, then five times as many as it can do. One table each.

    .venv/bin/python                    benchmarks/soak/soak.py oracle --length 10
    .venv/bin/python                    benchmarks/soak/soak.py template
    services/demucs/.venv/bin/python    benchmarks/soak/soak.py demucs
    services/openunmix/.venv/bin/python benchmarks/soak/soak.py openunmix
    services/spleeter/.venv/bin/python  benchmarks/soak/soak.py spleeter

(``services/run-tests --prepare`` makes the last three environments.) The real service in a process of its own; models
are the tests' small ones, with random weights. Linux: it reads ``/proc``.

soak      --requests (2,000) separations of --length (2 s) each, by upload and by reference in turn, from two clients,
          so that one always waits. Memory, open files, threads and temporary files are looked at 80 times; the first
          quarter is left out as warming up, and the last is compared with the second. Nothing is to grow.
overload  requests come at five times the rate at which the soak was served, for --overload seconds (60). What has no
          place is to be refused with 503 and Retry-After; the rest is to be served at 90 % of the soak's rate. A
          refusal costs about a millisecond, so that separations have to take some 50 of them: the oracle passes
          2 s of audio on in 25, which five times as many requests bring down to two thirds.

Ends with 1 if memory grew by more than 2 %, anything else at all, if a request got another answer than 200 (or 503
with Retry-After in the overload), or if less was served than it should be.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

for name in ("OMP_NUM_THREADS", "THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["DEVICE"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from mssbench_contract import Answer, RunningService, music, running, wav  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "oracle": {},
    "template": {},
    "demucs": {"DEMUCS_MODEL": "tinyft0"},
    "openunmix": {"OPENUNMIX_MODEL": "tiny"},
    "spleeter": {"SPLEETER_MODEL": "tiny.json"},
}
LOOKS = 80
CLIENTS = 2
TIMES = 5
FLOOR = 0.9
PATIENCE = 64  # clients that may wait for an answer at once in the overload


def look(service: RunningService, *folders: Path) -> dict[str, float]:
    """What the process holds now."""
    process = Path(f"/proc/{service.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    return {
        "memory, MiB": int(status["VmRSS"].split()[0]) / 1024,
        "open files": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        # `walk`, since a request that has been answered may still be tidying up.
        "temporary files": sum(len(d) + len(f) for folder in folders for _, d, f in os.walk(folder)),
    }


def between_requests(service: RunningService, *folders: Path) -> dict[str, float]:
    """The least of a few looks, so that a request on its way does not count."""
    looks = []
    for _ in range(5):
        looks.append(look(service, *folders))
        time.sleep(0.02)
    return {name: min(one[name] for one in looks) for name in looks[0]}


class Requests:
    """The same small track, by upload and by reference in turn."""

    def __init__(self, service: RunningService, data: Path, separator: str, length: float) -> None:
        self.service, self.separator = service, separator
        self.content = wav(music(length))
        (data / "track.wav").write_bytes(self.content)
        self._number = itertools.count()

    def __call__(self) -> Answer:
        number = next(self._number)
        if number % 2:
            return self.service.upload(self.content, f"/separate?separator={self.separator}")
        body = {
            "mixture": "track.wav",
            "out": f"out-{threading.get_ident() % 8}",
            "separator": self.separator,
        }
        return self.service.post_json("/separate", body)


def soak(
    request: Callable[[], Answer], requests: int, see: Callable[[], dict[str, float]]
) -> tuple[list[float], list[dict[str, float]], float, Counter[int]]:
    """Latencies (s), looks, answers per second without the time of looking, and statuses."""
    latencies: list[float] = []
    looks: list[dict[str, float]] = []
    statuses: Counter[int] = Counter()
    busy = 0.0

    def one(_: int) -> None:
        begun = time.perf_counter()
        statuses[request().status] += 1
        latencies.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(CLIENTS) as clients:
        for batch in np.array_split(np.arange(requests), min(LOOKS, requests)):
            begun = time.perf_counter()
            list(clients.map(one, batch))
            busy += time.perf_counter() - begun
            looks.append(see())
    return latencies, looks, requests / busy, statuses


def overload(request: Callable[[], Answer], rate: float, seconds: float) -> tuple[Counter[str], float]:
    """Answers by kind, and how many were served in a second, of `rate` requests in a second."""
    kinds: Counter[str] = Counter()
    begun = time.perf_counter()

    def one(number: int) -> None:
        time.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        answer = request()
        told = "retry-after" in {name.lower() for name in answer.headers}
        if time.perf_counter() - begun <= seconds:
            kinds[f"{answer.status}{' with Retry-After' if told else ''}"] += 1

    with ThreadPoolExecutor(PATIENCE) as clients:
        list(clients.map(one, range(int(rate * seconds))))
    return kinds, kinds["200"] / seconds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", choices=SMALL)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--length", type=float, default=2.0, help="of the track, in seconds")
    parser.add_argument("--overload", type=float, default=60.0, help="seconds")
    options = parser.parse_args()
    if options.requests < 8:
        parser.error("--requests is to be 8 or more: quarters of them are compared")
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        weights, data, temporary = (Path(folder) / name for name in ("weights", "data", "tmp"))
        for path in (weights, data, temporary):
            path.mkdir()
        if SMALL[options.service]:
            sys.path.insert(0, str(ROOT / "services" / options.service / "tests"))
            from make_checkpoint import make_checkpoint

            make_checkpoint(weights)
        environment = SMALL[options.service] | {
            "MSSBENCH_WEIGHTS_DIR": str(weights),
            "MSSBENCH_DATA_ROOT": str(data),
            "TMPDIR": str(temporary),
        }
        with running(f"{options.service}_service.app:app", environment) as service:
            separator = "oracle-mixture" if options.service == "oracle" else ""
            request = Requests(service, data, separator, options.length)
            latencies, looks, rate, statuses = soak(
                request, options.requests, lambda: between_requests(service, temporary)
            )
            quarter = len(looks) // 4
            print(f"{options.service}: {options.requests} separations of {options.length:g} s\n")
            print(f"{'':<18}{'2nd quarter':>12}{'last':>12}{'ratio':>9}{'per 1,000':>12}")
            for name in looks[0]:
                values = np.array([one[name] for one in looks])
                early, late = np.median(values[quarter : 2 * quarter]), np.median(values[-quarter:])
                after = np.arange(quarter, len(values)) * options.requests / len(values)
                slope = 1000 * np.polyfit(after, values[quarter:], 1)[0]
                ratio = late / early if early else (1.0 if not late else np.inf)
                print(f"{name:<18}{early:>12.1f}{late:>12.1f}{ratio:>9.3f}{slope:>+12.2f}")
                if ratio > (1.02 if name.startswith("memory") else 1.0):
                    faults.append(f"{name} grew")
            p50, p99 = (1000 * np.percentile(latencies, q) for q in (50, 99))
            print(f"\n{rate:.1f} a second; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms ({CLIENTS} clients)")
            if statuses != {200: options.requests}:
                faults.append(f"answers were {dict(statuses)}")

            kinds, served = overload(request, TIMES * rate, options.overload)
            total = sum(kinds.values())
            shares = ", ".join(f"{name}: {100 * count / total:.1f} %" for name, count in kinds.most_common())
            print(f"\noverload: {total} answers to {TIMES} x {rate:.1f} a second for {options.overload:g} s")
            print(f"{shares}; served {served:.1f} a second, {served / rate:.2f} of the soak's")
            if kinds.keys() - {"200", "503 with Retry-After"} or not kinds["503 with Retry-After"]:
                faults.append("some were neither served nor told when to come back")
            if served < FLOOR * rate:
                faults.append(f"less than {100 * FLOOR:g} % was served under overload")
            left = between_requests(service, temporary)["temporary files"]
            litter = [path.name for path in data.rglob(".tmp-*")]
            print(f"afterwards: {left:.0f} temporary files, {len(litter)} unfinished folders")
            if left or litter:
                faults.append("files were left behind")
    print("\n" + ("; ".join(faults) if faults else "flat, and shed as it should be"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
