"""Azimuths: drawn reproducibly, or read from a table in the format of the paper's authors."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from mssbench.datasets.angles import (
    CHOICES,
    draw_angles,
    draw_directions,
    draw_trajectories,
    drawable,
    read_placements,
)
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.musdb import STEMS
from mssbench_service.wire import HrirInfo

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
ANGLES = {"vocals": 300, "bass": 10, "drums": 80, "other": 70}


def write_table(path: Path, table: object) -> Path:
    path.write_text(json.dumps(table), encoding="utf-8")
    return path


def read(path: Path, title: str = "title") -> dict[str, float]:
    return read_placements(path, "test", [title])[title].angles


def test_drawn_angles_are_four_different_choices_which_are_drawn_about_equally_often() -> None:
    assert CHOICES == (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 270, 280, 290, 300, 310, 320, 330, 340, 350)
    counts = dict.fromkeys(map(float, CHOICES), 0)
    for number in range(2000):
        drawn = draw_angles(f"track {number}", seed=0)
        assert list(drawn) == list(STEMS)
        assert len(set(drawn.values())) == 4
        for angle in drawn.values():
            counts[angle] += 1
    expected = 4 * 2000 / len(CHOICES)
    assert all(abs(count - expected) < 0.25 * expected for count in counts.values()), counts


def test_drawn_angles_depend_only_on_title_and_seed() -> None:
    assert draw_angles("a", 3) == draw_angles("a", 3)
    assert draw_angles("a", 3) != draw_angles("a", 4)
    assert draw_angles("a", 3) != draw_angles("b", 3)
    assert draw_angles(DECOMPOSED, 0) == draw_angles(COMPOSED, 0)


def test_the_table_is_read_for_the_given_split_and_titles_in_any_normal_form(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.json", {"test": {COMPOSED: ANGLES, "else": {}}, "train": {}})
    assert read(table, DECOMPOSED) == {stem: float(angle) for stem, angle in ANGLES.items()}
    table.write_text("\ufeff" + table.read_text(encoding="utf-8"), encoding="utf-8")  # some editors add it
    assert read(table, COMPOSED)["vocals"] == 300.0


@pytest.mark.parametrize("angle", [-90, 270.0, 630, -450])
def test_angles_are_reduced_to_0_to_360_degrees(tmp_path: Path, angle: float) -> None:
    table = write_table(tmp_path / "angles.json", {"test": {"title": ANGLES | {"bass": angle}}})
    assert read(table)["bass"] == 270.0


def test_two_normal_forms_of_a_title_must_have_equal_angles(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a.json", {"test": {COMPOSED: ANGLES, DECOMPOSED: ANGLES}})
    assert read(table, COMPOSED) == read(table, DECOMPOSED)
    write_table(table, {"test": {COMPOSED: ANGLES, DECOMPOSED: ANGLES | {"bass": 20}}})
    with pytest.raises(BadInput, match="two entries"):
        read(table, COMPOSED)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 5000, b"", b"{", b"\xff\xfe not json", None])
def test_a_missing_or_unreadable_table_is_refused_with_the_file_name(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "angles.json").write_bytes(content)
    says = "does not exist" if content is None else "is not a readable JSON file"
    with pytest.raises((BadInput, NotFound), match=rf"angles\.json {says}"):
        read(tmp_path / "angles.json")


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BadInput, match="the seed -1 is negative"):
        draw_angles("a", -1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "has no 'test' table"),
        ({"train": {}}, "has no 'test' table"),
        ({"test": {"other title": ANGLES}}, "no angles for the test track 'title'"),
        ({"test": {"title": ANGLES, "../title": ANGLES}}, "called '../title'; expected a plain name"),
        ({"test": {"title": {**ANGLES, "bass": "left"}}}, "'left' as angle of bass"),
        ({"test": {"title": {k: v for k, v in ANGLES.items() if k != "bass"}}}, "None as angle of bass"),
        ({"test": {"title": {**ANGLES, "bass": True}}}, "True as angle of bass"),
        ({"test": {"title": {**ANGLES, "bass": float("nan")}}}, "NaN is not a number in JSON"),
        ({"test": {"title": {**ANGLES, "bass": float("inf")}}}, "Infinity is not a number in JSON"),
        ({"test": {"title": {**ANGLES, "bass": 10**400}}}, "as angle of bass"),
        ({"test": {"title": {**ANGLES, "bass": 1e5}}}, "100000.0 as angle of bass"),
    ],
)
def test_an_invalid_table_is_refused_with_its_path(tmp_path: Path, table: object, message: str) -> None:
    path = write_table(tmp_path / "angles.json", table)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert message in caught.value.detail
    assert str(path) in caught.value.detail


def test_azimuths_are_drawn_from_what_the_set_has() -> None:
    """A set that has the usual azimuths changes nothing, whatever else it has."""
    coarse = [float(azimuth) for azimuth in range(0, 360, 15)]
    fine = [float(azimuth) for azimuth in range(0, 360, 5)]
    frontal = [azimuth for azimuth in coarse if azimuth <= 90 or azimuth >= 270]
    assert drawable(_set(coarse)) == frontal
    counts = dict.fromkeys(frontal, 0)
    for number in range(500):
        drawn = draw_angles(f"track {number}", 0, drawable(_set(coarse)))
        assert len(set(drawn.values())) == 4
        for angle in drawn.values():
            counts[angle] += 1
        usual = draw_angles(f"track {number}", 0)
        assert draw_angles(f"track {number}", 0, drawable(_set(fine))) == usual
        if set(usual.values()) <= set(coarse):
            assert drawn == usual
    assert min(counts.values()) > 0.75 * 2000 / len(frontal)


def test_a_room_with_four_loudspeakers_is_drawn_from_all_of_them() -> None:
    square = [0.0, 90.0, 180.0, 270.0]
    assert sorted(draw_angles("a", 0, drawable(_set(square, room=True))).values()) == square
    assert draw_angles("a", 0, drawable(_set(square))) == draw_angles("a", 0)  # which the set lacks


GRID = [(float(a), float(e)) for e in range(-40, 91, 10) for a in range(0, 360, 10)]
SPHERE = HrirInfo("ball", "", 44100, 256, [a for a, _ in GRID], 0.0, 0.0, elevations=[e for _, e in GRID])


def test_directions_are_drawn_evenly_over_the_sphere() -> None:
    """A grid of 10° has as many directions near the pole as at the horizon."""
    drawn = [draw_directions(f"track {number}", 0, SPHERE, [-40, 90]) for number in range(300)]
    assert all(len(set(one.values())) == 4 for one in drawn)
    assert (
        draw_directions("track 7", 0, SPHERE, [90, -40]) == drawn[7] != draw_directions("track 7", 1, SPHERE)
    )
    places = [place for one in drawn for place in one.values()]
    assert set(places) <= set(GRID)
    above = sum(elevation > 25 for _, elevation in places) / len(places)
    expected = (1 - np.sin(np.radians(25))) / (1 + np.sin(np.radians(40)))
    assert above == pytest.approx(expected, abs=0.05)
    low = draw_directions("a", 0, SPHERE, [-40, -40])
    assert {elevation for _, elevation in low.values()} == {-40.0}
    with pytest.raises(
        BadInput, match="ball has 0 directions at elevations from -80° to -60°; expected at least 4"
    ):
        draw_directions("a", 0, SPHERE, [-80, -60])


def test_few_directions_are_all_drawn() -> None:
    square = [0.0, 0.001, 90.0, 180.0]
    assert sorted(azimuth for azimuth, _ in draw_directions("a", 0, _set(square)).values()) == square


def test_trajectories_keep_to_their_speeds() -> None:
    drawn = draw_trajectories("a", 3, 60.0, [10, 60])
    assert drawn == draw_trajectories("a", 3, 60.0, [10, 60]) != draw_trajectories("b", 3, 60.0, [10, 60])
    longer = draw_trajectories("a", 3, 90.0, [10, 60])
    for stem, points in drawn.items():
        assert longer[stem][: len(points)] == points
        time, azimuth, elevation = np.array(points).T
        assert time[0] == 0 < 60 <= time[-1]
        assert not elevation.any()
        arcs = np.abs(np.diff(azimuth))
        assert np.all((arcs >= 30) & (arcs <= 180))
        speed = arcs / np.diff(time)
        assert np.all((speed >= 10 - 1e-9) & (speed <= 60 + 1e-9))
    with pytest.raises(BadInput, match="expected them above zero"):
        draw_trajectories("a", 3, 60.0, [0, 60])


def _set(azimuths: list[float], room: bool = False) -> HrirInfo:
    return HrirInfo("set", "", 44100, 256, azimuths, 700.0, 10.0, room=room)
