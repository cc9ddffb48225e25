"""Endurance and overload of a service: thousands of small separations, then five times its capacity. One table each.

    .venv/bin/python                    benchmarks/soak/soak.py oracle --length 10
    .venv/bin/python                    benchmarks/soak/soak.py template
    services/demucs/.venv/bin/python    benchmarks/soak/soak.py demucs
    services/openunmix/.venv/bin/python benchmarks/soak/soak.py openunmix
    services/spleeter/.venv/bin/python  benchmarks/soak/soak.py spleeter

(``services/run-tests --prepare`` creates the last three environments.) The real service runs in its own process, with
the small models of the tests. Linux only, because it reads ``/proc``.

soak      --requests (2,000) separations of --length (2 s) each, alternately by upload and by reference, from two
          clients, so that one request is always waiting. Memory, open files, threads and temporary files are sampled
          80 times. The first quarter is warm-up; the last quarter is compared with the second. Nothing may grow.
overload  requests are sent at five times the throughput of the soak, for --overload seconds (60). Requests that do not
          fit into the queue must be refused with 503 and Retry-After; the others must be served at 90 % of the soak's
          throughput. A refusal takes about a millisecond, so a separation must take at least 50 ms: the oracle
          separates 2 s of audio in 25 ms, and under overload its throughput falls to two thirds.

The exit code is 1 if memory grew by more than 2 % or anything else by any amount, if a request got another response
than 200 (or 503 with Retry-After under overload), or if the throughput under overload was too low.
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
SAMPLES = 80
CLIENTS = 2
OVERLOAD_FACTOR = 5
MIN_THROUGHPUT = 0.9  # under overload, relative to the soak
OVERLOAD_CLIENTS = 64


def resources(service: RunningService, *folders: Path) -> dict[str, float]:
    """Resources that the process holds now."""
    process = Path(f"/proc/{service.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    return {
        "memory, MiB": int(status["VmRSS"].split()[0]) / 1024,
        "open files": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        # os.walk ignores files that disappear meanwhile: a finished request may still be removing some.
        "temporary files": sum(len(d) + len(f) for folder in folders for _, d, f in os.walk(folder)),
    }


def idle_resources(service: RunningService, *folders: Path) -> dict[str, float]:
    """Minimum of a few samples, so that a request in progress does not count."""
    samples = []
    for _ in range(5):
        samples.append(resources(service, *folders))
        time.sleep(0.02)
    return {name: min(sample[name] for sample in samples) for name in samples[0]}


class Requests:
    """Requests with the same small track, alternately by upload and by reference."""

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
    request: Callable[[], Answer], requests: int, sample: Callable[[], dict[str, float]]
) -> tuple[list[float], list[dict[str, float]], float, Counter[int]]:
    """Latencies (s), samples of resources, responses per second without the time of sampling, and statuses."""
    latencies: list[float] = []
    samples: list[dict[str, float]] = []
    statuses: Counter[int] = Counter()
    busy = 0.0

    def one(_: int) -> None:
        started = time.perf_counter()
        statuses[request().status] += 1
        latencies.append(time.perf_counter() - started)

    with ThreadPoolExecutor(CLIENTS) as clients:
        for batch in np.array_split(np.arange(requests), min(SAMPLES, requests)):
            started = time.perf_counter()
            list(clients.map(one, batch))
            busy += time.perf_counter() - started
            samples.append(sample())
    return latencies, samples, requests / busy, statuses


def overload(request: Callable[[], Answer], rate: float, seconds: float) -> tuple[Counter[str], float]:
    """Number of responses by status, and successful responses per second, for `rate` requests per second."""
    by_status: Counter[str] = Counter()
    started = time.perf_counter()

    def one(number: int) -> None:
        time.sleep(max(0.0, started + number / rate - time.perf_counter()))
        answer = request()
        has_retry_after = "retry-after" in {name.lower() for name in answer.headers}
        if time.perf_counter() - started <= seconds:
            by_status[f"{answer.status}{' with Retry-After' if has_retry_after else ''}"] += 1

    with ThreadPoolExecutor(OVERLOAD_CLIENTS) as clients:
        list(clients.map(one, range(int(rate * seconds))))
    return by_status, by_status["200"] / seconds


def report_soak(
    request: Requests, requests: int, sample: Callable[[], dict[str, float]]
) -> tuple[float, list[str]]:
    """Run the soak and print its table; return responses per second, and failures."""
    failures = []
    latencies, samples, rate, statuses = soak(request, requests, sample)
    quarter = len(samples) // 4
    print(f"{'':<18}{'2nd quarter':>12}{'last':>12}{'ratio':>9}{'per 1,000':>12}")
    for name in samples[0]:
        values = np.array([one[name] for one in samples])
        early, late = np.median(values[quarter : 2 * quarter]), np.median(values[-quarter:])
        after = np.arange(quarter, len(values)) * requests / len(values)
        slope = 1000 * np.polyfit(after, values[quarter:], 1)[0]
        ratio = late / early if early else (1.0 if not late else np.inf)
        print(f"{name:<18}{early:>12.1f}{late:>12.1f}{ratio:>9.3f}{slope:>+12.2f}")
        if ratio > (1.02 if name.startswith("memory") else 1.0):
            failures.append(f"{name} grew")
    p50, p99 = (1000 * np.percentile(latencies, q) for q in (50, 99))
    print(f"\n{rate:.1f} a second; latency p50 {p50:.0f} ms, p99 {p99:.0f} ms ({CLIENTS} clients)")
    if statuses != {200: requests}:
        failures.append(f"responses were {dict(statuses)}")
    return rate, failures


def report_overload(request: Requests, rate: float, seconds: float) -> list[str]:
    """Run the overload relative to the soak's `rate` and print its result; return failures."""
    failures = []
    by_status, served = overload(request, OVERLOAD_FACTOR * rate, seconds)
    total = sum(by_status.values())
    shares = ", ".join(f"{name}: {100 * count / total:.1f} %" for name, count in by_status.most_common())
    print(f"\noverload: {total} responses to {OVERLOAD_FACTOR} x {rate:.1f} a second for {seconds:g} s")
    print(f"{shares}; served {served:.1f} a second, {served / rate:.2f} of the soak's throughput")
    if by_status.keys() - {"200", "503 with Retry-After"} or not by_status["503 with Retry-After"]:
        failures.append("some requests got neither 200 nor 503 with Retry-After")
    if served < MIN_THROUGHPUT * rate:
        failures.append(f"the throughput under overload was below {100 * MIN_THROUGHPUT:g} %")
    return failures


