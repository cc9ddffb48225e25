"""HRIR sets in general: checks, description, the nearest azimuth, another sample rate.

Other sets that are refused are in ``tests/bad_input``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from mssbench_service.errors import BadInput, TooLarge
from synth_service.hrir import HrirSet, describe, great_circle, interaural, load_hrir

from .conftest import AZIMUTHS, RATE, SWAPPED, Write, head, refused_hrir


@pytest.fixture(params=["sadie", "sofa"])
def write_any(request: pytest.FixtureRequest, write_sadie: Write, write_sofa: Write) -> Write:
    """Write a set in either format."""
    return write_sadie if request.param == "sadie" else write_sofa


@pytest.fixture
def any_set(write_any: Write) -> Path:
    """The toy head, written in either format."""
    return write_any()


def test_both_formats_give_the_same_set(write_sadie: Write, write_sofa: Write) -> None:
    folder, file = load_hrir(write_sadie()), load_hrir(write_sofa())
    for hrir in (folder, file):
        assert np.array_equal(hrir.azimuths, AZIMUTHS)
        assert np.allclose(hrir.irs, head(), atol=1e-7)
        assert (hrir.sample_rate, hrir.resampled_from) == (RATE, None)
    assert (folder.name, file.name) == ("D1", "set.sofa")


def test_a_set_is_described(any_set: Path) -> None:
    info = describe(load_hrir(str(any_set)))
    assert info.itd_90_us == pytest.approx(10 / RATE * 1e6, abs=1)
    assert info.ild_90_db == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert info.taps == 64
    assert info.azimuths == list(map(float, AZIMUTHS))
    assert info.itd_us == info.left_db == info.right_db == []


def test_curves_describe_every_azimuth(any_set: Path) -> None:
    hrir = load_hrir(any_set)
    info = describe(hrir, curves=True)
    assert info.itd_us[3] == info.itd_90_us == -info.itd_us[9]
    assert info.left_db[3] - info.right_db[3] == pytest.approx(info.ild_90_db)
    assert max(info.left_db + info.right_db) == 0.0
    assert info.left_db == pytest.approx([10 * np.log10(np.sum(ir[0] ** 2) / 2) for ir in hrir.irs], abs=1e-5)


def test_the_hash_depends_on_the_content_only(write_sadie: Write) -> None:
    other = head()
    other[3, 0, 40] += 1e-3
    first = load_hrir(write_sadie("a")).sha256
    assert load_hrir(write_sadie("b")).sha256 == first
    assert load_hrir(write_sadie("c", irs=other)).sha256 != first
    assert load_hrir(write_sadie("d", rate=48000)).sha256 != first


@pytest.mark.parametrize(
    ("asked", "stored"), [(30, 30), (29.5, 30), (30.5, 30), (-30, 330), (390, 30), (359.7, 0), (-0.4, 0)]
)
def test_the_nearest_hrir_within_half_a_degree_is_used(any_set: Path, asked: float, stored: int) -> None:
    hrir = load_hrir(any_set)
    assert np.array_equal(hrir.at(asked), hrir.irs[stored // 30])


@pytest.mark.parametrize(("asked", "nearest"), [(45.0, 30), (29.4, 30), (352, 0), (-92, 270)])
def test_a_missing_azimuth_is_named_with_the_nearest_one(any_set: Path, asked: float, nearest: int) -> None:
    with pytest.raises(BadInput) as caught:
        load_hrir(any_set).at(asked)
    assert any_set.name in caught.value.detail
    assert f"{asked:g}°" in caught.value.detail
    assert f"nearest is at {nearest}°" in caught.value.detail


@pytest.mark.parametrize("azimuth", [float("nan"), float("inf")])
def test_an_azimuth_must_be_a_number(azimuth: float) -> None:
    with pytest.raises(BadInput, match="not an azimuth"):
        load_hrir("sphere").at(azimuth)


def test_swapped_ears_are_refused_with_the_measured_differences(
    write_sadie: Write, write_sofa: Write
) -> None:
    """The folder's format fixes the order of the ears, and so does a file that does not say where they are."""
    for path in (write_sadie(irs=SWAPPED), write_sofa(irs=SWAPPED, ReceiverPosition=np.zeros((2, 3)))):
        assert "-227 µs earlier and -6.0 dB louder" in refused_hrir(path)


