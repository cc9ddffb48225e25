"""HRIR sets: whatever they come in, they are read right, or refused in one line that says why."""

from __future__ import annotations

import shutil
import warnings

import h5py
import netCDF4
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from mssbench_service.errors import BadInput, TooLarge
from synth_service import sofa
from synth_service.hrir import HrirSet, describe, interaural, load_hrir

from .conftest import AZIMUTHS, RATE, head

SWAPPED = head()[:, ::-1]


def refused(spec) -> str:
    """The one line with which a set is refused."""
    with pytest.raises(BadInput) as caught:
        load_hrir(spec)
    assert "\n" not in caught.value.detail
    return caught.value.detail


# Any set


@pytest.fixture(params=["sadie", "sofa"])
def any_set(request, write_sadie, write_sofa):
    """The toy head, written in either format."""
    return write_sadie() if request.param == "sadie" else write_sofa()


def test_both_formats_give_the_same_set(write_sadie, write_sofa):
    folder, file = load_hrir(write_sadie()), load_hrir(write_sofa())
    for hrir in (folder, file):
        assert np.array_equal(hrir.azimuths, AZIMUTHS)
        assert np.allclose(hrir.irs, head(), atol=1e-7)
        assert (hrir.sample_rate, hrir.resampled_from) == (RATE, None)
    assert (folder.name, file.name) == ("D1", "set.sofa")


def test_it_describes_itself(any_set):
    info = describe(load_hrir(str(any_set)))
    assert info.itd_90_us == pytest.approx(10 / RATE * 1e6, abs=1)
    assert info.ild_90_db == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert info.taps == 64
    assert info.azimuths == list(map(float, AZIMUTHS))
    assert info.itd_us == info.left_db == info.right_db == []


def test_it_describes_every_azimuth_when_asked(any_set):
    hrir = load_hrir(any_set)
    info = describe(hrir, curves=True)
    assert info.itd_us[3] == info.itd_90_us == -info.itd_us[9]
    assert info.left_db[3] - info.right_db[3] == pytest.approx(info.ild_90_db)
    assert max(info.left_db + info.right_db) == 0.0
    assert info.left_db == pytest.approx([10 * np.log10(np.sum(ir[0] ** 2) / 2) for ir in hrir.irs], abs=1e-5)


def test_the_hash_is_of_the_content(write_sadie):
    other = head()
    other[3, 0, 40] += 1e-3
    first = load_hrir(write_sadie("a")).sha256
    assert load_hrir(write_sadie("b")).sha256 == first
    assert load_hrir(write_sadie("c", irs=other)).sha256 != first
    assert load_hrir(write_sadie("d", rate=48000)).sha256 != first


