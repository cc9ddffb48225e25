"""Conditions as data: what a configuration may say, the run that it makes, and its statistics."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import mssbench
import numpy as np
import pytest
from command import command_here, refused
from mssbench.cli.conditions import read_condition
from mssbench.report.data import load
from mssbench.runs.conditions import Condition, listeners
from mssbench.runs.config import RunConfig, read_config
from mssbench.runs.plan import plan
from mssbench.runs.records import RunRecord
from mssbench.runs.store import Workspace
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import BadInput
from mssbench_service.wire import parse
from synth_service.heads import write_head

ROOM = {"size": [6.0, 4.0, 3.0], "rt60": 0.1, "position": [2.0, 2.0, 1.5], "distance": 1.5}


def config(*conditions: Any, **settings: Any) -> RunConfig:
    return parse(
        RunConfig,
        {"dataset": "music", "separators": ["oracle-mixture"], "conditions": list(conditions)} | settings,
    )


def planned(config: RunConfig, root: Path) -> RunRecord:
    return plan(config, make_runtime(root))


@pytest.mark.parametrize(
    ("settings", "run_id"),
    [
        ({}, "music-ba2b88a3a3"),
        ({"conditions": ["stereo"]}, "music-99cf0c2cd8"),
        ({"conditions": ["binaural"], "seed": 3, "profile": "paper"}, "music-11fbf8fcf0"),
    ],
)
def test_run_ids_of_version_0_2_stay(settings: dict[str, Any], run_id: str) -> None:
    assert RunConfig("data/music", **settings).run_id("files") == run_id


def test_a_condition_without_settings_is_its_name() -> None:
    as_data = config({"name": "stereo"}, {"name": "binaural"})
    assert as_data.run_id("files") == config("stereo", "binaural").run_id("files")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"hrir": "other.sofa"},
        {"placement": "moving"},
        {"angles": "table.json"},
        {"seeds": [1]},
        {"room": ROOM},
        {"interpolate": True},
        {"profile": "paper"},
        {"same_placement_as": "binaural"},
    ],
)
def test_every_setting_of_a_condition_is_part_of_the_run_id(change: dict[str, Any]) -> None:
    assert config("binaural", {"name": "one"} | change).run_id("f") != config(
        "binaural", {"name": "one"}
    ).run_id("f")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([{"name": "a"}, {"name": "A"}], "'A' is given twice"),
        ([{"name": "a/b"}], "expected up to 100 letters"),
        ([{"name": "a@1"}], "expected up to 100 letters"),
        ([{"name": "stereo", "room": ROOM}], "the dataset's own mixture; it has no room"),
        ([{"name": "a", "same_placement_as": "b"}], "'b', which is unknown; expected one of a"),
        (["stereo", {"name": "a", "same_placement_as": "stereo"}], "which has no placement"),
        (
            [{"name": "a", "same_placement_as": "b"}, {"name": "b", "same_placement_as": "a"}],
            "leads back to itself",
        ),
        ([{"name": "a", "same_placement_as": "b", "seeds": [1]}], "same_placement_as and seeds"),
        ([{"name": "a", "placement": "cube"}], "expected one of azimuths, sphere, moving, table"),
        ([{"name": "a", "elevations": [0, 10]}], "elevations, which is for the placement sphere"),
        ([{"name": "a", "placement": "sphere", "elevations": [60, -45]}], "the lowest and the highest"),
        ([{"name": "a", "placement": "moving", "speed_deg_s": [0, 60]}], "above 0"),
        ([{"name": "a", "placement": "moving", "room": ROOM}], "moving sources in a room"),
        ([{"name": "a", "placement": "table"}], "no table"),
        ([{"name": "a", "seeds": [1, 1]}], "different ones"),
        ([{"name": "a", "seeds": [0, 1], "angles": "table.json"}], "that of a table"),
        ([{"name": "a", "hrir": "http://x/y"}], "is a URL"),
        ([{"name": "a", "colour": "red"}], "colour: Unexpected keyword argument"),
        ([{"name": "a", "room": ROOM | {"rt6O": 1}}], "unknown setting 'rt6O'"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_in_one_line(conditions: list[Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        config(*conditions).validate()
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"placement": "sphere"}, "sphere has no directions off the horizontal plane"),
        ({"room": ROOM | {"size": [0.1, 4, 3]}}, "smaller than a head"),
        ({"room": ROOM | {"rt60": -1}}, "impossible"),
        ({"room": ROOM | {"distance": 5.0}}, "outside of the room"),
        ({"hrir": "no.sofa"}, "no.sofa"),
        ({"angles": "elevated.json"}, "no directions off the horizontal plane"),
        ({"angles": "over.json"}, "does not reach azimuth"),
        ({"hrir": "brir.sofa"}, "Hz and the HRIR set brir.sofa at 48000 Hz; give --resample-hrir"),
    ],
)
def test_what_a_set_or_a_room_lacks_is_found_before_anything_is_rendered(
    workspace: Path, condition: dict[str, Any], message: str
) -> None:
    titles = [folder.name for folder in (workspace / "music/test").iterdir()]
    places = {"drums": 10, "bass": 20, "other": 30}
    for name, vocals in (
        ("elevated", {"azimuth": 0, "elevation": 30}),
        ("over", {"trajectory": [[0, 0, 0], [1, 90, 40]]}),
    ):
        table = {"test": {title: {"vocals": vocals, **places} for title in titles}}
        (workspace / f"{name}.json").write_text(json.dumps(table))
    write_head(workspace / "brir.sofa")
    with h5py.File(workspace / "brir.sofa", "r+") as file:
        file["Data.SamplingRate"][...] = 48000.0
        file.attrs["SOFAConventions"] = "SingleRoomSRIR"
    with pytest.raises(mssbench.BenchError, match=message):
        planned(config({"name": "one", **condition}), workspace)
    assert not (workspace / "data").exists()


def test_a_toml_file_has_conditions_with_paths_relative_to_it(workspace: Path) -> None:
    (workspace / "runs.toml").write_text(
        'dataset = "music"\n[[conditions]]\nname = "stereo"\n[[conditions]]\nname = "own"\nhrir = "x.sofa"\n'
        "room = { size = [6, 4, 3], rt60 = 0.4, position = [2, 2, 1.5] }\n"
    )
    found = parse(RunConfig, read_config(workspace / "runs.toml"))
    assert found.condition_names == ["stereo", "own"]
    own = found.conditions[1]
    assert isinstance(own, Condition)
    assert (own.hrir, own.room and own.room.rt60) == (str(workspace / "x.sofa"), 0.4)
    (workspace / "bad.toml").write_text('dataset = "music"\n[[conditions]]\nname = "own"\nhirr = "x"\n')
    with pytest.raises(BadInput, match=r"the condition 'own': unknown setting 'hirr'; did you mean 'hrir'"):
        read_config(workspace / "bad.toml")


def test_placements_of_conditions(workspace: Path) -> None:
    record = planned(
        config(
            "stereo",
            "binaural",
            {"name": "replicated", "seeds": [0, 7]},
            {"name": "again", "same_placement_as": "replicated", "room": ROOM},
            {"name": "moving", "placement": "moving", "speed_deg_s": [50, 60]},
        ),
        workspace,
    )
    track = record.tracks[0]
    keys = ["stereo", "binaural", "replicated@0", "replicated@7", "again@0", "again@7", "moving"]
    assert [cell.condition for cell in record.cells_of(track.title)] == keys
    assert list(track.folders) == keys
    # The replicate with the run's seed is the condition `binaural`, also its rendering.
    assert track.folders["replicated@0"] == track.folders["binaural"]
    assert track.placements["replicated@0"].angles == track.angles != track.placements["replicated@7"].angles
    for seed in (0, 7):
        again = track.placements[f"again@{seed}"]
        assert again.angles == track.placements[f"replicated@{seed}"].angles
        assert again.scene is not None
        assert again.scene.room is not None
        assert again.scene.direct
        assert again.placed is not None
        assert set(again.placed.apart_deg.values()) == {0.0}
    moving = track.placements["moving"].scene
    assert moving is not None
    (time, azimuth, _), (later, then, _) = moving.trajectories["vocals"][:2]
    assert 49.9 < abs(then - azimuth) / (later - time) < 60.1
    assert record.hrirs["again"].name == "sphere"
    assert record.hrir is not None


def test_a_table_places_stems_off_the_set_and_the_distance_is_noted(workspace: Path) -> None:
    titles = [folder.name for folder in (workspace / "music/test").iterdir()]
    places = dict.fromkeys(("drums", "bass", "other"), 47) | {"vocals": {"trajectory": [[0, 0], [1, 90]]}}
    (workspace / "t.json").write_text(json.dumps({"test": dict.fromkeys(titles, places)}))
    track = planned(config({"name": "one", "placement": "table", "angles": "t.json"}), workspace).tracks[0]
    placed = track.placements["one"].placed
    assert placed is not None
    assert placed.apart_deg == {"drums": 2.0, "bass": 2.0, "other": 2.0}
    exact = config({"name": "one", "angles": "t.json", "interpolate": True})
    placed = planned(exact, workspace).tracks[0].placements["one"].placed
    assert placed is not None
    assert set(placed.apart_deg.values()) == {0.0}


@pytest.fixture
def run(workspace: Path, without_report: None) -> mssbench.BenchmarkRun:
    for folder in sorted((workspace / "music/test").iterdir())[1:]:
        shutil.rmtree(folder)
    return mssbench.run(
        config("stereo", {"name": "two", "seeds": [0, 1]}, {"name": "moving", "placement": "moving"}),
        metrics="corrected",
        bsseval=False,
    )


def test_replicates_are_averaged_within_a_track(run: mssbench.BenchmarkRun) -> None:
    assert run.status.state == "complete"
    assert not run.failures
    rows = [row for row in run.results if row["condition"].startswith("two@")]
    assert len(rows) == 2 * 4
    # Known values, one per replicate.
    for row in rows:
        path = run.folder / "cells" / row["condition"] / "oracle-mixture" / row["title"] / "result.json"
        content = json.loads(path.read_text())
        for one in content["rows"]:
            one["d_itd_us"] = 10.0 if row["condition"].endswith("0") else 30.0
        path.write_text(json.dumps({name: v for name, v in content.items() if name != "checksum"}))
    data = load(run.folder)
    assert data.conditions == ["stereo", "two", "moving"]
    np.testing.assert_array_equal(
        data.track_values("d_itd_us", "two", "oracle-mixture"), np.full((1, 4), 20.0)
    )
    assert data.counts(None, "two", "oracle-mixture").expected == 4
    summary = run.summary()
    score = next(
        one
        for one in summary["scores"]
        if one["condition"] == "two" and one["source"] == "all" and one["column"] == "d_itd_us"
    )
    assert (score["median"]["value"], score["median"]["n"], score["median"]["tracks"]) == (20.0, 4, 1)
    compared = {(one["first"], one["second"]) for one in summary["condition_differences"]}
    assert compared == {("two", "stereo"), ("moving", "stereo")}
    assert [one["condition"] for one in summary["run"]["renderings"]] == ["two", "moving"]


def test_a_condition_counts_a_track_only_when_all_replicates_have_scores(run: mssbench.BenchmarkRun) -> None:
    title = run.results[0]["title"]
    (run.folder / "cells/two@1/oracle-mixture" / title / "result.json").unlink()
    data = load(run.folder)
    counts = data.counts(None, "two", "oracle-mixture")
    assert (counts.expected, counts.valid, counts.pending) == (4, 0, 4)
    assert np.isnan(data.track_values("d_itd_us", "two", "oracle-mixture")).all()
    again = run.resume()
    assert again.status.state == "complete"


def test_settings_of_a_run_are_repeated_from_its_record(workspace: Path) -> None:
    given = config("binaural", {"name": "room", "room": ROOM})
    record = planned(given, workspace)
    store = Workspace(workspace).run(record.id)
    store.save(record)
    assert store.load().config == given == replace(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--condition", "a=placement=sphere"], "no directions off the horizontal plane"),
        (["--condition", "a=placment=sphere"], "did you mean 'placement'?"),
        (["--condition", "a=room={size=[6,4,3],rt60=90,position=[2,2,1]}"], "an RT60 of 90 s is impossible"),
        (["--condition", "a=same_placement_as=b"], "which is unknown"),
        (["--condition", "a=sphere", "--condition", "a=sphere"], "'a' is given twice"),
        (["--condition", "a=hrir=sphere,seeds"], "is not setting=value"),
        (["--conditions", "stereo", "--hrir", "sphere", "--hrir", "sphere"], "'binaural', which is unknown"),
    ],
)
def test_conditions_of_the_command_line_are_checked(
    workspace: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = command_here(monkeypatch, capsys)
    done = run("run", "--dataset", "music", "--separators", "oracle-mixture", "--inline", *options)
    assert message in refused(done)
    assert not (workspace / "runs").exists()


def test_conditions_on_the_command_line() -> None:
    assert read_condition("stereo") == "stereo"
    assert read_condition("b=set.sofa") == {"name": "b", "hrir": "set.sofa"}
    room = "r=room={size=[6,4,3],rt60=0.4,position=[2,2,1.5]},hrir=a b.sofa,interpolate=true"
    assert read_condition(room) == {
        "name": "r",
        "room": {"size": [6, 4, 3], "rt60": 0.4, "position": [2, 2, 1.5]},
        "hrir": "a b.sofa",
        "interpolate": True,
    }
    assert [one["name"] for one in listeners(["D1", "x/D 2.sofa"])] == ["binaural-D-2"]
