"""The Parquet file of the values of frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from binaural_metrics.scoring import FrameTable, Row, score_track
from binaural_metrics.signals import FloatArray
from evaluator_service.frames import write_frames

FS = 4000


def noise(rng: np.random.Generator) -> FloatArray:
    signal: FloatArray = 0.1 * rng.standard_normal((1, 5 * FS)) + 0.03 * rng.standard_normal((2, 5 * FS))
    return signal


def scored(references: dict[str, FloatArray] | None = None, **options: Any) -> tuple[list[Row], FrameTable]:
    rng = np.random.default_rng(1)
    references = references or {stem: noise(rng)[:, : 3 * FS] for stem in ("vocals", "Où l'été 東京")}
    estimates = {stem: 0.9 * x + 0.1 * x[::-1] for stem, x in references.items()}
    return score_track(references, estimates, FS, **options)


def test_a_written_table_is_read_unchanged(tmp_path: Path) -> None:
    _, frames = scored()
    write_frames(tmp_path / "frames.parquet", frames)
    table = pq.read_table(tmp_path / "frames.parquet")
    assert table.column_names == list(frames)
    kinds = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert kinds == {
        "source": "string",
        "metric": "string",
        "start_s": "double",
        "value": "double",
        "weight": "double",
        "counted": "bool",
        "aggregate": "string",
        "valid_frames": "int64",
        "total_frames": "int64",
    }
    for name, values in frames.items():
        assert table[name].to_pylist() == values.tolist(), name


def test_a_table_without_frames_is_written(tmp_path: Path) -> None:
    silent = {"vocals": np.full((2, 100), np.nan)}
    rows, frames = scored(silent)
    assert rows[0]["status"] == "failed"
    write_frames(tmp_path / "frames.parquet", frames)
    assert pq.read_table(tmp_path / "frames.parquet").num_rows == 0


def test_every_value_has_its_aggregation_and_number_of_frames() -> None:
    rng = np.random.default_rng(2)
    references = {stem: noise(rng) for stem in ("vocals", "bass")}
    references["vocals"][:, : 2 * FS] = 0
    rows, frames = scored(references, aggregate="mean")
    mine = frames["source"] == "vocals"
    found = {
        metric: {
            (frames["aggregate"][i], frames["valid_frames"][i], frames["total_frames"][i])
            for i in np.flatnonzero(mine & (frames["metric"] == metric))
        }
        for metric in ("SSR", "SDR", "paper_SSR", "d_ild_db", "d_itd_us")
    }
    assert found == {
        "SSR": {("mean", 6, 9)},
        "SDR": {("mean", 3, 5)},
        "paper_SSR": {("mean", 9, 9)},
        "d_ild_db": {("weighted mean", 6, 9)},
        "d_itd_us": {("difference of the signals' weighted means", 60, 100)},
    }
    assert (rows[0]["valid_frames"], rows[0]["total_frames"], rows[0]["bsseval_frames"]) == (6, 9, 3)


def test_frames_are_written_without_pandas(tmp_path: Path) -> None:
    """Importing pandas takes as long as scoring a stem."""
    code = """
import sys
import numpy as np
from binaural_metrics.signals import FloatArray
from evaluator_service.frames import write_frames
import evaluator_service.steps
write_frames(sys.argv[1], {"a": np.array(["x"], object), "b": np.ones(1), "c": np.ones(1, bool)})
print("pandas" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