def make_small_model(service: str, weights: Path) -> None:
    """Write the small model of the service's tests, if it has one."""
    if SMALL[service]:
        sys.path.insert(0, str(ROOT / "services" / service / "tests"))
        from make_checkpoint import make_checkpoint

        make_checkpoint(weights)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", choices=SMALL)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--length", type=float, default=2.0, help="length of the track in seconds")
    parser.add_argument("--overload", type=float, default=60.0, help="length of the overload in seconds")
    options = parser.parse_args()
    if options.requests < 8:
        parser.error("--requests must be 8 or more, because quarters are compared")
    with tempfile.TemporaryDirectory() as folder:
        weights, data, temporary = (Path(folder) / name for name in ("weights", "data", "tmp"))
        for path in (weights, data, temporary):
            path.mkdir()
        make_small_model(options.service, weights)
        environment = SMALL[options.service] | {
            "MSSBENCH_WEIGHTS_DIR": str(weights),
            "MSSBENCH_DATA_ROOT": str(data),
            "TMPDIR": str(temporary),
        }
        with running(f"{options.service}_service.app:app", environment) as service:
            separator = "oracle-mixture" if options.service == "oracle" else ""
            request = Requests(service, data, separator, options.length)
            print(f"{options.service}: {options.requests} separations of {options.length:g} s\n")
            rate, failures = report_soak(
                request, options.requests, lambda: idle_resources(service, temporary)
            )
            failures += report_overload(request, rate, options.overload)
            left = idle_resources(service, temporary)["temporary files"]
            unfinished = [path.name for path in data.rglob(".tmp-*")]
            print(f"afterwards: {left:.0f} temporary files, {len(unfinished)} unfinished folders")
            if left or unfinished:
                failures.append("temporary files remain")
    print("\n" + ("; ".join(failures) if failures else "no growth; overload was refused as expected"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
