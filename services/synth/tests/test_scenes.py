"""Renderings with elevations, movements and rooms."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from mssbench_service.errors import BadInput, TooLarge
from mssbench_service.files import DataRoot
from mssbench_service.musdb import STEMS
from mssbench_service.wire import RenderRequest, Room, Scene, SceneResult, parse
from synth_service import steps
from synth_service.hrir import HrirSet, load_hrir
from synth_service.render import render_track
from synth_service.rooms import response

from .conftest import ANGLES, RATE, SPHERE, Write
from .test_moving import BALL
from .test_room_sets import brirs

ROOM = Room([6.0, 4.0, 3.0], 0.2, [2.0, 2.0, 1.5], 1.5)


def rendered(folder: Path, name: str) -> Any:
    return sf.read(str(folder / f"{name}.wav"), always_2d=True)[0].T


def test_a_scene_at_rest_is_the_usual_rendering(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    render_track(track, tmp_path / "usual", SPHERE, ANGLES)
    result = render_track(track, tmp_path / "scene", SPHERE, ANGLES, scene=Scene())
    assert isinstance(result, SceneResult)
    assert result.placed.apart_deg == dict.fromkeys(STEMS, 0.0)
    for name in (*STEMS, "mixture"):
        assert (tmp_path / "usual" / f"{name}.wav").read_bytes() == (
            tmp_path / "scene" / f"{name}.wav"
        ).read_bytes()
    usual, scene = (
        json.loads((tmp_path / name / "metadata.json").read_text()) for name in ("usual", "scene")
    )
    assert {"scene", "placed"} == scene.keys() - usual.keys()
    assert parse(SceneResult, {key: value for key, value in scene.items() if key != "version"}) == result


def test_elevated_stems_use_the_nearest_direction(write_track: Write, tmp_path: Path) -> None:
    angles = {"vocals": 2.0, "drums": 90.0, "bass": 45.0, "other": 200.0}
    scene = Scene(elevations={"drums": 42.0, "bass": 90.0, "other": -28.0})
    result = render_track(write_track(), tmp_path / "out", BALL, angles, scene=scene)
    assert isinstance(result, SceneResult)
    assert result.placed.directions == {
        "vocals": [0.0, 0.0], "drums": [80.0, 40.0], "bass": [0.0, 90.0], "other": [200.0, -20.0]
    }  # fmt: skip
    assert result.placed.apart_deg["vocals"] == 2.0
    assert [note[:40] for note in result.placed.notes] == [
        "drums is at azimuth 80°, elevation 40°, 7"[:40],
        "other is at azimuth 200°, elevation -20°, 8.0°"[:40],
    ]
    with np.load(tmp_path / "out" / "hrir.npz") as kept:  # for the evaluation: the horizontal plane
        assert kept["azimuths"].tolist() == list(range(0, 360, 20))
        off = list(zip(kept["off_azimuths"], kept["off_elevations"], strict=True))  # and the others
        assert kept["off_irs"].shape == (len(off), *kept["irs"].shape[1:])
    assert BALL.elevations is not None
    every = sorted(zip(BALL.azimuths, BALL.elevations, strict=True))
    assert sorted([*off, *((azimuth, 0.0) for azimuth in range(0, 360, 20))]) == every


def test_one_stem_moves(write_track: Write, tmp_path: Path) -> None:
    """The others stay as they are, and the mixture is the sum."""
    track = write_track(samples=40000)
    usual = render_track(track, tmp_path / "usual", SPHERE, ANGLES, "paper")
    path = [[0.0, 90.0, 0.0], [1.0, 270.0, 0.0]]
    scene = Scene(trajectories={"bass": path})
    result = render_track(track, tmp_path / "out", SPHERE, ANGLES, "paper", scene=scene)
    assert result.samples == usual.samples
    assert isinstance(result, SceneResult)
    assert "bass" not in result.placed.directions
    signals = {name: rendered(tmp_path / "out", name) for name in (*STEMS, "mixture")}
    for stem in ("vocals", "drums", "other"):
        assert np.array_equal(signals[stem], rendered(tmp_path / "usual", stem))
    ratios = [
        10 * np.log10(np.divide(*np.sum(signals["bass"][:, part] ** 2, axis=1)))
        for part in (slice(5000), slice(-5000, None))
    ]
    assert ratios[0] > 5
    assert ratios[1] < -4


def test_the_direct_sound_of_a_measured_room_is_kept(
    write_sofa: Write, write_track: Write, tmp_path: Path
) -> None:
    azimuths = (0, 90, 180, 270)
    hrir = load_hrir(write_sofa(azimuths=azimuths, irs=brirs(azimuths)))
    angles = dict(zip(STEMS, map(float, azimuths), strict=True))
    track = write_track()
    render_track(track, tmp_path / "out", hrir, angles, scene=Scene(direct=True))
    gain = json.loads((tmp_path / "out" / "metadata.json").read_text())["peak"]
    mono = sf.read(str(track / "drums.wav"))[0].mean(axis=1)
    for ear, direct in zip(
        rendered(tmp_path / "out", "drums.direct"), brirs(azimuths)[1, :, :120], strict=True
    ):
        direct[64:] = 0.0
        assert np.allclose(ear[:3000], np.convolve(mono, direct)[:3000] / gain, atol=1e-6)
    # It belongs to the rendering, and goes with it.
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    assert not list((tmp_path / "out").glob("*.direct.wav"))


def test_a_room_without_reverberation_is_the_direct_sound(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    render_track(track, tmp_path / "usual", SPHERE, ANGLES)
    for rt60 in (0.0, 1e-4):
        scene = Scene(room=Room(ROOM.size, rt60, ROOM.position, 1.5), direct=True)
        render_track(track, tmp_path / "out", SPHERE, ANGLES, scene=scene)
        for name in (*STEMS, "mixture"):
            usual = rendered(tmp_path / "usual", name)
            assert np.allclose(rendered(tmp_path / "out", name)[:, : usual.shape[1]], usual, atol=1e-6)
            if name != "mixture":
                assert np.allclose(
                    rendered(tmp_path / "out", f"{name}.direct")[:, : usual.shape[1]], usual, atol=1e-6
                )


@pytest.mark.parametrize("rt60", [0.15, 0.3])
def test_a_simulated_room_has_its_reverberation_time(rt60: float) -> None:
    whole, direct = response(Room(ROOM.size, rt60, ROOM.position, 1.5), SPHERE, 30.0)
    whole[:, : direct.shape[1]] -= direct
    decay = np.cumsum(np.sum(whole**2, axis=0)[::-1])[::-1]
    level = 10 * np.log10(decay / decay[0] + 1e-20)
    assert 2 * (np.argmax(level < -35) - np.argmax(level < -5)) / RATE == pytest.approx(rt60, rel=0.1)


def test_the_first_reflection_comes_from_its_wall() -> None:
    """From the wall at the right, 1 m away: a path of 2.83 m instead of 2 m, from azimuth −45°."""
    room = Room([20.0, 11.0, 20.0], 1.0, [5.0, 1.0, 10.0], 2.0)
    whole, direct = response(room, SPHERE, 0.0)
    whole[:, : direct.shape[1]] -= direct
    start = round((2 * np.sqrt(2) - 2) / 343 * RATE)
    reflection = whole[:, start : start + 150]
    nearest = SPHERE.at(-45)[:, :150]
    match = [np.sum(reflection * ir[:, :150]) / np.linalg.norm(ir[:, :150]) for ir in SPHERE.irs]
    # The sphere does not tell front from back.
    assert np.sin(np.radians(SPHERE.azimuths[np.argmax(match)])) == pytest.approx(
        np.sin(np.radians(-45)), abs=0.08
    )
    assert np.linalg.norm(reflection) < np.linalg.norm(nearest) * 2 / (2 * np.sqrt(2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": [6.0, 0.15, 3.0]}, "the room of 6 x 0.15 x 3 m is smaller than a head"),
        ({"size": [6.0, 4.0]}, "three numbers"),
        ({"rt60": float("nan")}, "an RT60 of nan s is impossible"),
        ({"rt60": -0.1}, "an RT60 of -0.1 s is impossible"),
        ({"rt60": 60.0}, "an RT60 of 60 s is impossible"),
        ({"rt60": 5.0}, "image sources; at most"),
        ({"distance": 0.01}, "the sources are at 0.01 m"),
        ({"distance": 5.0}, "is outside of the room"),
        ({"position": [7.0, 2.0, 1.5]}, "is not in the room"),
    ],
)
def test_an_impossible_room_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises((BadInput, TooLarge)) as caught:
        response(Room(**(asdict(ROOM) | change)), SPHERE, 0.0)
    assert says in caught.value.detail
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("scene", "hrir", "says"),
    [
        (Scene(elevations={"bass": 30.0}), SPHERE, "sphere has no directions off the horizontal plane"),
        (Scene(elevations={"bass": 100.0}), BALL, "the elevation of bass is 100.0; expected -90 to 90 degrees"),
        (Scene(elevations={"guitar": 0.0}), BALL, "the scene names guitar; expected"),
        (Scene(trajectories={"bass": [[0.0, 0.0, 20.0]]}), SPHERE, "sphere does not reach azimuth 0°, elevation 20°"),
        (Scene(trajectories={"bass": [[1.0, 0.0], [0.0, 1.0]]}), SPHERE, "the trajectory of bass is not in the order"),
        (Scene(trajectories={"bass": [[0.0, 0.0]]}, room=ROOM), SPHERE, "moving sources in a room are not supported"),
    ],
)  # fmt: skip
def test_an_impossible_scene_is_refused_before_anything_is_written(
    scene: Scene, hrir: HrirSet, says: str, write_track: Write, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        render_track(write_track(), tmp_path / "out", hrir, ANGLES, scene=scene)
    assert says in caught.value.detail
    assert not (tmp_path / "out").exists()


def test_a_scene_is_requested_as_json(write_track: Write, write_sofa: Write, tmp_path: Path) -> None:
    track = write_track()
    body = {
        "track": str(track.relative_to(tmp_path)),
        "out": "out",
        "hrir": "sphere",
        "angles": ANGLES,
        "scene": {"trajectories": {"bass": [[0, 0], [1, 90]]}, "interpolate": True},
    }
    request = parse(RenderRequest, body)
    result = steps.render(DataRoot(tmp_path), request)
    assert isinstance(result, SceneResult)
    assert result.scene == Scene(trajectories={"bass": [[0, 0], [1, 90]]}, interpolate=True)
