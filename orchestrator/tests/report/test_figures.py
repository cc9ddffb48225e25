"""Figures of the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from mssbench.report import figures, svg
from mssbench.report.analysis import analyse
from mssbench.report.data import load

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("conditions", [("stereo",), ("stereo", "binaural")])
def test_all_labels_are_inside_the_panel(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, conditions: tuple[str, ...]
) -> None:
    """The panels have a fixed layout."""
    drawn: list[Figure] = []

    def keep(figure: Figure, description: str) -> Markup:
        drawn.append(figure)
        return Markup()

    monkeypatch.setattr(svg, "inline", keep)
    data = load(make_run(tracks=2, models=3, conditions=conditions))
    figures.overview(data, analyse(data).table)
    figures.stereo_binaural(data)
    assert len(drawn) == len(data.headline) * len(conditions)
    for figure in drawn:
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height


def test_names_with_dollars_and_markup_are_drawn_as_text() -> None:
    with svg.style():
        figure = svg.new_figure(2, 1)
        figure.add_subplot().set_title("$\\alpha$ <b> & co")
        text = str(svg.inline(figure, 'a "name" <x>'))
    assert "$\\alpha$ &lt;b&gt; &amp; co" in text
    assert 'aria-label="a &#34;name&#34; &lt;x&gt;"' in text


def test_matplotlib_settings_of_the_caller_are_ignored_and_kept(make_run: MakeRun) -> None:
    data = load(make_run(tracks=2))
    before = dict(matplotlib.rcParams)
    table = analyse(data).table
    first = figures.overview(data, table)[0].image
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        assert figures.overview(data, table)[0].image == first


@pytest.mark.parametrize(("azimuth", "behind"), [(90.0, False), (180.0, True)])
def test_polar_figures_show_the_rear_only_with_rear_azimuths(
    make_run: MakeRun, azimuth: float, behind: bool
) -> None:
    data = load(make_run(tracks=1, models=0, trouble=False))
    data.record.tracks[0].angles["bass"] = azimuth
    panel = figures.against_azimuth(data, data.headline[2])[0]
    assert (">180°<" in panel.image) == behind
    assert ">90°<" in panel.image
