"""Run ids and keys of renderings do not change between versions: runs are resumed, and renderings reused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.runs.config import RunConfig
from mssbench.runs.fingerprint import digest, state_of_files
from mssbench.runs.plan import plan_track_again
from mssbench.runs.records import RunRecord, TrackRecord
from mssbench.services.runtime import make_runtime
from mssbench_service.musdb import MIXTURE, STEMS
from mssbench_service.wire import HrirInfo

ANGLES = {"vocals": 0.0, "drums": 90.0, "bass": 270.0, "other": 30.0}


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """A track of known sizes and times."""
    folder = tmp_path / "music/test/Song"
    folder.mkdir(parents=True)
    for name in (MIXTURE, *STEMS):
        sf.write(folder / f"{name}.wav", np.zeros((4410, 2)), 44100, subtype="PCM_16")
        os.utime(folder / f"{name}.wav", ns=(0, 1_700_000_000_000_000_000))
    return folder


def test_the_run_id_of_a_configuration_is_pinned() -> None:
    config = RunConfig(dataset="data/My Music", separators=["oracle-irm"], seed=3)
    assert config.run_id("f" * 64) == "my-music-ef5c80ec36"


def test_the_fingerprint_of_files_is_pinned(track: Path) -> None:
    assert state_of_files(track) == digest([[17684, 1_700_000_000_000_000_000]] * 5)[:20]
    assert state_of_files(track) == "7af6b8e902dbcbe385cc"


def test_the_key_of_a_rendering_is_pinned(track: Path, tmp_path: Path) -> None:
    hrir = HrirInfo("sphere", "0" * 64, 44100, 256, [0.0, 90.0, 270.0, 30.0], 0.0, 0.0)
    config = RunConfig(dataset="music", conditions=["binaural"])
    planned = TrackRecord("Song", 4410, 44100, "music/test/Song", {}, ANGLES)
    record = RunRecord("mine", "", "", config, [planned], [], hrir, {}, {})
    again = plan_track_again(planned, record, make_runtime(tmp_path))
    assert again.folders == {"binaural": "data/rendered/18a2848e912591ddc0fa/Song"}
