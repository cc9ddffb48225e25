"""Reading of SOFA files."""

from __future__ import annotations

import warnings
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from synth_service import sofa
from synth_service.hrir import load_hrir

from .conftest import AZIMUTHS, RATE, SWAPPED, Write, head, refused_hrir


def test_cartesian_source_positions_are_supported(write_sofa: Write) -> None:
    angles = np.radians(AZIMUTHS)
    positions = np.stack([1.2 * np.cos(angles), 1.2 * np.sin(angles), 0 * angles], axis=1)
    path = write_sofa(SourcePosition=positions, SourcePosition_Type="cartesian", SourcePosition_Units="metre")
    assert np.allclose(load_hrir(path).azimuths, AZIMUTHS)
    assert np.allclose(load_hrir(path).irs, head())


def test_negative_source_azimuths_are_on_the_right(write_sofa: Write) -> None:
    azimuths = (-150, -90, -30, 0, 30, 90, 150)
    hrir = load_hrir(write_sofa(azimuths=azimuths))
    assert hrir.azimuths.tolist() == [0, 30, 90, 150, 210, 270, 330]
    assert np.allclose(hrir.at(-30), head([-30])[0])


def test_elevated_sources_are_ignored(write_sofa: Write) -> None:
    positions = [[a, e, 1.5] for e in (-20, 0.2, 45) for a in AZIMUTHS]
    irs = np.concatenate([SWAPPED, head(), SWAPPED])
    hrir = load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs))
    assert np.array_equal(hrir.irs, head())


def test_a_file_without_sources_on_the_horizontal_plane_is_refused(write_sofa: Write) -> None:
    positions = np.array([[a, 10.0, 1.5] for a in AZIMUTHS])
    assert "no source at elevation 0°; the nearest is at 10°" in refused_hrir(
        write_sofa(SourcePosition=positions)
    )


def test_the_farthest_of_several_distances_is_used(write_sofa: Write) -> None:
    positions = [[a, 0, r] for r in (0.5, 2.0, 1.0) for a in AZIMUTHS]
    irs = np.concatenate([2 * head(), head(), 3 * head()])
    assert np.array_equal(load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs)).irs, head())


def test_distances_within_the_tolerance_are_one_distance(write_sofa: Write) -> None:
    positions = np.array([[a, 0, 1.5 + 0.02 * (a % 60 == 0)] for a in AZIMUTHS])
    assert load_hrir(write_sofa(SourcePosition=positions)).azimuths.size == 12


def test_the_order_of_receivers_follows_from_their_positions(write_sofa: Write) -> None:
    right_first = np.array([[0.0, -0.09, 0.0], [0.0, 0.09, 0.0]])
    assert np.array_equal(load_hrir(write_sofa(irs=SWAPPED, ReceiverPosition=right_first)).irs, head())


def test_receivers_without_positions_are_left_and_right(write_sofa: Write) -> None:
    assert np.array_equal(load_hrir(write_sofa(ReceiverPosition=np.zeros((2, 3)))).irs, head())


def test_azimuths_are_relative_to_the_view_of_the_listener(write_sofa: Write) -> None:
    positions = np.array([[a + 40.0, 0, 1.5] for a in AZIMUTHS])
    view = np.array([[np.cos(np.radians(40)), np.sin(np.radians(40)), 0.0]])
    hrir = load_hrir(write_sofa(SourcePosition=positions, ListenerView=view))
    assert np.allclose(hrir.azimuths, AZIMUTHS)


def test_a_turning_listener_and_a_fixed_source_are_supported(write_sofa: Write) -> None:
    angles = -np.radians(AZIMUTHS)  # the head turns right where the source moves left
    view = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    hrir = load_hrir(write_sofa(SourcePosition=np.array([[0.0, 0.0, 3.0]]), ListenerView=view))
    assert np.allclose(hrir.azimuths, AZIMUTHS)
    assert np.array_equal(hrir.irs, head())


def test_a_listener_whose_view_is_not_horizontal_is_refused(write_sofa: Write) -> None:
    assert "look horizontally" in refused_hrir(write_sofa(ListenerView=np.array([[0.0, 0.0, 1.0]])))


def test_whole_delays_are_applied(write_sofa: Write) -> None:
    flat = np.zeros((12, 2, 16))
    flat[:, :, 0] = np.sum(head(), axis=2)
    delays = np.argmax(head(), axis=2).astype(float)
    hrir = load_hrir(write_sofa(irs=flat, Data_Delay=delays))
    assert np.array_equal(hrir.irs, head()[:, :, : hrir.irs.shape[2]])
    assert hrir.irs.shape[2] == 16 + 25


