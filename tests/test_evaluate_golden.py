"""`mssbench evaluate` on files gives the golden values of the metrics: files of 64-bit floats are not rounded."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from command import Command

METRICS = Path(__file__).parents[1] / "metrics" / "tests"
GOLDEN = json.loads((METRICS / "data" / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(golden: dict[str, Any]) -> dict[str, float]:
    """Golden values of one pair of signals, by column of the results."""
    released, equations = golden["released"]["median"], golden["equations"]
    values = {
        "paper_SSR": released["SSR"],
        "paper_SRR": released["SRR"],
        "paper_cost": released["cost"],
        "SSR": equations["median"]["SSR"],
        "SRR": equations["median"]["SRR"],
    }
    interaural = golden["interaural"]
    if "undefined" not in interaural and interaural["delta_ild_db"] != "inf":
        values |= {"paper_diff_ITD": interaural["delta_itd_us"], "paper_diff_ILD": interaural["delta_ild_db"]}
    return values


def test_files_of_64_bit_floats_give_the_golden_values(mssbench: Command, workspace: Path) -> None:
    signals = runpy.run_path(str(METRICS / "golden_signals.py"))["cases"]()
    for name, (reference, estimate, rate) in signals.items():
        for folder, signal in (("true", reference), ("found", estimate)):
            (workspace / folder / name).mkdir(parents=True)
            sf.write(workspace / folder / name / "vocals.wav", signal.T, rate, subtype="DOUBLE")
    done = mssbench("evaluate", "true", "found", "--no-bsseval", "--csv", "out.csv")
    assert done.returncode == 0, done.stderr
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["title"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(GOLDEN)
    compared = 0
    for name, golden in GOLDEN.items():
        values = expected(golden)
        # The golden medians count frames that are silent in both signals; the corrected metrics leave them out,
        # and have no value for a silent estimate.
        if name in ("silent_both_middle", "silent_estimate"):
            values = {column: value for column, value in values.items() if column.startswith("paper_")}
        for column, value in values.items():
            assert float(rows[name][column]) == pytest.approx(value, rel=0, abs=1e-6), (name, column)
            compared += 1
    assert compared >= 150