@pytest.mark.parametrize(
    ("asked", "stored"), [(30, 30), (29.5, 30), (30.5, 30), (-30, 330), (390, 30), (359.7, 0), (-0.4, 0)]
)
def test_the_nearest_hrir_within_half_a_degree_is_taken(any_set, asked, stored):
    hrir = load_hrir(any_set)
    assert np.array_equal(hrir.at(asked), hrir.irs[stored // 30])


@pytest.mark.parametrize(("asked", "nearest"), [(45.0, 30), (29.4, 30), (352, 0), (-92, 270)])
def test_a_missing_azimuth_is_named_with_the_nearest_there_is(any_set, asked, nearest):
    with pytest.raises(BadInput) as caught:
        load_hrir(any_set).at(asked)
    assert any_set.name in caught.value.detail
    assert f"{asked:g}°" in caught.value.detail
    assert f"nearest is at {nearest}°" in caught.value.detail


@pytest.mark.parametrize("azimuth", [float("nan"), float("inf")])
def test_an_azimuth_must_be_a_number(azimuth):
    with pytest.raises(BadInput, match="not an azimuth"):
        load_hrir("sphere").at(azimuth)


def test_swapped_ears_are_refused_with_what_was_measured(write_sadie, write_sofa):
    for path in (write_sadie(irs=SWAPPED), write_sofa(irs=SWAPPED)):
        assert "-227 µs earlier and -6.0 dB louder" in refused(path)


def test_a_left_ear_that_is_earlier_but_not_louder_is_refused(write_sadie):
    irs = head()
    irs[3, 0] *= 0.25
    assert "+227 µs earlier and -6.0 dB louder" in refused(write_sadie(irs=irs))


def test_a_set_without_90_degrees_is_checked_at_the_azimuth_nearest_to_it(write_sadie):
    """As CIPIC's sets have it, whose loudspeakers stood at 80° and at 100°."""
    azimuths = (0, 45, 80, 102, 280)
    info = describe(load_hrir(write_sadie(azimuths=azimuths)))
    assert (info.side, info.itd_90_us) == (80.0, pytest.approx(10 / RATE * 1e6, abs=1))
    swapped = refused(write_sadie("swapped", azimuths=azimuths, irs=head(azimuths)[:, ::-1]))
    assert "wrong way round: at azimuth 80° the left ear is -227 µs earlier" in swapped


def test_a_set_with_nothing_near_90_degrees_cannot_be_checked(write_sadie):
    line = refused(write_sadie(azimuths=(0, 45, 180, 270)))
    assert "no HRIR within 30° of azimuth 90°, to tell which ear is which; the nearest is at 45°" in line


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(write_sofa, write_sadie, value):
    irs = head()
    irs[4, 1, 7] = value
    assert "NaN or infinite in its HRIR at azimuth 120°" in refused(write_sofa(irs=irs))
    assert "azi_120,0_ele_0,0.wav" in refused(write_sadie(irs=irs))


def test_a_silent_ear_is_refused(write_sofa):
    irs = head()
    irs[6, 1] = 0
    assert "silent in its HRIR at azimuth 180°" in refused(write_sofa(irs=irs))


def test_a_set_that_is_not_there_is_refused(tmp_path):
    assert "there is no HRIR set" in refused(tmp_path / "nowhere")


def test_long_responses_are_measured_as_short_ones_are():
    """Room responses have hundreds of thousands of taps, and 360 of them are measured for one plot."""
    noise = np.random.default_rng(0).standard_normal(400_000)
    ir = 1e-3 * np.stack([noise, np.roll(noise, 20)])
    itd, _ = interaural(ir, RATE)
    assert itd == pytest.approx(20 / RATE * 1e6, abs=1)


@settings(deadline=None)  # a loaded machine is not a failure
@given(shift=st.integers(0, 40), gain=st.floats(0.1, 10))
def test_interaural_measures_what_was_put_in(shift, gain):
    ir = np.zeros((2, 128))
    ir[0, 30], ir[1, 30 + shift] = gain, 1.0
    itd, ild = interaural(ir, RATE)
    assert itd == pytest.approx(shift / RATE * 1e6, abs=0.51)
    assert ild == pytest.approx(20 * np.log10(gain), abs=1e-9)


# Another sample rate


def test_another_sample_rate_is_refused_unless_resampling_is_allowed():
    with pytest.raises(BadInput, match=r"sphere is at 44100 Hz; expected 48000 Hz"):
        load_hrir("sphere").at_rate(48000)
    assert load_hrir("sphere").at_rate(44100) is load_hrir("sphere")


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
def test_a_resampled_set_filters_as_the_stored_one(rate):
    stored = load_hrir("sphere")
    resampled = stored.at_rate(rate, resample=True)
    assert (resampled.sample_rate, resampled.resampled_from) == (rate, 44100)
    assert resampled.sha256 == stored.sha256
    before = np.abs(np.fft.rfft(stored.irs, 44100))  # one bin per Hz
    after = np.abs(np.fft.rfft(resampled.irs, rate))
    audible = slice(0, 9500 if rate == 22050 else 18000)
    assert np.max(np.abs(20 * np.log10(after[..., audible] / before[..., audible]))) < 0.05
    assert interaural(resampled.at(60), rate)[0] == pytest.approx(interaural(stored.at(60), 44100)[0], abs=1)


def test_a_set_that_resampling_would_blow_up_is_refused():
    four_seconds = np.ones((12, 2, 4000))
    hrir = HrirSet("slow", 1000, np.array(AZIMUTHS, dtype=float), four_seconds, "")
    with pytest.raises(TooLarge, match="would hold more than"):
        hrir.at_rate(768_000, resample=True)


# SADIE II folders


def test_the_comma_is_the_decimal_sign(write_sadie):
    hrir = load_hrir(write_sadie(azimuths=(0, 22.5, 90, 112.5)))
    assert hrir.azimuths.tolist() == [0, 22.5, 90, 112.5]
    assert hrir.at(112.5).shape == (2, 64)


def test_a_folder_one_level_below_is_found(write_sadie):
    inner = write_sadie("subject/44K_16bit")
    hrir = load_hrir(inner.parent)
    assert (hrir.azimuths.size, hrir.name) == (12, "subject/44K_16bit")


@pytest.fixture
def subject(write_sadie):
    """A subject's folder as SADIE II has it: three rates, and a room, whose responses are no HRIRs."""
    for name, rate in (("44K_16bit", 44100), ("48K_24bit", 48000), ("96K_24bit", 96000)):
        write_sadie(f"H3/H3_HRIR_WAV/{name}", rate=rate)
    return write_sadie("H3/H3_BRIR_WAV/44K_16bit", azimuths=(0, 90), irs=SWAPPED[[0, 3]]).parent.parent


@pytest.mark.parametrize(
    ("asked", "name", "rate"),
    [
        (44100, "44K_16bit", 44100),
        (48000, "48K_24bit", 48000),
        (96000, "96K_24bit", 96000),
        (88200, "96K_24bit", 96000),  # none is; the best to resample from
    ],
)
def test_of_a_subjects_folder_the_set_at_the_rate_asked_for_is_taken(subject, asked, name, rate):
    hrir = load_hrir(subject, asked)
    assert (hrir.name, hrir.sample_rate) == (f"H3/H3_HRIR_WAV/{name}", rate)
    assert hrir.sha256 == load_hrir(subject / "H3_HRIR_WAV" / name).sha256


def test_several_sets_of_one_rate_below_are_refused_by_name(write_sadie):
    write_sadie("D1/44K_16bit")
    assert "D1/44K_16bit, D2/44K_16bit" in refused(write_sadie("D2/44K_16bit").parent.parent)


def test_a_folder_of_sofa_files_names_one(write_sofa):
    assert "name a SOFA file in it, such as set.sofa" in refused(write_sofa().parent)


def test_hidden_stray_and_elevated_files_are_passed_over(write_sadie):
    folder = write_sadie()
    (folder / "._azi_10,0_ele_0,0.wav").write_bytes(b"resource fork")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "readme.txt").write_text("hello")
    (folder / "azi_45,0_ele_30,0.wav").write_text("not read, as it is elevated")
    (folder / "azi_50,0_ele_0,0.wav").mkdir()
    assert load_hrir(folder).azimuths.size == 12


def test_16_bit_files_are_read(write_sadie):
    folder = write_sadie()
    for path in folder.iterdir():
        ir, rate = sf.read(path)
        sf.write(str(path), 0.5 * ir, rate, subtype="PCM_16")
    assert np.allclose(load_hrir(folder).irs, 0.5 * head(), atol=1e-4)


def test_negative_azimuths_are_on_the_right(write_sadie):
    hrir = load_hrir(write_sadie(azimuths=(-90, 0, 90)))
    assert hrir.azimuths.tolist() == [0, 90, 270]


def test_one_azimuth_twice_is_refused(write_sadie):
    folder = write_sadie()
    shutil.copy(folder / "azi_90,0_ele_0,0.wav", folder / "azi_-270,0_ele_0,0.wav")
    assert "same azimuth as" in refused(folder)


def test_a_folder_without_hrirs_is_refused(tmp_path):
    assert "holds no HRIRs at elevation 0°; expected files like azi_90,0_ele_0,0.wav" in refused(tmp_path)


@pytest.mark.parametrize(
    ("audio", "rate", "complaint"),
    [
        (np.ones(64), RATE, "has 1 channel(s); expected 2"),
        (np.ones((64, 3)), RATE, "has 3 channel(s); expected 2"),
        (np.ones((64, 2)), 48000, "64 samples at 48000 Hz; expected 64 at 44100 Hz"),
        (np.ones((63, 2)), RATE, "63 samples at 44100 Hz; expected 64 at 44100 Hz"),
    ],
)
def test_a_file_unlike_the_others_is_named(write_sadie, audio, rate, complaint):
    folder = write_sadie()
    sf.write(str(folder / "azi_330,0_ele_0,0.wav"), audio, rate)
    line = refused(folder)
    assert complaint in line
    assert "azi_330,0_ele_0,0.wav" in line


def test_a_text_file_named_wav_is_named(write_sadie):
    folder = write_sadie()
    (folder / "azi_30,0_ele_0,0.wav").write_text("this is not audio")
    assert "azi_30,0_ele_0,0.wav cannot be read as audio" in refused(folder)


# SOFA files


def test_cartesian_source_positions_are_understood(write_sofa):
    angles = np.radians(AZIMUTHS)
    positions = np.stack([1.2 * np.cos(angles), 1.2 * np.sin(angles), 0 * angles], axis=1)
    path = write_sofa(SourcePosition=positions, SourcePosition_Type="cartesian", SourcePosition_Units="metre")
    assert np.allclose(load_hrir(path).azimuths, AZIMUTHS)
    assert np.allclose(load_hrir(path).irs, head())


def test_negative_source_azimuths_are_on_the_right(write_sofa):
    azimuths = (-150, -90, -30, 0, 30, 90, 150)
    hrir = load_hrir(write_sofa(azimuths=azimuths))
    assert hrir.azimuths.tolist() == [0, 30, 90, 150, 210, 270, 330]
    assert np.allclose(hrir.at(-30), head([-30])[0])


def test_elevated_sources_are_left_out(write_sofa):
    positions = [[a, e, 1.5] for e in (-20, 0.2, 45) for a in AZIMUTHS]
    irs = np.concatenate([SWAPPED, head(), SWAPPED])
    hrir = load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs))
    assert np.array_equal(hrir.irs, head())


