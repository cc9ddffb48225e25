"""Overhead of a service over its library, and the memory that it holds. One table of ratios per service.

    services/demucs/.venv/bin/python    benchmarks/separators/serving.py demucs
    services/openunmix/.venv/bin/python benchmarks/separators/serving.py openunmix
    services/spleeter/.venv/bin/python  benchmarks/separators/serving.py spleeter

(``services/run-tests --prepare`` creates these environments.) Models are as large as the released ones, with random
weights, because time and memory do not depend on the values. --small uses the small models of the tests, for which
reading and writing files takes a larger share of the time. Library and service compute with one thread, alternately.

overhead   one track (--seconds 60): processor time of the service's process for a request, divided by that of the
           library's call on an array in memory, minus one. Other processes affect processor time less than wall time,
           which is also printed. Minimum of --repeats runs each.
clips      Spleeter only: --clips clips of 10 s in sequence, after a first run. The library builds its graph and reads
           its checkpoint for every clip.
trained    Spleeter only (--only trained): the released spleeter:2stems (mssbench weights fetch spleeter:2stems), as
           `overhead`, for tracks of 10, 60 and 240 s. The library's own `Separator` computes on the same samples.
memory     largest resident set of a new service after ten tracks, divided by that after one track.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["DEVICE"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from mssbench_contract import RunningService, music, running, wav  # noqa: E402
from mssbench_service.audio import FloatArray  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TICK = os.sysconf("SC_CLK_TCK")
RATE = 44100

Library = Callable[[FloatArray], dict[str, FloatArray]]


def demucs(weights: Path, small: bool) -> tuple[dict[str, str], Library]:
    import torch
    from demucs.api import Separator
    from demucs_service.adapter import shifts_from

    torch.set_num_threads(1)
    model = "tinyft0" if small else "full"
    library = Separator(model, repo=weights / "demucs", device="cpu")

    def separate(track: FloatArray) -> dict[str, FloatArray]:
        with shifts_from(0):
            return {
                stem: x.numpy() for stem, x in library.separate_tensor(torch.from_numpy(track))[1].items()
            }

    return {"DEMUCS_MODEL": model}, separate


def openunmix(weights: Path, small: bool) -> tuple[dict[str, str], Library]:
    import torch
    from openunmix.predict import separate as predict
    from openunmix.utils import load_separator

    torch.set_num_threads(1)
    model = "tiny" if small else "full"
    folder = str(weights / "openunmix" / model)
    library = load_separator(folder, targets=["vocals", "drums", "bass", "other"])
    library.freeze()

    def separate(track: FloatArray) -> dict[str, FloatArray]:
        stems = predict(torch.from_numpy(track), rate=RATE, separator=library)
        return {stem: x[0].numpy() for stem, x in stems.items()}

    return {"OPENUNMIX_MODEL": model}, separate


def spleeter(weights: Path, small: bool) -> tuple[dict[str, str], Library]:
    import tensorflow as tf
    from spleeter.separator import Separator

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = "tiny" if small else "full"
    library = Separator(str(weights / "spleeter" / f"{model}.json"), multiprocess=False)
    library._params["model_dir"] = str(weights / "spleeter" / model)

    def separate(track: FloatArray) -> dict[str, FloatArray]:
        return {stem: x.T for stem, x in library.separate(track.T).items()}

    return {"SPLEETER_MODEL": f"{model}.json"}, separate


SERVICES = {"demucs": demucs, "openunmix": openunmix, "spleeter": spleeter}


def processor_time(service: RunningService) -> float:
    """User and system time of the service's process in seconds."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Fastest:
    """Minimum processor time and wall time of several runs."""

    def __init__(self) -> None:
        self.processor = self.wall = np.inf

    def run(self, work: Callable[[], Any], processor: Callable[[], float]) -> Any:
        started, busy = time.perf_counter(), processor()
        result = work()
        self.processor = min(self.processor, processor() - busy)
        self.wall = min(self.wall, time.perf_counter() - started)
        return result


def upload(service: RunningService, track: bytes) -> dict[str, FloatArray]:
    answer = service.upload(track)
    assert answer.status == 200, answer.body
    return answer.stems()


def largest_difference(stems: dict[str, FloatArray], expected: dict[str, FloatArray]) -> float:
    return max(float(np.abs(stems[stem] - expected[stem]).max()) for stem in expected)


def row(name: str, *values: str) -> None:
    print(f"{name:<34}" + "".join(f"{value:>15}" for value in values), flush=True)


def overhead(service: RunningService, library: Library, data: Path, seconds: float, repeats: int) -> None:
    track = music(seconds)
    content = wav(track)
    (data / "track.wav").write_bytes(content)
    request = {"mixture": "track.wav", "out": "out"}
    library_time, uploaded, referenced = Fastest(), Fastest(), Fastest()
    for _ in range(repeats):
        expected = library_time.run(lambda: library(track), time.process_time)
        stems = uploaded.run(lambda: service.upload(content), lambda: processor_time(service)).stems()
        referenced.run(lambda: service.post_json("/separate", request), lambda: processor_time(service))
    row(f"library, {seconds:g} s", f"{library_time.processor:.2f} s", f"{library_time.wall:.2f} s", "")
    for name, best in (("by upload", uploaded), ("by reference", referenced)):
        share = f"{100 * (best.processor / library_time.processor - 1):+.1f} %"
        row(f"service, {name}", f"{best.processor:.2f} s", f"{best.wall:.2f} s", share)
    row("largest difference of a sample", "", "", f"{largest_difference(stems, expected):.1e}")


