"""Figures of the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from mssbench.report import chart, figures, paper_figures
from mssbench.report.analysis import analyse
from mssbench.report.data import ALL_STEMS, load

MakeRun = Callable[..., Path]


def numbers(pattern: str, image: str) -> list[float]:
    return [float(value) for value in re.findall(pattern, image)]


@pytest.mark.parametrize("conditions", [("stereo",), ("stereo", "binaural")])
def test_everything_drawn_is_inside_the_panel(make_run: MakeRun, conditions: tuple[str, ...]) -> None:
    data = load(make_run(tracks=2, models=3, conditions=conditions, later=True))
    found = analyse(data)
    images = [
        panel.image
        for metric in data.headline
        for panel in (
            figures.medians(data, found.table, metric, ALL_STEMS, ""),
            figures.medians(data, found.table, metric, "bass", ""),
            figures.differences(data, found.condition_differences, metric),
            *figures.by_angle(data, metric),
        )
    ]
    trade_off = figures.trade_off(data, found.table)
    bands = figures.by_band(data)
    assert trade_off
    assert bands
    images += [panel.image for panel in (*trade_off.panels, *bands.panels)]
    for image in images:
        box = re.match(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"', image)
        assert box
        assert all(0 <= x <= float(box[1]) for x in numbers(r'\b(?:x|cx|x1|x2)="([-\d.]+)"', image))
        assert all(0 <= y <= float(box[2]) for y in numbers(r'\b(?:y|cy|y1|y2)="([-\d.]+)"', image))
        assert all(0 <= x <= float(box[1]) for x in numbers(r"translate\(([-\d.]+) ", image))


def test_marks_have_their_exact_values(make_run: MakeRun) -> None:
    data = load(make_run(tracks=2, models=1, later=True))
    table, metric = analyse(data).table, data.headline[0]
    image = figures.medians(data, table, metric, ALL_STEMS, "").image
    for condition in data.conditions:
        estimate = table.get(condition, "irm", ALL_STEMS, metric).estimate
        tip = f"irm, {condition}: {metric.format(estimate.value)}\u00a0% [{metric.format(estimate.low)}, "
        assert f'data-tip="{tip}' in image
    assert 'tabindex="0"' in image


def test_an_axis_is_logarithmic_where_one_value_would_crush_the_others() -> None:
    axis = chart.scale([2.0, 3.0, 4.0, 1500.0], zero=True)
    assert axis.logarithmic
    assert axis.ticks == [0.0, 1.0, 10.0, 100.0, 1000.0]
    assert axis(4.0) - axis(2.0) > 0.05
    assert 0 <= axis(0.0) < axis(2.0) < axis(1500.0) <= 1
    for values in ([2.0, 3.0, 4.0, 5.0], [0.0, 0.0], [], [float("nan"), -3.0, 3.0]):
        plain = chart.scale(values)
        assert not plain.logarithmic
        assert plain.low < plain.high
        assert all(plain.low <= value <= plain.high for value in plain.ticks)


def test_names_with_dollars_and_markup_are_drawn_as_text() -> None:
    panel = chart.Chart(100, 10)
    panel.text(0, 10, "$\\alpha$ <b> & co")
    text = str(panel.svg('a "name" <x>'))
    assert "$\\alpha$ &lt;b&gt; &amp; co" in text
    assert 'aria-label="a &#34;name&#34; &lt;x&gt;"' in text


def test_matplotlib_settings_of_the_caller_are_ignored_and_kept(make_run: MakeRun, tmp_path: Path) -> None:
    data = load(make_run(tracks=2))
    before = dict(matplotlib.rcParams)
    table = analyse(data).table
    names = paper_figures.save_for_paper(data, table, tmp_path)
    assert names == ["overview", "by-stem"]
    first = (tmp_path / "overview.svg").read_bytes()
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        paper_figures.save_for_paper(data, table, tmp_path)
    assert (tmp_path / "overview.svg").read_bytes() == first


@pytest.mark.parametrize(("azimuth", "behind"), [(90.0, False), (180.0, True)])
def test_figures_by_azimuth_show_the_rear_only_with_rear_azimuths(
    make_run: MakeRun, azimuth: float, behind: bool
) -> None:
    data = load(make_run(tracks=1, models=0, trouble=False))
    data.record.tracks[0].angles["bass"] = azimuth
    panels = figures.by_angle(data, data.headline[2])
    assert [panel.title for panel in panels] == ["ΔITD (paper) by azimuth, binaural"]
    assert (">back<" in panels[0].image) == behind
    assert ">left<" in panels[0].image


def test_a_band_counts_by_its_share_of_the_loudness(make_run: MakeRun) -> None:
    data = load(make_run(tracks=1, models=0, trouble=False, later=True))
    rows = [row for row in data.rows if (row["condition"], row["separator"]) == ("binaural", "irm")]
    for row, share, weight in zip(rows, (100.0, 0.0, 50.0, 50.0), (30.0, 10.0, 0.0, 0.0), strict=True):
        row["in_place_bands"] = [[200.0, share, weight]]
    assert figures.band_curve(data, "binaural", "irm") == [(200.0, 75.0)]