def test_without_a_source_on_the_horizontal_plane_there_is_no_set(write_sofa):
    positions = np.array([[a, 10.0, 1.5] for a in AZIMUTHS])
    assert "no source at elevation 0°; the nearest is at 10°" in refused(write_sofa(SourcePosition=positions))


def test_of_several_distances_the_farthest_counts(write_sofa):
    positions = [[a, 0, r] for r in (0.5, 2.0, 1.0) for a in AZIMUTHS]
    irs = np.concatenate([2 * head(), head(), 3 * head()])
    assert np.array_equal(load_hrir(write_sofa(SourcePosition=np.array(positions), irs=irs)).irs, head())


def test_imprecise_distances_are_one_distance(write_sofa):
    positions = np.array([[a, 0, 1.5 + 0.02 * (a % 60 == 0)] for a in AZIMUTHS])
    assert load_hrir(write_sofa(SourcePosition=positions)).azimuths.size == 12


def test_receivers_in_the_other_order_are_told_by_their_position(write_sofa):
    right_first = np.array([[0.0, -0.09, 0.0], [0.0, 0.09, 0.0]])
    assert np.array_equal(load_hrir(write_sofa(irs=SWAPPED, ReceiverPosition=right_first)).irs, head())


def test_receivers_without_a_position_count_as_left_and_right(write_sofa):
    assert np.array_equal(load_hrir(write_sofa(ReceiverPosition=np.zeros((2, 3)))).irs, head())


