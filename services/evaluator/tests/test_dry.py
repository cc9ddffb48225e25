"""The effective response in the scores of rendered stems."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluator_service.steps import evaluate
from mssbench_service.audio import read_unrounded, write_wav
from mssbench_service.files import DataRoot
from mssbench_service.musdb import HRIR_FILE
from mssbench_service.wire import EvaluateRequest, Target

RATE = 8000
AZIMUTHS = np.arange(0.0, 360.0, 30.0)
RESPONSES = ["heard_azimuth_deg", "lateral_error_deg", "timbre_db"]
WHY_NOT = "a sum of several stems has no single direction"


def ears(azimuth: float, signal: np.ndarray) -> np.ndarray:
    late = round(5 * np.sin(np.deg2rad(azimuth)))
    return np.stack([np.roll(signal, 6 - late), 0.8**late * np.roll(signal, 6 + late)]).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """Stereo stems, their rendering at 30° and 330°, and estimates of which the vocals moved to 90°."""
    random = np.random.default_rng(0)
    stereo = {
        stem: 0.1 * random.standard_normal((2, RATE)).astype(np.float32) for stem in ("vocals", "drums")
    }
    mono = {stem: signal.mean(axis=0) for stem, signal in stereo.items()}
    truth = {"vocals": ears(30, mono["vocals"]), "drums": ears(330, mono["drums"])}
    moved = truth | {"vocals": ears(90, mono["vocals"])}
    for folder, signals in (("dry", stereo), ("truth", truth), ("moved", moved)):
        (tmp_path / folder).mkdir()
        for stem, signal in signals.items():
            write_wav(tmp_path / folder / f"{stem}.wav", signal, RATE)
    click = np.eye(1, 24)[0]
    irs = np.stack([ears(azimuth, click) for azimuth in AZIMUTHS])
    np.savez(tmp_path / "truth" / HRIR_FILE, azimuths=AZIMUTHS, irs=irs, sample_rate=np.asarray(RATE))
    return DataRoot(tmp_path)


def request(dry: str, **more: object) -> EvaluateRequest:
    return EvaluateRequest("truth", "moved", binaural=True, bsseval=False, dry=dry, **more)  # type: ignore[arg-type]


def test_a_moved_stem_is_heard_where_it_is(root: DataRoot) -> None:
    vocals, drums = evaluate(root, request("dry")).rows
    assert (vocals["heard_azimuth_deg"], vocals["lateral_error_deg"]) == (90, pytest.approx(60))
    assert (drums["heard_azimuth_deg"], drums["lateral_error_deg"]) == (330, 0)
    assert drums["timbre_db"] == pytest.approx(0, abs=1e-3)
    without = evaluate(root, request("")).rows
    for row, other in zip((vocals, drums), without, strict=True):
        assert [row[name] for name in other if name not in RESPONSES] == [
            value for name, value in other.items() if name not in RESPONSES
        ]
        assert [other[name] for name in RESPONSES] == [None] * 3
    stereo = EvaluateRequest("truth", "moved", binaural=False, bsseval=False, dry="dry")
    assert [row["timbre_db"] for row in evaluate(root, stereo).rows] == [None, None]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: (root / "dry" / "vocals.wav").unlink(), "the dry stem vocals.wav cannot be read"),
        (
            lambda root: write_wav(root / "dry" / "vocals.wav", np.zeros((2, 100), np.float32), 2 * RATE),
            "the dry stem is at 16000 Hz; expected 8000 Hz",
        ),
        (
            lambda root: (root / "truth" / "metadata.json").write_text(
                json.dumps({"scene": {"trajectories": {"vocals": [[0, 0, 0]]}}})
            ),
            "the source moves",
        ),
    ],
)
def test_a_stem_without_a_response_says_why_and_the_others_have_theirs(
    root: DataRoot, change: object, reason: str
) -> None:
    change(root.root)  # type: ignore[operator]
    vocals, drums = evaluate(root, request("dry")).rows
    assert [vocals[name] for name in RESPONSES] == [None] * 3
    assert f"heard_azimuth_deg, lateral_error_deg, front_back, timbre_db: {reason}" in vocals["reason"] or (
        f"timbre_db: {reason}" in vocals["reason"]
    )
    assert vocals["in_place"] is not None
    assert drums["lateral_error_deg"] == 0


def test_in_a_room_the_place_is_that_of_the_direct_sound_beside_the_stem(root: DataRoot) -> None:
    for folder in ("truth", "moved"):
        path = root.root / folder / "vocals.wav"
        direct, rate = read_unrounded(path)
        if folder == "truth":
            write_wav(path.with_suffix(".direct.wav"), direct, rate)
        reflections = sum(np.roll(direct[::-1], 8 * (20 + 7 * i), axis=1) * 0.8**i for i in range(9))
        write_wav(path, (direct + reflections).astype(np.float32), rate)
    vocals, drums = evaluate(root, request("dry")).rows
    assert (vocals["heard_azimuth_deg"], vocals["lateral_error_deg"]) == (90, pytest.approx(60))
    assert (drums["heard_azimuth_deg"], drums["lateral_error_deg"]) == (330, 0)
    direct_file = root.root / "truth" / "vocals.direct.wav"
    direct_file.write_bytes(b"")
    assert "the direct sound vocals.direct.wav cannot be read" in str(
        evaluate(root, request("dry")).rows[0]["reason"]
    )
    direct_file.unlink()
    assert evaluate(root, request("dry")).rows[0]["lateral_error_deg"] is None


def test_a_dataset_that_is_gone_leaves_the_other_metrics(root: DataRoot) -> None:
    rows = evaluate(root, request("no/such/folder")).rows
    assert all("cannot be read" in row["reason"] and row["in_place"] is not None for row in rows)


def test_a_composite_target_has_no_direction_and_says_so(root: DataRoot) -> None:
    both = Target(["vocals", "drums"], ["vocals", "drums"])
    row = evaluate(root, request("dry", targets={"both": both}, stems=["vocals", "drums"])).rows[0]
    assert [row[name] for name in (*RESPONSES, "azimuth_error_deg")] == [None] * 4
    assert f"timbre_db: {WHY_NOT}" in row["reason"]