def test_responses_at_one_direction_that_differ_by_rounding_are_one(write_sofa: Write) -> None:
    closed = head((*AZIMUTHS, 0))
    for difference in (1e-12, 0.9e-3):
        closed[-1] = closed[0] * (1 + difference)
        hrir = load_hrir(write_sofa(azimuths=(*AZIMUTHS, 360), irs=closed))
        assert np.array_equal(hrir.irs, head())
    closed[-1] = closed[0] * 1.002
    assert "different HRIRs at one azimuth, 0°" in refused_hrir(
        write_sofa(azimuths=(*AZIMUTHS, 360), irs=closed)
    )


def test_directions_on_the_sphere(write_sofa: Write, write_sadie: Write) -> None:
    """The horizontal plane of the set, and its hash, stay what they are."""
    elevations = np.repeat([-30.0, 0.0, 90.0], 12)
    positions = np.column_stack([np.tile(AZIMUTHS, 3), elevations, np.full(36, 1.5)])
    irs = np.concatenate([0.5 * head(), head(), np.repeat(head([0]), 12, axis=0)])
    path = write_sofa(SourcePosition=positions, irs=irs)
    folder = write_sadie(irs=head())
    for azimuth, ir in zip(AZIMUTHS, irs[:12], strict=True):
        sf.write(str(folder / f"azi_{azimuth},0_ele_-30,0.wav"), ir.T, RATE, subtype="FLOAT")
    sf.write(str(folder / "azi_0,0_ele_90,0.wav"), irs[-1].T, RATE, subtype="FLOAT")
    for spec in (path, folder):
        plane, hrir = load_hrir(spec), load_hrir(spec, sphere=True)
        assert plane.elevations is None
        assert np.array_equal(plane.azimuths, AZIMUTHS)
        assert plane.sha256 == load_hrir(write_sofa("plane.sofa", irs=plane.irs)).sha256 != hrir.sha256
        assert hrir.elevations is not None
        assert hrir.elevations.tolist() == [-30.0] * 12 + [0.0] * 12 + [90.0]  # one response above the head
        for direction, index, apart in (
            ((100, -32), 3, great_circle(100, -32, 90, -30)),
            ((123, 80), 24, 10.0),
        ):
            found = hrir.nearest(*direction)
            assert found[0] == index
            assert found[1] == pytest.approx(apart)


def test_great_circle_distances() -> None:
    assert great_circle(350, 0, 10, 0) == pytest.approx(20)
    assert great_circle(0, 89, 180, 89) == pytest.approx(2)
    assert great_circle([0, 90], [45, 0], 0, 45) == pytest.approx([0, 90])
    assert great_circle(10, 20, 190, -20) == pytest.approx(180)
    assert great_circle(0, 0, 1e-7, 0) == pytest.approx(1e-7, rel=1e-6)


def test_a_left_ear_that_is_earlier_but_not_louder_is_refused(write_sadie: Write) -> None:
    irs = head()
    irs[3, 0] *= 0.25
    assert "+227 µs earlier and -6.0 dB louder" in refused_hrir(write_sadie(irs=irs))


def test_a_set_without_90_degrees_is_checked_at_the_azimuth_nearest_to_it(write_sadie: Write) -> None:
    """As CIPIC's sets have it, whose loudspeakers stood at 80° and at 100°."""
    azimuths = (0, 45, 80, 102, 280)
    info = describe(load_hrir(write_sadie(azimuths=azimuths)))
    assert info.side == 80.0
    assert info.itd_90_us == pytest.approx(10 / RATE * 1e6, abs=1)
    swapped = refused_hrir(write_sadie("swapped", azimuths=azimuths, irs=head(azimuths)[:, ::-1]))
    assert "wrong way round: at azimuth 80° the left ear is -227 µs earlier" in swapped