def test_a_turned_listener_is_faced(write_sofa):
    positions = np.array([[a + 40.0, 0, 1.5] for a in AZIMUTHS])
    view = np.array([[np.cos(np.radians(40)), np.sin(np.radians(40)), 0.0]])
    hrir = load_hrir(write_sofa(SourcePosition=positions, ListenerView=view))
    assert np.allclose(hrir.azimuths, AZIMUTHS)


def test_a_turntable_with_a_fixed_source_is_understood(write_sofa):
    angles = -np.radians(AZIMUTHS)  # the head turns right where the source moves left
    view = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    hrir = load_hrir(write_sofa(SourcePosition=np.array([[0.0, 0.0, 3.0]]), ListenerView=view))
    assert np.allclose(hrir.azimuths, AZIMUTHS)
    assert np.array_equal(hrir.irs, head())


def test_a_listener_who_looks_up_is_refused(write_sofa):
    assert "look horizontally" in refused(write_sofa(ListenerView=np.array([[0.0, 0.0, 1.0]])))


def test_whole_delays_are_put_in(write_sofa):
    flat = np.zeros((12, 2, 16))
    flat[:, :, 0] = np.sum(head(), axis=2)
    delays = np.argmax(head(), axis=2).astype(float)
    hrir = load_hrir(write_sofa(irs=flat, Data_Delay=delays))
    assert np.array_equal(hrir.irs, head()[:, :, : hrir.irs.shape[2]])
    assert hrir.irs.shape[2] == 16 + 25