def test_one_delay_per_ear_applies_to_all_sources(write_sofa: Write) -> None:
    hrir = load_hrir(write_sofa(Data_Delay=np.array([[3.0, 3.0]])))
    assert np.array_equal(hrir.irs[:, :, 3:], head())


def test_fractional_delays_shift_the_phase_and_keep_the_level(write_sofa: Write) -> None:
    delays = np.tile([[0.25, 4.75]], (12, 1))
    late = load_hrir(write_sofa(Data_Delay=delays)).irs
    frequencies = np.fft.rfftfreq(256, 1 / RATE)
    expected = np.fft.rfft(head(), 256) * np.exp(-2j * np.pi * frequencies / RATE * (16 + delays[:, :, None]))
    below = frequencies < 18000
    assert np.allclose(np.fft.rfft(late, 256)[..., below], expected[..., below], atol=0.01)


@pytest.mark.parametrize("delay", [-1.0, np.nan, 1e9])
def test_a_negative_or_very_long_delay_is_refused(write_sofa: Write, delay: float) -> None:
    assert "Data.Delay" in refused_hrir(write_sofa(Data_Delay=np.array([[0.0, delay]])))


def test_identical_measurements_of_one_azimuth_are_merged(write_sofa: Write) -> None:
    azimuths = (*AZIMUTHS, 360)
    assert load_hrir(write_sofa(azimuths=azimuths, irs=head((*AZIMUTHS, 0)))).azimuths.tolist() == list(
        AZIMUTHS
    )


def test_different_measurements_of_one_azimuth_are_refused(write_sofa: Write) -> None:
    irs = np.concatenate([head(), 2 * head([0])])
    assert "different HRIRs at one azimuth, 0°" in refused_hrir(
        write_sofa(azimuths=(*AZIMUTHS, 360), irs=irs)
    )


def test_another_convention_is_refused_by_name(write_sofa: Write) -> None:
    path = write_sofa(convention="GeneralFIR")
    assert "follows the SOFA convention GeneralFIR; expected SimpleFreeFieldHRIR" in refused_hrir(path)


def test_a_set_for_more_or_fewer_ears_is_refused(write_sofa: Write) -> None:
    path = write_sofa(irs=head()[:, :1], ReceiverPosition=np.array([[0.0, 0.09, 0.0]]))
    assert "shape (12, 1, 64); expected (sources, 2 ears, taps)" in refused_hrir(path)


def test_a_sampling_rate_may_be_given_for_every_measurement(write_sofa: Write) -> None:
    path = write_sofa()
    with netCDF4.Dataset(path, "a") as content:
        content.renameVariable("Data.SamplingRate", "Once")
        rates = content.createVariable("Data.SamplingRate", "f8", ("M",))
        rates.Units = "hertz"
        rates[:] = 48000.0
    assert load_hrir(path).sample_rate == 48000
    with netCDF4.Dataset(path, "a") as content:
        content["Data.SamplingRate"][3] = 44100.0
    assert "sampling rate 44100, 48000; expected one whole number of Hz" in refused_hrir(path)


@pytest.mark.parametrize("rate", [44100.5, 0.0, -44100.0, np.nan, 1e9])
def test_an_invalid_sampling_rate_is_refused(write_sofa: Write, rate: int) -> None:
    assert "sampling rate" in refused_hrir(write_sofa(Data_SamplingRate=rate))


def test_a_file_that_is_not_sofa_is_refused(tmp_path: Path, write_sofa: Write) -> None:
    text = tmp_path / "notes.sofa"
    text.write_text("this is not netCDF")
    assert "notes.sofa cannot be read as a SOFA file" in refused_hrir(text)
    cut = write_sofa("cut.sofa")
    cut.write_bytes(cut.read_bytes()[:3000])
    assert "cut.sofa cannot be read as a SOFA file" in refused_hrir(cut)
    other = tmp_path / "angles.json"
    other.write_text("{}")
    assert "angles.json cannot be read as a SOFA file" in refused_hrir(other)


def test_unknown_fields_are_ignored_without_a_warning(
    write_sofa: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_sofa()
    with netCDF4.Dataset(path, "a") as content:
        content.RoomMood = "an attribute of no convention"
        content.createVariable("Mood", "f8", ("M",))[:] = np.ma.masked_array(np.zeros(12), mask=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_hrir(path)
    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_without_delays_the_responses_are_not_copied() -> None:
    irs = head()
    assert sofa.delayed(irs, np.zeros((12, 2))) is irs
