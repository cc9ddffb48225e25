"""``DEVICE`` of the evaluator: off by default, refused where it is not available, the same scores where it is."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import array_api_strict
import numpy as np
import pytest
from binaural_metrics import arrays
from evaluator_service import device as choice
from evaluator_service.app import create
from evaluator_service.steps import evaluate
from mssbench_contract.server import served, wait_for
from mssbench_service.app import Settings
from mssbench_service.audio import write_wav
from mssbench_service.files import DataRoot
from mssbench_service.wire import EvaluateRequest

RATE = 8000


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    rng = np.random.default_rng(0)
    for stem in ("vocals", "bass"):
        true = 0.1 * rng.standard_normal((2, 2 * RATE)).astype(np.float32)
        for folder, signal in (("truth", true), ("found", 0.8 * true + 0.1 * true[::-1])):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_wav(tmp_path / folder / f"{stem}.wav", signal, RATE)
    return DataRoot(tmp_path)


def without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("setting", ["", "cpu", "auto"])
def test_without_a_device_the_service_needs_no_pytorch(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    without_pytorch(monkeypatch)
    monkeypatch.setenv("DEVICE", setting)
    with served(create()) as client:
        wait_for(lambda: client.get("/health").status == 200)
        assert client.get("/info").json()["device"] == "cpu"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("cuda", "DEVICE=cuda, but PyTorch, which is not installed, finds 0 CUDA device(s)"),
        ("gpu", "DEVICE='gpu'; expected auto, cpu, cuda, cuda:<n> or cuda:free"),
    ],
)
def test_a_device_that_is_not_there_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, setting: str, says: str
) -> None:
    without_pytorch(monkeypatch)
    monkeypatch.setenv("DEVICE", setting)
    caplog.set_level(logging.CRITICAL)
    app = create()
    with served(app) as client:
        wait_for(lambda: app.state.readiness.state == "failed")
        for answer in (client.get("/health"), client.post_json("/evaluate", {})):
            assert (answer.status, answer.json()["detail"]) == (503, says)


def test_the_scores_on_a_device_are_those_of_numpy(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def strict(device: str) -> arrays.Arrays:
        used.append(device)
        return arrays.DeviceArrays(device, array_api_strict, array_api_strict.Device("CPU_DEVICE"))

    monkeypatch.setattr(arrays, "_torch", strict)
    monkeypatch.setattr(choice, "_cuda_devices", lambda: 2)
    monkeypatch.setenv("DEVICE", "cuda:1")
    expected = evaluate(root, EvaluateRequest("truth", "found")).rows
    assert not used, "only the service reads DEVICE"
    with served(create(Settings(root))) as client:
        wait_for(lambda: client.get("/health").status == 200)
        assert client.get("/info").json()["device"] == "cuda:1"
        answer = client.post_json("/evaluate", {"reference": "truth", "estimate": "found"})
    assert set(used) == {"cuda:1"}
    for row, found in zip(expected, answer.json()["rows"], strict=True):
        assert found["status"] != "failed"
        for column in ("SSR", "SRR", "SDR", "SIR", "d_ild_db", "paper_SSR"):
            assert float(found[column]) == pytest.approx(row[column], abs=1e-6), column