def test_one_delay_per_ear_holds_for_all_sources(write_sofa):
    hrir = load_hrir(write_sofa(Data_Delay=np.array([[3.0, 3.0]])))
    assert np.array_equal(hrir.irs[:, :, 3:], head())


def test_fractional_delays_shift_the_phase_and_keep_the_level(write_sofa):
    delays = np.tile([[0.25, 4.75]], (12, 1))
    late = load_hrir(write_sofa(Data_Delay=delays)).irs
    frequencies = np.fft.rfftfreq(256, 1 / RATE)
    expected = np.fft.rfft(head(), 256) * np.exp(-2j * np.pi * frequencies / RATE * (16 + delays[:, :, None]))
    below = frequencies < 18000
    assert np.allclose(np.fft.rfft(late, 256)[..., below], expected[..., below], atol=0.01)


@pytest.mark.parametrize("delay", [-1.0, np.nan, 1e9])
def test_a_delay_that_cannot_be_is_refused(write_sofa, delay):
    assert "Data.Delay" in refused(write_sofa(Data_Delay=np.array([[0.0, delay]])))


def test_identical_measurements_of_one_azimuth_are_one(write_sofa):
    azimuths = (*AZIMUTHS, 360)
    assert load_hrir(write_sofa(azimuths=azimuths, irs=head((*AZIMUTHS, 0)))).azimuths.tolist() == list(
        AZIMUTHS
    )


def test_different_measurements_of_one_azimuth_are_refused(write_sofa):
    irs = np.concatenate([head(), 2 * head([0])])
    assert "different HRIRs at one azimuth, 0°" in refused(write_sofa(azimuths=(*AZIMUTHS, 360), irs=irs))


def test_another_convention_is_refused_by_name(write_sofa):
    path = write_sofa(convention="GeneralFIR")
    assert "follows the SOFA convention GeneralFIR; expected SimpleFreeFieldHRIR" in refused(path)


def test_a_set_for_more_or_fewer_ears_is_refused(write_sofa):
    path = write_sofa(irs=head()[:, :1], ReceiverPosition=np.array([[0.0, 0.09, 0.0]]))
    assert "shape (12, 1, 64); expected (sources, 2 ears, taps)" in refused(path)


def test_a_sampling_rate_may_be_given_for_every_measurement(write_sofa):
    path = write_sofa()
    with netCDF4.Dataset(path, "a") as content:
        content.renameVariable("Data.SamplingRate", "Once")
        rates = content.createVariable("Data.SamplingRate", "f8", ("M",))
        rates.Units = "hertz"
        rates[:] = 48000.0
    assert load_hrir(path).sample_rate == 48000
    with netCDF4.Dataset(path, "a") as content:
        content["Data.SamplingRate"][3] = 44100.0
    assert "sampling rate 44100, 48000; expected one whole number of Hz" in refused(path)


