"""Single stages over folders: damaged audio is named, and rendered again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mssbench.services.runtime import make_runtime
from mssbench.tools.batch import find_folder_estimates, score, synthesise
from mssbench.tools.upload import separate_registered


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