def test_a_set_without_an_azimuth_near_90_degrees_is_refused(write_sadie: Write) -> None:
    line = refused_hrir(write_sadie(azimuths=(0, 45, 180, 270)))
    assert "no HRIR within 30° of azimuth 90°, to tell which ear is which; the nearest is at 45°" in line


def test_directions_of_a_sofa_file_with_a_silent_ear_are_left_out_and_counted(
    write_sofa: Write, write_sadie: Write
) -> None:
    irs = head()
    irs[6, 1] = 0
    irs[2] = 0
    found = load_hrir(write_sofa(irs=irs))
    assert found.azimuths.tolist() == [a for a in AZIMUTHS if a not in (60, 180)]
    assert found.notes == ("2 directions with a silent ear left out",)
    assert "silent in its HRIR at azimuth 60°" in refused_hrir(write_sadie(irs=irs))
    irs[:, 1] = 0
    assert "silent in its HRIR at azimuth 0°" in refused_hrir(write_sofa(irs=irs))


def test_interaural_differences_of_long_responses_are_measured() -> None:
    """Room responses have hundreds of thousands of taps, and 360 of them are measured for one plot."""
    noise = np.random.default_rng(0).standard_normal(400_000)
    ir = 1e-3 * np.stack([noise, np.roll(noise, 20)])
    itd, _ = interaural(ir, RATE)
    assert itd == pytest.approx(20 / RATE * 1e6, abs=1)


@settings(deadline=None)  # a loaded machine is not a failure
@given(shift=st.integers(0, 40), gain=st.floats(0.1, 10))
def test_interaural_differences_are_measured_exactly(shift: int, gain: float) -> None:
    ir = np.zeros((2, 128))
    ir[0, 30], ir[1, 30 + shift] = gain, 1.0
    itd, ild = interaural(ir, RATE)
    assert itd == pytest.approx(shift / RATE * 1e6, abs=0.51)
    assert ild == pytest.approx(20 * np.log10(gain), abs=1e-9)


def test_another_sample_rate_is_refused_unless_resampling_is_allowed() -> None:
    with pytest.raises(BadInput, match=r"sphere is at 44100 Hz; expected 48000 Hz"):
        load_hrir("sphere").at_rate(48000)
    assert load_hrir("sphere").at_rate(44100) is load_hrir("sphere")


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
def test_a_resampled_set_filters_as_the_stored_one(rate: int) -> None:
    stored = load_hrir("sphere")
    resampled = stored.at_rate(rate, resample=True)
    assert (resampled.sample_rate, resampled.resampled_from) == (rate, 44100)
    assert resampled.sha256 == stored.sha256
    before = np.abs(np.fft.rfft(stored.irs, 44100))  # one bin per Hz
    after = np.abs(np.fft.rfft(resampled.irs, rate))
    audible = slice(0, 9500 if rate == 22050 else 18000)
    assert np.max(np.abs(20 * np.log10(after[..., audible] / before[..., audible]))) < 0.05
    assert interaural(resampled.at(60), rate)[0] == pytest.approx(interaural(stored.at(60), 44100)[0], abs=1)


def test_a_set_that_would_be_too_large_after_resampling_is_refused() -> None:
    four_seconds = np.ones((12, 2, 4000))
    hrir = HrirSet("slow", 1000, np.array(AZIMUTHS, dtype=float), four_seconds, "")
    with pytest.raises(TooLarge, match="would hold more than"):
        hrir.at_rate(768_000, resample=True)


def test_the_responses_are_read_only() -> None:
    hrir = load_hrir("sphere")
    assert isinstance(hrir, HrirSet)
    with pytest.raises(ValueError, match="read-only"):
        hrir.irs[0, 0, 0] = 1.0