@pytest.mark.parametrize("rate", [44100.5, 0.0, -44100.0, np.nan, 1e9])
def test_a_sampling_rate_that_is_none_is_refused(write_sofa, rate):
    assert "sampling rate" in refused(write_sofa(Data_SamplingRate=rate))


def test_a_file_that_is_not_sofa_is_refused(tmp_path, write_sofa):
    text = tmp_path / "notes.sofa"
    text.write_text("this is not netCDF")
    assert "notes.sofa cannot be read as a SOFA file" in refused(text)
    cut = write_sofa("cut.sofa")
    cut.write_bytes(cut.read_bytes()[:3000])
    assert "cut.sofa cannot be read as a SOFA file" in refused(cut)
    other = tmp_path / "angles.json"
    other.write_text("{}")
    assert "angles.json cannot be read as a SOFA file" in refused(other)


def test_what_no_convention_knows_is_passed_over_in_silence(write_sofa, capfd):
    path = write_sofa()
    with netCDF4.Dataset(path, "a") as content:
        content.RoomMood = "an attribute of nobody's convention"
        content.createVariable("Mood", "f8", ("M",))[:] = np.ma.masked_all(12)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_hrir(path)
    assert caught == []
    assert capfd.readouterr() == ("", "")


# SOFA files that mean harm: an HDF5 file can name other files, and claim any size


@pytest.fixture
def alter(write_sofa):
    """Put something else in the place of a field of a SOFA file, by a function of the open file."""

    def write(change, field="Data.IR"):
        path = write_sofa()
        with h5py.File(path, "a") as file:
            del file[field]
            change(file)
        return path

    return write


@pytest.fixture
def elsewhere(tmp_path):
    """A file of numbers that would be a perfect set, as raw bytes and as a field of another HDF5 file."""
    head().astype("<f8").tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = head()
    return tmp_path


def _external_numbers(folder):
    stored = [(str(folder / "secret.bin"), 0, head().nbytes)]
    return lambda file: file.create_dataset("Data.IR", head().shape, "f8", external=stored)


def _virtual_numbers(folder):
    layout = h5py.VirtualLayout(head().shape, "f8")
    layout[...] = h5py.VirtualSource(str(folder / "secret.h5"), "x", head().shape)
    return lambda file: file.create_virtual_dataset("Data.IR", layout)


def _external_link(folder):
    return lambda file: file.__setitem__("Data.IR", h5py.ExternalLink(str(folder / "secret.h5"), "x"))


def _soft_link(folder):
    def change(file):
        file["other"] = head()
        file["Data.IR"] = h5py.SoftLink("/other")

    return change


@pytest.mark.parametrize("way", [_external_numbers, _virtual_numbers, _external_link, _soft_link])
def test_numbers_that_lie_in_another_file_are_not_read(alter, elsewhere, way):
    assert "keeps its Data.IR somewhere else; expected the numbers in the file" in refused(
        alter(way(elsewhere))
    )


def _many_numbers(file):
    file.create_dataset("Data.IR", (12, 2, 1 << 30), "f8", chunks=(1, 1, 1 << 20), compression="gzip")


def _a_large_chunk(file):
    file.create_dataset("Data.IR", (12, 2, 64), "f8", maxshape=(None,) * 3, chunks=(12, 2, 1 << 24))


def _many_chunks(file):
    file.create_dataset("Data.IR", (12, 2, 1 << 20), "f8", chunks=(1, 1, 1))


def _delayed_by_a_second(file):
    sources = 100
    file["Data.IR"] = np.ones((sources, 2, 8))
    for name, value in {
        "SourcePosition": [[0.0, 0.0, 1.5]] * sources,
        "Data.Delay": np.full((sources, 2), 7e5),
        "Data.SamplingRate": [768_000.0],
    }.items():
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        if "Type" in attributes:
            file[name].attrs["Type"] = attributes["Type"]


