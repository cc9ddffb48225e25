"""Binaural room responses in the SOFA conventions in which they are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from mssbench_service.musdb import STEMS
from synth_service.hrir import describe, load_hrir
from synth_service.render import render_track

from .conftest import AZIMUTHS, RATE, Write, head, refused_hrir

TAPS = 2400  # 54 ms
SPEAKERS = (30, 330, 110, 250)


def brirs(azimuths: Any, seed: int = 0) -> npt.NDArray[np.float64]:
    """The simple head in a room: its direct sound, then decaying noise from 4 ms that has more energy."""
    rng = np.random.default_rng(seed)
    irs = np.zeros((len(azimuths), 2, TAPS))
    irs[:, :, :64] = head(azimuths)
    time = np.arange(TAPS - 200)
    irs[:, :, 200:] = 0.1 * rng.standard_normal((len(azimuths), 2, time.size)) * np.exp(-time / 600)
    return irs


def write_room(path: Path, convention: str, irs: npt.NDArray[np.float64], **fields: Any) -> Path:
    """Write a SOFA file; a field is its values, and its type of coordinates after the name (default: cartesian)."""
    with h5py.File(path, "w") as file:
        file.attrs["SOFAConventions"] = convention
        file.attrs["DataType"] = {"MultiSpeakerBRIR": "FIRE", "SingleRoomMIMOSRIR": "FIR-E"}.get(
            convention, "FIR"
        )
        file["Data.IR"] = irs
        file["Data.SamplingRate"] = [float(RATE)]
        if "ReceiverPosition" not in fields:
            fields["ReceiverPosition"] = np.array([[0, 0.09, 0], [0, -0.09, 0]])[:, :, None]
        for name, values in fields.items():
            name, _, kind = name.partition("__")
            file[name] = np.asarray(values, dtype=float)
            file[name].attrs["Type"] = kind or "cartesian"
            file[name].attrs["Units"] = "degree, degree, metre" if kind == "spherical" else "metre"
    return path


def circle(azimuths: Any, radius: float = 2.0) -> npt.NDArray[np.float64]:
    angles = np.radians(azimuths)
    return radius * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)


def test_a_source_that_moves_around_a_listener_in_the_room(tmp_path: Path) -> None:
    listener = np.array([3.0, 2.0, 1.2])
    path = write_room(
        tmp_path / "set.sofa",
        "SingleRoomSRIR",
        brirs(AZIMUTHS),
        ListenerPosition=[listener],
        ListenerView=[[0.0, 1.0, 0.0]],
        SourcePosition=listener + circle(np.add(AZIMUTHS, 90)) + [0.0, 0.0, 0.1],
    )
    hrir = load_hrir(path)
    assert hrir.room
    assert np.allclose(hrir.azimuths, AZIMUTHS)
    assert np.array_equal(hrir.irs, brirs(AZIMUTHS))
    info = describe(hrir, curves=True)
    assert (info.room, info.convention) == (True, "SingleRoomSRIR")
    assert info.distances == pytest.approx([2.002, 2.002])
    # The differences of the direct sound are those of the head alone.
    assert info.itd_90_us == pytest.approx(10 / RATE * 1e6, abs=1)
    assert info.ild_90_db == pytest.approx(20 * np.log10(2), abs=1e-3)


def test_a_listener_who_turns_in_front_of_a_loudspeaker(tmp_path: Path) -> None:
    views = np.column_stack([[-a for a in AZIMUTHS], np.zeros(12), np.ones(12)])
    path = write_room(
        tmp_path / "set.sofa",
        "SingleRoomDRIR",
        brirs(AZIMUTHS),
        ListenerPosition=[[1.0, 1.0, 0.0]],
        ListenerView__spherical=views,
        SourcePosition=[[3.0, 1.0, 0.0]],
    )
    hrir = load_hrir(path)
    assert np.allclose(hrir.azimuths, AZIMUTHS)
    assert np.array_equal(hrir.irs, brirs(AZIMUTHS))


@pytest.mark.parametrize("convention", ["MultiSpeakerBRIR", "SingleRoomMIMOSRIR"])
def test_several_loudspeakers_and_views(tmp_path: Path, convention: str) -> None:
    views = (0, 20, 60)  # the second listens where it measures azimuths 10, 310, … ; 60 repeats 330 and 50
    azimuths = np.array([[(speaker - view) % 360 for speaker in SPEAKERS] for view in views])
    irs = brirs(azimuths.ravel()).reshape(3, 4, 2, TAPS)
    irs = np.moveaxis(irs, 2, 1) if convention == "MultiSpeakerBRIR" else np.moveaxis(irs, 1, 3)
    path = write_room(
        tmp_path / "set.sofa",
        convention,
        irs,
        SourcePosition=[[0.0, 0.0, 0.0]],
        EmitterPosition=circle(SPEAKERS)[:, :, None],
        ListenerPosition=[[0.0, 0.0, 0.0]],
        ListenerView=circle(views, 1.0),
    )
    hrir = load_hrir(path)
    used = np.unique(azimuths)
    assert np.allclose(hrir.azimuths, used)
    expected = brirs(azimuths.ravel())[[list(azimuths.ravel()).index(a) for a in used]]
    assert np.allclose(hrir.irs, expected)
    assert hrir.notes == (f"{12 - used.size} further measurements of the same directions left out",)


def test_loudspeakers_follow_the_position_and_view_of_the_source(tmp_path: Path) -> None:
    path = write_room(
        tmp_path / "set.sofa",
        "SingleRoomMIMOSRIR",
        np.moveaxis(brirs((60, 300))[None], 1, 3),
        SourcePosition=[[2.0, 0.0, 0.0]],
        SourceView=[[-1.0, 0.0, 0.0]],
        SourceUp=[[0.0, 0.0, 1.0]],
        EmitterPosition=[[1.0, -np.sqrt(3.0), 0.0], [1.0, np.sqrt(3.0), 0.0]],
        ListenerPosition=[[0.0, 0.0, 0.0]],
        ListenerView=[[1.0, 0.0, 0.0]],
    )
    assert np.allclose(load_hrir(path).azimuths, [60, 300])


def test_room_responses_that_call_themselves_hrirs(tmp_path: Path, write_sofa: Write) -> None:
    """Four azimuths, and no distances; the ears are told by the direct sound, although the reverberation is louder."""
    azimuths = (0, 180, 270, 90)
    irs = brirs(azimuths)
    irs[2:, :, 200:] *= np.array([[3.0, 1.0], [1.0, 3.0]])[:, :, None]
    positions = np.array([[a, 0, float(a == 0)] for a in azimuths])
    hrir = load_hrir(write_sofa(azimuths=azimuths, irs=irs, SourcePosition=positions))
    assert hrir.room
    assert hrir.azimuths.tolist() == [0, 90, 180, 270]
    swapped = write_sofa("swapped.sofa", azimuths=azimuths, irs=irs[:, ::-1])
    assert np.array_equal(load_hrir(swapped).irs, hrir.irs)
    assert not load_hrir("sphere").room


def test_a_room_without_lateral_directions_is_refused(tmp_path: Path, write_sofa: Write) -> None:
    path = write_sofa(azimuths=(0, 10, 350), irs=brirs((0, 10, 350)))
    assert "no direction whose direct sound shows which ear is which" in refused_hrir(path)


def test_the_evaluation_of_a_long_room_compares_with_its_direct_sound(
    write_sofa: Write, write_track: Write, tmp_path: Path
) -> None:
    irs = np.pad(brirs((0, 90, 180, 270)), ((0, 0), (0, 0), (0, 4000)))
    hrir = load_hrir(write_sofa(azimuths=(0, 90, 180, 270), irs=irs))
    angles = dict(zip(STEMS, (0.0, 90.0, 180.0, 270.0), strict=True))
    result = render_track(write_track(), tmp_path / "out", hrir, angles)
    assert result.samples == 3000 + irs.shape[2] - 1
    with np.load(tmp_path / "out" / "hrir.npz") as kept:
        assert kept["irs"].shape[2] < 0.01 * RATE
        assert np.allclose(kept["irs"][:, :, :64], irs[:, :, :64])
