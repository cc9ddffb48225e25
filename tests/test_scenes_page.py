"""docs/scenes.md: its examples are one configuration, and its table of places is read."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import mssbench
import pytest
from mssbench.datasets.angles import read_placements
from mssbench.runs.conditions import Condition
from mssbench.runs.config import RunConfig, read_config, with_references
from mssbench.runs.plan import plan
from mssbench.services.runtime import make_runtime
from mssbench_service.wire import parse
from synth_service.heads import write_head
from synth_service.hrir import interaural, load_hrir

PAGE = Path(__file__).parents[1] / "docs/scenes.md"
CONDITIONS = ["stereo", "binaural", "elevated", "moving", "room", "listener-2", "replicated"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def config(workspace: Path) -> Path:
    write_head(workspace / "head.sofa")
    write_head(workspace / "large-head.sofa", 0.0975)
    (workspace / "run.toml").write_text("tracks = 1\n" + "\n".join(blocks("toml")), encoding="utf-8")
    return workspace / "run.toml"


def test_the_examples_of_the_page_can_be_run(config: Path) -> None:
    runtime = make_runtime(config.parent)
    chosen = parse(RunConfig, with_references(read_config(config), runtime.root))
    record = plan(chosen, runtime)
    assert record.conditions == CONDITIONS
    track = record.tracks[0]
    elevated = track.placements["elevated"]
    assert elevated.scene is not None
    assert all(-45 <= elevation <= 60 for elevation in elevated.scene.elevations.values())
    assert track.placements["listener-2"].angles == track.angles


@pytest.mark.long
def test_the_examples_of_the_page_run(config: Path) -> None:
    run = mssbench.run(config)
    assert run.status.state == "complete"
    assert not run.failures
    assert [one["condition"] for one in run.summary()["run"]["renderings"]] == CONDITIONS[2:]


def test_the_page_names_every_setting_of_a_condition() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [setting.name for setting in fields(Condition)]


def test_the_table_of_the_page_is_read(tmp_path: Path) -> None:
    (table,) = blocks("json")
    (tmp_path / "table.json").write_text(table, encoding="utf-8")
    assert json.loads(table)
    placement = read_placements(tmp_path / "table.json", "test", ["Some Song"])["Some Song"]
    assert placement.angles == {"vocals": 30.0, "drums": 330.0, "bass": 0.0, "other": 270.0}
    assert placement.scene.elevations == {"drums": 45.0}
    assert placement.scene.trajectories["bass"][-1] == [6.0, 90.0, 20.0]


def test_a_spherical_head_has_the_differences_of_the_cone_of_confusion(tmp_path: Path) -> None:
    write_head(tmp_path / "head.sofa")
    hrir, sphere = load_hrir(tmp_path / "head.sofa", sphere=True), load_hrir("sphere")
    above, _ = hrir.nearest(90.0, 60.0)
    assert interaural(hrir.irs[above], 44100) == interaural(sphere.at(30.0), 44100)
    front, _ = hrir.nearest(40.0)
    assert (hrir.irs[front] == sphere.at(40.0)).all()
