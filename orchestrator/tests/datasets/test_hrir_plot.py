"""Plots of an HRIR set."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from mssbench.datasets import hrir_plot
from mssbench_service.wire import HrirInfo

AZIMUTHS = [float(a) for a in range(0, 360, 30)]
SIDE = np.sin(np.radians(AZIMUTHS))
INFO = HrirInfo(
    name="head",
    sha256="0" * 64,
    sample_rate=44100,
    taps=256,
    azimuths=AZIMUTHS,
    itd_90_us=700.0,
    ild_90_db=20.0,
    itd_us=(700 * SIDE).tolist(),
    left_db=(10 * SIDE - 10).tolist(),
    right_db=(-10 * SIDE - 10).tolist(),
)


def test_the_left_ear_is_loudest_at_the_left_of_the_text_plot() -> None:
    drawn = hrir_plot.text_plot(INFO).splitlines()
    assert drawn[0].strip() == "front"
    middle = next(line for line in drawn if "+" in line)
    assert middle[0] == "L"  # at 90°, 0 dB
    assert middle[-1] == "R"
    assert "B" in drawn[1 + round(10 / 3)]  # both at −10 dB in front
    assert middle.index("R") < middle.index("+") < middle.rindex("L")  # the far ears, at −20 dB


@pytest.mark.parametrize("suffix", hrir_plot.FORMATS)
def test_a_plot_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"plot{suffix}"
    hrir_plot.save_plot(INFO, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if suffix == ".png":
        picture = image.imread(path)
        assert picture.shape[0] > 400
        assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 20
    else:
        assert ET.parse(path).getroot().tag.endswith("svg")
        hrir_plot.save_plot(INFO, tmp_path / "again.svg")
        assert "<dc:date>" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("azimuths", "text"),
    [
        (AZIMUTHS, "every 30°"),
        ([0.0, 5.0, 90.0], "0°, 5°, 90°"),
        ([float(a) for a in range(10)], "0°, 1°, 2°, 3°, 4°, 5°, 6°, 7°, …"),
        ([90.0], "90°"),
    ],
)
def test_azimuths_are_described_by_their_step_or_the_first_eight(azimuths: list[float], text: str) -> None:
    assert hrir_plot.describe_azimuths(azimuths) == text


SPHERE = replace(INFO, azimuths=[0.0, 90.0, 200.0], elevations=[0.0, 45.0, -90.0], distances=[1.2, 1.4])


def test_directions_are_described() -> None:
    assert hrir_plot.describe_directions(SPHERE) == "3, at elevations from -90° to 45°"
    assert hrir_plot.describe_directions(INFO) == "12, all at elevation 0°"
    assert hrir_plot.describe_distances(SPHERE.distances) == "1.2 to 1.4 m"


def test_the_left_is_left_and_above_is_up_in_the_map_of_directions(tmp_path: Path) -> None:
    rows = hrir_plot.text_map(SPHERE).splitlines()
    assert rows[9][6 + 36] == "o"  # front
    assert rows[5][6 + 18] == "o"  # left, 45° up (rounded to 40°)
    assert rows[18][6 + 68] == "o"
    assert sum(row.count("o") for row in rows[:19]) == 3
    hrir_plot.save_plot(INFO, tmp_path / "plane.png", INFO)
    hrir_plot.save_plot(INFO, tmp_path / "sphere.png", SPHERE)
    assert image.imread(tmp_path / "sphere.png").shape[0] > image.imread(tmp_path / "plane.png").shape[0]
