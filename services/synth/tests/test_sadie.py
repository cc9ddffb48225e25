"""Reading of SADIE II folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile as sf
from synth_service.hrir import load_hrir

from .conftest import RATE, SWAPPED, Write, head, refused_hrir


def test_a_comma_is_the_decimal_separator(write_sadie: Write) -> None:
    hrir = load_hrir(write_sadie(azimuths=(0, 22.5, 90, 112.5)))
    assert hrir.azimuths.tolist() == [0, 22.5, 90, 112.5]
    assert hrir.at(112.5).shape == (2, 64)


def test_a_subfolder_is_found(write_sadie: Write) -> None:
    inner = write_sadie("subject/44K_16bit")
    hrir = load_hrir(inner.parent)
    assert (hrir.azimuths.size, hrir.name) == (12, "subject/44K_16bit")


@pytest.fixture
def subject(write_sadie: Write) -> Path:
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
def test_the_set_at_the_requested_rate_is_chosen_from_a_subjects_folder(
    subject: Path, asked: int, name: str, rate: int
) -> None:
    hrir = load_hrir(subject, asked)
    assert (hrir.name, hrir.sample_rate) == (f"H3/H3_HRIR_WAV/{name}", rate)
    assert hrir.sha256 == load_hrir(subject / "H3_HRIR_WAV" / name).sha256


def test_several_sets_of_one_rate_below_are_refused_by_name(write_sadie: Write) -> None:
    write_sadie("D1/44K_16bit")
    assert "D1/44K_16bit, D2/44K_16bit" in refused_hrir(write_sadie("D2/44K_16bit").parent.parent)


def test_a_folder_of_sofa_files_names_one(write_sofa: Write) -> None:
    assert "name a SOFA file in it, such as set.sofa" in refused_hrir(write_sofa().parent)


def test_hidden_other_and_elevated_files_are_ignored(write_sadie: Write) -> None:
    folder = write_sadie()
    (folder / "._azi_10,0_ele_0,0.wav").write_bytes(b"resource fork")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "readme.txt").write_text("hello")
    (folder / "azi_45,0_ele_30,0.wav").write_text("not read, as it is elevated")
    (folder / "azi_50,0_ele_0,0.wav").mkdir()
    assert load_hrir(folder).azimuths.size == 12


def test_16_bit_files_are_read(write_sadie: Write) -> None:
    folder = write_sadie()
    for path in folder.iterdir():
        ir, rate = sf.read(path)
        sf.write(str(path), 0.5 * ir, rate, subtype="PCM_16")
    assert np.allclose(load_hrir(folder).irs, 0.5 * head(), atol=1e-4)


def test_negative_azimuths_are_on_the_right(write_sadie: Write) -> None:
    hrir = load_hrir(write_sadie(azimuths=(-90, 0, 90)))
    assert hrir.azimuths.tolist() == [0, 90, 270]


def test_two_files_of_one_azimuth_are_refused(write_sadie: Write) -> None:
    folder = write_sadie()
    shutil.copy(folder / "azi_90,0_ele_0,0.wav", folder / "azi_-270,0_ele_0,0.wav")
    assert "same azimuth as" in refused_hrir(folder)


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.ones((64, 3)), RATE, "has 3 channel(s); expected 2"),
        (np.ones((64, 2)), 48000, "64 samples at 48000 Hz; expected 64 at 44100 Hz"),
        (np.ones((63, 2)), RATE, "63 samples at 44100 Hz; expected 64 at 44100 Hz"),
    ],
)
def test_a_file_with_another_format_than_the_others_is_named(
    write_sadie: Write, audio: npt.NDArray[Any], rate: int, message: str
) -> None:
    folder = write_sadie()
    sf.write(str(folder / "azi_330,0_ele_0,0.wav"), audio, rate)
    line = refused_hrir(folder)
    assert message in line
    assert "azi_330,0_ele_0,0.wav" in line
