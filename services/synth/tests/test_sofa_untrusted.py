"""SOFA files that are damaged or malicious: those that ``tests/bad_input/sofas.py`` does not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mssbench_service.errors import TooLarge
from synth_service.hrir import load_hrir

from .conftest import AZIMUTHS, Write, refused_hrir

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


def test_delays_that_make_a_small_file_a_large_set_are_refused(alter: Alter) -> None:
    path = alter(_delayed_by_a_second)
    assert path.stat().st_size < 200_000
    with pytest.raises(TooLarge, match=r"set\.sofa holds"):
        load_hrir(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("Data.IR", np.full((12, 2, 64), 9.96920996838687e36), "NaN or infinite"),
        ("Data.IR", np.ones((12, 2, 441_001)), "441001 taps; expected at most 10 s of them"),
        ("SourcePosition", np.full((12, 3), 1e300), "SourcePosition of shape (12, 3); expected three finite"),
        ("SourcePosition", np.zeros((12, 3, 0)), "SourcePosition of shape (12, 3, 0)"),
        ("SourcePosition", np.zeros((12, 3, 2, 2)), "SourcePosition of shape (12, 3, 2, 2)"),
        ("ReceiverPosition", np.zeros((2, 3, 0)), "ReceiverPosition of shape (2, 3, 0)"),
        ("Data.SamplingRate", np.zeros(0), "sampling rate none"),
        ("Data.Delay", np.zeros((5, 7)), "delays of shape (5, 7)"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(alter: Alter, field: str, value: Any, message: str) -> None:
    assert message in refused_hrir(alter(lambda file: file.__setitem__(field, value), field))


def test_a_negative_distance_is_refused(write_sofa: Write) -> None:
    positions = np.array([[a, 0.0, -1.5] for a in AZIMUTHS])
    assert "SourcePosition at a negative distance" in refused_hrir(write_sofa(SourcePosition=positions))


def test_the_convention_may_be_a_list_of_one_string(write_sofa: Write) -> None:
    """Some programs write it so."""
    path = write_sofa()
    for written in (["SimpleFreeFieldHRIR"], np.array([b"SimpleFreeFieldHRIR"]), "SimpleFreeFieldHRIR"):
        with h5py.File(path, "a") as file:
            file.attrs["SOFAConventions"] = written
        assert load_hrir(path).azimuths.size == 12
