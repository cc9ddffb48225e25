"""Reading of SOFA files."""

from __future__ import annotations

import warnings

import h5py
import netCDF4
import numpy as np
import numpy.typing as npt
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


def test_the_farthest_of_several_distances_is_used(write_sofa: Write) -> None:
    positions = [[a, 0, r] for r in (0.5, 2.0, 1.0) for a in AZIMUTHS]
    irs = np.concatenate([2 * head(), head(), 3 * head()])
    assert np.array_equal(load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs)).irs, head())


def test_distances_within_the_tolerance_are_one_distance(write_sofa: Write) -> None:
    positions = np.array([[a, 0, 1.5 + 0.02 * (a % 60 == 0)] for a in AZIMUTHS])
    assert load_hrir(write_sofa(SourcePosition=positions)).azimuths.size == 12


def test_sources_at_many_distances_are_all_used(write_sofa: Write) -> None:
    """Head tracking measures the distance of every source."""
    positions = np.array([[a, 0, 1.3 + 0.2 * (i * 7 % 12) / 11] for i, a in enumerate(AZIMUTHS)])
    hrir = load_hrir(write_sofa(SourcePosition=positions))
    assert np.array_equal(hrir.irs, head())
    assert hrir.distances == (1.3, 1.5)
    assert hrir.notes == ("7 sources at 1.3 to 1.41 m used as well: no other in these directions",)


def test_what_is_left_out_at_other_distances_is_said(write_sofa: Write) -> None:
    near = (0, 15, 30)
    positions = [[a, 0, 2.0] for a in AZIMUTHS] + [[a, 0, r] for r in (0.5, 1.0) for a in near]
    irs = np.concatenate([head(), 3 * head(near), 2 * head(near)])
    hrir = load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs))
    assert np.array_equal(hrir.irs, np.concatenate([head([0]), 2 * head([15]), head(AZIMUTHS[1:])]))
    assert hrir.notes == (
        "1 source at 1 m used as well: no other in these directions",
        "5 sources at 0.5 to 1 m left out: the same directions are there at greater distances, up to 2 m",
    )


@pytest.mark.parametrize("distances", [np.zeros(12), np.r_[1.0, np.zeros(11)]])
def test_a_source_at_spherical_distance_0_has_a_direction(
    write_sofa: Write, distances: npt.NDArray[np.float64]
) -> None:
    positions = np.column_stack([AZIMUTHS, np.zeros(12), distances])
    hrir = load_hrir(write_sofa(SourcePosition=positions))
    assert np.array_equal(hrir.irs, head())
    assert np.allclose(hrir.azimuths, AZIMUTHS)
    assert hrir.notes == (f"{np.count_nonzero(distances == 0)} sources have no distance",)


@pytest.mark.parametrize(
    ("units", "scale"),
    [
        ("radian, radian, metre", [np.pi / 180, np.pi / 180, 1]),
        ("rad,rad,m", [np.pi / 180, np.pi / 180, 1]),
        ("radians radians centimeters", [np.pi / 180, np.pi / 180, 100]),
        ("degrees, degrees, millimetre", [1, 1, 1000]),
    ],
)
def test_other_units_are_converted(write_sofa: Write, units: str, scale: list[float]) -> None:
    positions = (np.array([[a, e, 1.5] for e in (0, 40) for a in AZIMUTHS]) * scale).astype(np.float32)
    irs = np.concatenate([head(), SWAPPED])
    path = write_sofa(SourcePosition=positions, irs=irs)
    with h5py.File(path, "a") as file:
        file["SourcePosition"].attrs["Units"] = units
    hrir = load_hrir(path)
    assert hrir.azimuths.tolist() == list(AZIMUTHS)
    assert np.array_equal(hrir.irs, head())
    assert hrir.distances == (1.5, 1.5)
    assert hrir.notes == (f"SourcePosition was converted from {units}",)


@pytest.mark.parametrize("units", ["metre, metre, metre", "hertz", "degree"])
def test_unknown_units_are_refused(write_sofa: Write, units: str) -> None:
    path = write_sofa()
    with h5py.File(path, "a") as file:
        file["SourcePosition"].attrs["Units"] = units
    assert f"gives SourcePosition in {units}; expected degree, degree, metre" in refused_hrir(path)


RIGHT_FIRST = np.array([[0.0, -0.09, 0.0], [0.0, 0.09, 0.0]])


def test_the_order_of_receivers_follows_from_their_positions(write_sofa: Write) -> None:
    hrir = load_hrir(write_sofa(irs=SWAPPED, ReceiverPosition=RIGHT_FIRST))
    assert np.array_equal(hrir.irs, head())
    assert hrir.notes == ()


def test_the_responses_decide_which_ear_is_which(write_sofa: Write) -> None:
    """Files by the ARI API 0.4 list the right ear first, while their data have the left ear first."""
    hrir = load_hrir(write_sofa(ReceiverPosition=RIGHT_FIRST))
    assert np.array_equal(hrir.irs, head())
    assert hrir.notes == (
        "the file lists the right ear first, but its responses have the left ear first; "
        "the responses were followed",
    )
    hrir = load_hrir(write_sofa(irs=SWAPPED))
    assert np.array_equal(hrir.irs, head())
    assert "lists the left ear first, but its responses have the right ear first" in hrir.notes[0]


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


@pytest.mark.parametrize(
    ("convention", "data", "says"),
    [
        ("SimpleFreeFieldHRIR", "SOS", "has data of the type SOS; expected FIR"),
        ("SimpleFreeFieldHRTF", "TF", "convention SimpleFreeFieldHRTF with data of the type TF; expected"),
    ],
)
def test_data_that_are_not_impulse_responses_are_refused(
    write_sofa: Write, convention: str, data: str, says: str
) -> None:
    path = write_sofa()
    with h5py.File(path, "a") as file:
        file.attrs["SOFAConventions"], file.attrs["DataType"] = convention, data
    assert says in refused_hrir(path)


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
