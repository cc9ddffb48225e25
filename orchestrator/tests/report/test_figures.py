"""Panels of the page have a fixed layout, which must have room for all labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from mssbench.report import figures, svg
from mssbench.report.analysis import analyse
from mssbench.report.data import load


@pytest.mark.parametrize("conditions", [("stereo",), ("stereo", "binaural")])
def test_all_labels_are_inside_the_panel(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, conditions: tuple[str, ...]
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(svg, "inline", lambda figure, _: (drawn.append(figure), Markup())[1])
    data = load(make_run(tracks=2, models=3, conditions=conditions))
    figures.overview(data, analyse(data).table)
    figures.stereo_binaural(data)
    assert len(drawn) == len(data.headline) * len(conditions)
    for figure in drawn:
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
