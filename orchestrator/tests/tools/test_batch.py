"""Single stages over folders: damaged audio is named, and rendered again."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import array_api_strict
import pytest
from binaural_metrics import arrays
from mssbench.services.runtime import make_runtime
from mssbench.tools.batch import check_device, find_folder_estimates, score, synthesise
from mssbench.tools.upload import separate_registered
from mssbench_service.errors import BadInput


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_audio_is_not_scored_and_damaged_renderings_are_made_again(
    workspace: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("mssbench"), "disabled", False)  # other libraries disable loggers
    runtime = make_runtime(workspace)
    rendered = workspace / "out/test"
    synthesise(workspace / "music", workspace / "out", runtime, hrir="sphere")
    titles = sorted(path.name for path in rendered.iterdir())
    for title in titles:
        separate_registered(
            runtime, "oracle-mixture", rendered / title / "mixture.wav", workspace / "est" / title, None
        )

    def failed() -> dict[str, str]:
        found = find_folder_estimates(rendered, workspace / "est")
        scored = score(found, runtime, {}, metrics="corrected", bsseval=False)
        return {
            title: row["reason"] for title in scored for row in scored[title] if row["status"] == "failed"
        }

    whole = (rendered / titles[0] / "drums.wav").read_bytes()
    flip(workspace / "est" / titles[1] / "bass.wav")
    for name in ("drums.wav", "hrir.npz"):
        flip(rendered / titles[0] / name)
        found = failed()
        assert f"{name} is not as it was written" in found[titles[0]]
        assert "bass.wav is not as it was written" in found[titles[1]]
        synthesise(workspace / "music", workspace / "out", runtime, hrir="sphere")
        assert f"{titles[0]}: {name} is not as it was written" in caplog.text
    assert (rendered / titles[0] / "drums.wav").read_bytes() == whole
    assert list(failed()) == [titles[1]]


def test_folders_are_scored_on_a_device_and_a_track_that_is_too_long_for_it_fails_alone(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Device(arrays.DeviceArrays):
        transforms, limit = 0, math.inf

        def rfft(self, x: Any, size: int | None = None) -> Any:
            self.transforms += 1
            if self.transforms > self.limit:
                raise type("OutOfMemoryError", (RuntimeError,), {})
            return super().rfft(x, size)

    device = Device("cuda", array_api_strict, array_api_strict.Device("CPU_DEVICE"))
    monkeypatch.setattr(arrays, "_torch", lambda name: device)
    runtime, music = make_runtime(workspace), workspace / "music/test"
    check_device("cuda", runtime)
    estimates = find_folder_estimates(music, music)

    def scores(device: str | None) -> dict[str, list[tuple[Any, ...]]]:
        scored = score(estimates, runtime, {}, metrics="corrected", bsseval=False, device=device)
        return {
            title: [(row["status"], row["reason"], row.get("SSR"), row.get("in_place")) for row in rows]
            for title, rows in scored.items()
        }

    expected = scores(None)
    assert device.transforms == 0
    assert scores("cuda") == expected
    device.limit = 1.5 * device.transforms
    first, second = scores("cuda").items()
    assert first == next(iter(expected.items()))
    assert second[1] == 4 * [("failed", "the memory of the device 'cuda' is full", None, None)]


def test_a_device_is_not_for_an_evaluator_elsewhere(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSBENCH_URL_EVALUATOR", "http://evaluator:8000")
    with pytest.raises(
        BadInput, match=r"the evaluator is a service \(http://evaluator:8000\); set its DEVICE"
    ):
        check_device("cuda", make_runtime(workspace))