@pytest.mark.parametrize("bomb", [_many_numbers, _a_large_chunk, _many_chunks, _delayed_by_a_second])
def test_a_small_file_that_becomes_a_large_one_is_refused_before_it_does(alter, bomb):
    path = alter(bomb)
    assert path.stat().st_size < 200_000
    with pytest.raises(TooLarge, match=r"set\.sofa holds|set\.sofa has Data\.IR in \d+ pieces"):
        load_hrir(path)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("Data.IR", np.zeros((12, 2, 0)), "shape (12, 2, 0); expected (sources, 2 ears, taps)"),
        ("Data.IR", np.zeros((0, 2, 64)), "shape (0, 2, 64)"),
        ("Data.IR", np.array([b"text"] * 4), "Data.IR that is not numeric"),
        ("Data.IR", np.zeros((12, 2, 64), complex), "Data.IR that is not numeric"),
        ("Data.IR", np.full((12, 2, 64), 9.96920996838687e36), "NaN or infinite"),
        ("Data.IR", np.ones((12, 2, 441_001)), "441001 taps; expected at most 10 s of them"),
        ("SourcePosition", np.full((12, 3), np.nan), "SourcePosition of shape (12, 3); expected three finite"),
        ("SourcePosition", np.full((12, 3), 1e300), "SourcePosition of shape (12, 3); expected three finite"),
        ("SourcePosition", np.zeros((12, 3)), "has sources where the listener is"),
        ("SourcePosition", np.zeros((12, 3, 0)), "SourcePosition of shape (12, 3, 0)"),
        ("SourcePosition", np.zeros((12, 3, 2, 2)), "SourcePosition of shape (12, 3, 2, 2)"),
        ("SourcePosition", np.ones((7, 3)), "not as many source positions as impulse responses (12)"),
        ("ReceiverPosition", np.zeros((2, 3, 0)), "ReceiverPosition of shape (2, 3, 0)"),
        ("Data.SamplingRate", np.zeros(0), "sampling rate none"),
        ("Data.Delay", np.zeros((5, 7)), "delays of shape (5, 7)"),
    ],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_named(alter, field, value, complaint):
    assert complaint in refused(alter(lambda file: file.__setitem__(field, value), field))


def test_a_field_that_is_a_group_is_named(alter):
    assert "Data.IR that is not numeric" in refused(alter(lambda file: file.create_group("Data.IR")))


def test_a_negative_distance_is_no_direction(write_sofa):
    positions = np.array([[a, 0.0, -1.5] for a in AZIMUTHS])
    assert "SourcePosition at a negative distance" in refused(write_sofa(SourcePosition=positions))


def test_an_attribute_without_end_is_not_read(write_sofa):
    path = write_sofa()
    with h5py.File(path, "a") as file:
        file.attrs["SOFAConventions"] = np.bytes_(b"x" * 60_000)
    assert "an attribute SOFAConventions of more than 1000 bytes" in refused(path)
    with h5py.File(path, "a") as file:
        del file.attrs["SOFAConventions"]
    assert "follows the SOFA convention of no name" in refused(path)


def test_a_convention_may_be_named_in_a_list_of_one_text(write_sofa):
    """Some programs write it so."""
    path = write_sofa()
    for written in (["SimpleFreeFieldHRIR"], np.array([b"SimpleFreeFieldHRIR"]), "SimpleFreeFieldHRIR"):
        with h5py.File(path, "a") as file:
            file.attrs["SOFAConventions"] = written
        assert load_hrir(path).azimuths.size == 12


def test_no_delay_costs_nothing():
    irs = head()
    assert sofa.delayed(irs, np.zeros((12, 2))) is irs


def test_a_set_cannot_be_changed_by_accident():
    hrir = load_hrir("sphere")
    assert isinstance(hrir, HrirSet)
    with pytest.raises(ValueError, match="read-only"):
        hrir.irs[0, 0, 0] = 1.0