def clips(service: RunningService, library: Library, count: int) -> None:
    tracks = [music(10.0, seed=seed) for seed in range(count)]
    contents = [wav(track) for track in tracks]
    library(tracks[0])
    upload(service, contents[0])
    library_time, served = Fastest(), Fastest()
    expected = library_time.run(lambda: [library(track) for track in tracks], time.process_time)
    stems = served.run(
        lambda: [upload(service, content) for content in contents], lambda: processor_time(service)
    )
    row(
        f"library, {count} clips of 10 s", f"{library_time.processor:.2f} s", f"{library_time.wall:.2f} s", ""
    )
    row("service, by upload", f"{served.processor:.2f} s", f"{served.wall:.2f} s", "")
    ratios = library_time.processor / served.processor, library_time.wall / served.wall
    row("throughput", *(f"{ratio:.2f} x" for ratio in ratios), "")
    worst = max(largest_difference(*pair) for pair in zip(stems, expected, strict=True))
    row("largest difference of a sample", "", "", f"{worst:.1e}")


def trained(repeats: int) -> None:
    import tensorflow as tf
    from mssbench_service.weights import weights_folder
    from spleeter.separator import Separator

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    folder = weights_folder("spleeter")
    library = Separator("spleeter:2stems", multiprocess=False)
    library._params["model_dir"] = str(folder / "2stems")
    row("spleeter:2stems", "processor", "wall", "")
    with tempfile.TemporaryDirectory() as data:
        environment = {
            "SPLEETER_MODEL": "spleeter:2stems",
            "MSSBENCH_WEIGHTS_DIR": str(folder.parent),
            "MSSBENCH_DATA_ROOT": data,
        }
        with running("spleeter_service.app:app", environment) as service:
            for seconds in (10.0, 60.0, 240.0):
                track = music(seconds)
                compute, request = partial(library.separate, track.T), partial(upload, service, wav(track))
                library_time, served = Fastest(), Fastest()
                for _ in range(repeats):
                    expected = library_time.run(compute, time.process_time)
                    stems = served.run(request, lambda: processor_time(service))
                row(
                    f"library, {seconds:g} s",
                    f"{library_time.processor:.2f} s",
                    f"{library_time.wall:.2f} s",
                    "",
                )
                row("service, by upload", f"{served.processor:.2f} s", f"{served.wall:.2f} s", "")
                ratios = library_time.processor / served.processor, library_time.wall / served.wall
                row("throughput", *(f"{ratio:.2f} x" for ratio in ratios), "")
                difference = largest_difference(stems, {stem: signal.T for stem, signal in expected.items()})
                row("largest difference of a sample", "", "", f"{difference:.1e}")
                assert difference <= 1e-5


def memory(app: str, environment: dict[str, str], seconds: float) -> None:
    with running(app, environment) as service:
        upload(service, wav(music(seconds)))
        one = service.peak_memory()
        for seed in range(1, 10):
            upload(service, wav(music(seconds, seed=seed)))
        ten = service.peak_memory()
    row(
        f"peak memory, tracks of {seconds:g} s",
        f"{one / 2**20:.0f} MiB",
        f"{ten / 2**20:.0f} MiB",
        f"{ten / one:.3f} x",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--small", action="store_true", help="use the small models of the tests")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--only", choices=("overhead", "clips", "memory", "trained"))
    options = parser.parse_args()
    if options.only == "trained":
        trained(options.repeats)
        return
    sys.path.insert(0, str(ROOT / "services" / options.service / "tests"))
    import make_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        weights, data = Path(folder) / "weights", Path(folder) / "data"
        data.mkdir()
        (make_checkpoint.make_checkpoint if options.small else make_checkpoint.make_full)(weights)
        model, library = SERVICES[options.service](weights, options.small)
        environment = {**model, "MSSBENCH_WEIGHTS_DIR": str(weights), "MSSBENCH_DATA_ROOT": str(data)}
        app = f"{options.service}_service.app:app"
        if options.only in (None, "overhead", "clips"):
            with running(app, environment) as service:
                if options.only != "clips":
                    row(f"overhead of {options.service}", "processor", "wall", "over library")
                    overhead(service, library, data, options.seconds, options.repeats)
                if options.service == "spleeter" and options.only != "overhead":
                    row("\nclips", "processor", "wall", "")
                    clips(service, library, options.clips)
        if options.only in (None, "memory"):
            row("\nmemory", "one track", "ten tracks", "")
            memory(app, environment, options.seconds)


if __name__ == "__main__":
    main()
