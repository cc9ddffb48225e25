"""SOFA files that are damaged or malicious. HDF5 files can refer to other files, and claim any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mssbench_service.errors import TooLarge
from synth_service.hrir import load_hrir

from .conftest import AZIMUTHS, Write, head, refused_hrir

Change = Callable[[h5py.File], Any]
"""Writes something else in the place of a field of an open file."""

Alter = Callable[..., Path]


@pytest.fixture
def alter(write_sofa: Write) -> Alter:
    """Put something else in the place of a field of a SOFA file, by a function of the open file."""

    def write(change: Change, field: str = "Data.IR") -> Path:
        path = write_sofa()
        with h5py.File(path, "a") as file:
            del file[field]
            change(file)
        return path

    return write


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A file of numbers that would be a perfect set, as raw bytes and as a field of another HDF5 file."""
    head().astype("<f8").tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = head()
    return tmp_path


def _external_numbers(folder: Path) -> Change:
    stored = [(str(folder / "secret.bin"), 0, head().nbytes)]
    return lambda file: file.create_dataset("Data.IR", head().shape, "f8", external=stored)


def _virtual_numbers(folder: Path) -> Change:
    layout = h5py.VirtualLayout(head().shape, "f8")
    layout[...] = h5py.VirtualSource(str(folder / "secret.h5"), "x", head().shape)
    return lambda file: file.create_virtual_dataset("Data.IR", layout)


def _external_link(folder: Path) -> Change:
    return lambda file: file.__setitem__("Data.IR", h5py.ExternalLink(str(folder / "secret.h5"), "x"))


def _soft_link(folder: Path) -> Change:
    def change(file: h5py.File) -> None:
        file["other"] = head()
        file["Data.IR"] = h5py.SoftLink("/other")

    return change


@pytest.mark.parametrize("way", [_external_numbers, _virtual_numbers, _external_link, _soft_link])
def test_numbers_in_another_file_are_not_read(
    alter: Alter, elsewhere: Path, way: Callable[[Path], Change]
) -> None:
    assert "keeps its Data.IR somewhere else; expected the numbers in the file" in refused_hrir(
        alter(way(elsewhere))
    )


def _many_numbers(file: h5py.File) -> None:
    file.create_dataset("Data.IR", (12, 2, 1 << 30), "f8", chunks=(1, 1, 1 << 20), compression="gzip")


def _a_large_chunk(file: h5py.File) -> None:
    file.create_dataset("Data.IR", (12, 2, 64), "f8", maxshape=(None,) * 3, chunks=(12, 2, 1 << 24))


def _many_chunks(file: h5py.File) -> None:
    file.create_dataset("Data.IR", (12, 2, 1 << 20), "f8", chunks=(1, 1, 1))


def _delayed_by_a_second(file: h5py.File) -> None:
    sources = 100
    file["Data.IR"] = np.ones((sources, 2, 8))
    for name, value in {
        "SourcePosition": [[0.0, 0.0, 1.5]] * sources,
        "Data.Delay": np.full((sources, 2), 1.75e5),
        "Data.SamplingRate": [192_000.0],
    }.items():
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = value
        if "Type" in attributes:
            file[name].attrs["Type"] = attributes["Type"]


@pytest.mark.parametrize("bomb", [_many_numbers, _a_large_chunk, _many_chunks, _delayed_by_a_second])
def test_a_small_file_that_expands_to_a_large_one_is_refused(alter: Alter, bomb: Change) -> None:
    path = alter(bomb)
    assert path.stat().st_size < 200_000
    with pytest.raises(TooLarge, match=r"set\.sofa holds|set\.sofa has Data\.IR in \d+ pieces"):
        load_hrir(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
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
def test_a_wrong_field_is_named(alter: Alter, field: str, value: Any, message: str) -> None:
    assert message in refused_hrir(alter(lambda file: file.__setitem__(field, value), field))


def test_a_field_that_is_a_group_is_named(alter: Alter) -> None:
    assert "Data.IR that is not numeric" in refused_hrir(alter(lambda file: file.create_group("Data.IR")))


def test_a_negative_distance_is_refused(write_sofa: Write) -> None:
    positions = np.array([[a, 0.0, -1.5] for a in AZIMUTHS])
    assert "SourcePosition at a negative distance" in refused_hrir(write_sofa(SourcePosition=positions))


def test_a_very_long_attribute_is_not_read(write_sofa: Write) -> None:
    path = write_sofa()
    with h5py.File(path, "a") as file:
        file.attrs["SOFAConventions"] = np.bytes_(b"x" * 60_000)
    assert "an attribute SOFAConventions of more than 1000 bytes" in refused_hrir(path)
    with h5py.File(path, "a") as file:
        del file.attrs["SOFAConventions"]
    assert "follows the SOFA convention of no name" in refused_hrir(path)


def test_the_convention_may_be_a_list_of_one_string(write_sofa: Write) -> None:
    """Some programs write it so."""
    path = write_sofa()
    for written in (["SimpleFreeFieldHRIR"], np.array([b"SimpleFreeFieldHRIR"]), "SimpleFreeFieldHRIR"):
        with h5py.File(path, "a") as file:
            file.attrs["SOFAConventions"] = written
        assert load_hrir(path).azimuths.size == 12
