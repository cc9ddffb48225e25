"""The published results, and their comparison with a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mssbench.report import published
from mssbench.report.analysis import analyse
from mssbench.report.data import ALL_STEMS, load
from mssbench_service.files import read_json, write_json
from mssbench_service.musdb import STEMS
from mssbench_service.weights import load as load_pins

MakeRun = Callable[..., Path]


def test_published_results_are_compared_only_with_the_same_model(make_run: MakeRun) -> None:
    run = make_run(tracks=1, models=1, trouble=False)
    raw = read_json(run / "run.json")
    raw["separators"][0]["name"] = "demucs"
    write_json(run / "run.json", raw)
    found = {}
    for condition in ("stereo", "binaural"):
        (run / "cells" / condition / "model-0").rename(run / "cells" / condition / "demucs")
    for model in ("htdemucs_ft", "hdemucs_mmi"):
        for path in run.glob("cells/*/demucs/*/result.json"):
            write_json(path, read_json(path) | {"separator": "demucs", "details": {"model": model}})
        data = load(run)
        pairs = published.compare(data, analyse(data).table)
        found[model] = {pair.published.model for pair in pairs if pair.separator}
    assert found == {"htdemucs_ft": {"Demucs"}, "hdemucs_mmi": set()}


def test_models_of_the_paper_are_presets_that_can_be_run() -> None:
    presets = load_pins(Path(__file__).parents[3] / "services/msst/msst_service/weights.toml").stems
    runnable = {
        model: weights
        for model, (names, weights) in published.published_models().items()
        if f"msst:{weights}" in names and weights in presets
    }
    assert runnable == {
        "BS-RoFormer": "bs_roformer_musdb",
        "SCNet-small": "scnet_small_musdb",
        "SCNet-large (repository)": "scnet_large_musdb",
    }


def test_published_results_are_compared_with_the_run(make_run: MakeRun) -> None:
    run = make_run(tracks=2)
    raw = read_json(run / "run.json")
    raw["separators"][0]["name"] = "htdemucs_ft"
    write_json(run / "run.json", raw)
    for condition in ("stereo", "binaural"):
        (run / "cells" / condition / "model-0").rename(run / "cells" / condition / "htdemucs_ft")
    for path in run.glob("cells/*/htdemucs_ft/*/*.json"):
        write_json(path, read_json(path) | {"separator": "htdemucs_ft"})
    data = load(run)
    found = analyse(data)
    pairs = [pair for pair in published.compare(data, found.table) if pair.separator]
    assert {(pair.published.model, pair.separator) for pair in pairs} == {("Demucs", "htdemucs_ft")}
    assert len(pairs) == 10
    bass = next(p for p in pairs if (p.published.condition, p.published.source) == ("binaural", "bass"))
    ssr = published.published_metrics()[0]
    assert bass.published.values["paper_SSR"] == 9.13
    own = found.table.get("binaural", "htdemucs_ft", "bass", ssr).estimate.value
    assert bass.difference(ssr) == pytest.approx(own - 9.13)


def test_published_files_are_complete() -> None:
    lines = published.published_medians()
    assert len(lines) == 44 + 11 + 3
    assert {line.source for line in lines} == {*STEMS, ALL_STEMS}
    assert {line.model for line in lines} == set(published.published_models())
