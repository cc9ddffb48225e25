"""Planning: records, ids, and errors in the input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from mssbench.runs.config import RunConfig
from mssbench.runs.plan import choose_separators, plan
from mssbench.runs.records import RunRecord
from mssbench.services.health import ServiceHealth
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import BadInput, NotFound, Unavailable
from mssbench_service.wire import SeparatorInfo

CONFIG = RunConfig(dataset="music", separators=["oracle-irm", "oracle-identity"])

OFFERED = [
    ServiceHealth("alpha", separators=[SeparatorInfo("alpha", "one model")]),
    ServiceHealth("many", separators=[SeparatorInfo("many-a", ""), SeparatorInfo("many-b", "")]),
    ServiceHealth("gone", state="not ready", reason="no weights; run fetch"),
]


def planned(config: RunConfig, root: Path) -> RunRecord:
    return plan(config, make_runtime(root))


def test_a_run_has_a_cell_per_condition_separator_and_track(workspace: Path) -> None:
    record = planned(CONFIG, workspace)
    cells = record.cells()
    assert len(cells) == len(set(cells)) == 2 * 2 * 2
    assert {cell.condition for cell in cells} == {"stereo", "binaural"}
    assert [track.title for track in record.tracks] == sorted(track.title for track in record.tracks)


def test_planning_writes_nothing(workspace: Path) -> None:
    before = sorted(workspace.rglob("*"))
    planned(CONFIG, workspace)
    assert sorted(workspace.rglob("*")) == before


def test_the_same_command_over_the_same_files_is_the_same_run(workspace: Path) -> None:
    assert planned(CONFIG, workspace).id == planned(CONFIG, workspace).id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"profile": "paper"},
        {"separators": ["oracle-irm"]},
        {"conditions": ["stereo"]},
        {"tracks": 1},
    ],
)
def test_another_configuration_is_another_run(workspace: Path, change: dict[str, Any]) -> None:
    assert planned(replace(CONFIG, **change), workspace).id != planned(CONFIG, workspace).id


def test_changed_audio_is_another_run_and_another_rendering(workspace: Path) -> None:
    before = planned(CONFIG, workspace)
    vocals = next(workspace.glob("music/test/*/vocals.wav"))
    signal, rate = sf.read(vocals)
    sf.write(vocals, signal * 0.5, rate)
    after = planned(CONFIG, workspace)
    assert after.id != before.id
    changed = after.track(vocals.parent.name).folders
    assert changed["binaural"] != before.track(vocals.parent.name).folders["binaural"]
    assert changed["stereo"] == before.track(vocals.parent.name).folders["stereo"]


def test_angles_do_not_depend_on_the_number_of_tracks(workspace: Path) -> None:
    whole, first = planned(CONFIG, workspace), planned(replace(CONFIG, tracks=1), workspace)
    assert [first.tracks[0].angles] == [whole.tracks[0].angles]
    assert len(first.tracks) == 1


def test_stereo_alone_needs_no_hrir(workspace: Path) -> None:
    record = planned(replace(CONFIG, conditions=["stereo"], hrir="no such set"), workspace)
    assert record.hrir is None
    assert all(list(track.folders) == ["stereo"] for track in record.tracks)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": "nowhere"}, "'nowhere' does not exist"),
        ({"hrir": "nowhere.sofa"}, "'nowhere.sofa' does not exist"),
        ({"angles": "nowhere.json"}, "'nowhere.json' does not exist"),
        ({"separators": ["oracle-irn"]}, "unknown separator 'oracle-irn'; did you mean 'oracle-irm'?"),
        ({"separators": ["zzz"]}, "unknown separator 'zzz'; known: "),
        ({"separators": ["oracle-irm", "oracle-irm"]}, "'oracle-irm' is given twice"),
        ({"conditions": []}, "no condition"),
        ({"conditions": ["mono"]}, "unknown condition 'mono'"),
        ({"profile": "best"}, "unknown profile 'best'"),
        ({"split": "valid"}, "unknown split 'valid'"),
        ({"tracks": 0}, "tracks is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(workspace: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises((BadInput, NotFound)) as caught:
        planned(replace(CONFIG, **change), workspace)
    assert says in caught.value.detail
    assert "\n" not in caught.value.detail


def test_an_angle_that_the_hrir_set_lacks_is_named_with_the_nearest(workspace: Path) -> None:
    titles = [path.name for path in sorted((workspace / "music/test").iterdir())]
    angles = {"vocals": 2.0, "drums": 90, "bass": 270, "other": 30}
    (workspace / "a.json").write_text(json.dumps({"test": dict.fromkeys(titles, angles)}))
    with pytest.raises(BadInput, match=r"no azimuth 2°, the angle of vocals of .*; the nearest is 0°"):
        planned(replace(CONFIG, angles="a.json"), workspace)


def test_the_name_of_a_service_selects_all_its_separators() -> None:
    assert [s.name for s in choose_separators(["many", "alpha"], OFFERED)] == ["many-a", "many-b", "alpha"]
    assert [s.name for s in choose_separators(["many-b"], OFFERED)] == ["many-b"]


def test_an_unavailable_separator_is_kept_with_its_reason_and_has_no_cells() -> None:
    chosen = choose_separators([], OFFERED)
    assert [s.name for s in chosen] == ["alpha", "many-a", "many-b", "gone"]
    assert (chosen[-1].status, chosen[-1].reason) == ("unavailable", "no weights; run fetch")


def test_a_run_without_any_available_separator_is_refused() -> None:
    with pytest.raises(Unavailable, match="no weights; run fetch"):
        choose_separators(["gone"], OFFERED)


@pytest.mark.parametrize("asked", [["alpha"], []])
def test_a_separator_that_two_services_offer_is_refused(asked: list[str]) -> None:
    (second,) = [one for one in OFFERED if one.name == "alpha"]
    with pytest.raises(BadInput, match="'alpha' is offered 2 times, by alpha, second"):
        choose_separators(asked, [*OFFERED, replace(second, name="second")])
    assert choose_separators(["many"], [*OFFERED, replace(second, name="second")])
