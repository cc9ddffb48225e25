"""Reading the horizontal plane of a SADIE II folder: ``azi_<deg>,0_ele_<deg>,0.wav``, two channels each.

Azimuths are counter-clockwise, 0 = front; channel 0 is the left ear.

References
----------
Armstrong, Thresh, Murphy & Kearney, "A perceptual evaluation of individual and non-individual HRTFs: a case
study of the SADIE II database", Applied Sciences 8(11), 2018.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from mssbench_service.audio import read
from mssbench_service.errors import BadInput

from .measured import Measured

# The comma is the decimal sign: azi_112,5_ele_0,0.wav.
_NAME = re.compile(r"azi_(-?\d+(?:[,.]\d+)?)_ele_(-?\d+(?:[,.]\d+)?)\.wav", re.IGNORECASE)
_EXPECTED = "expected files like azi_90,0_ele_0,0.wav"


def horizontal_files(folder: Path) -> dict[float, Path]:
    """The files at elevation 0° by azimuth in degrees, in `folder` or in its only subfolder that has any.

    Raises
    ------
    BadInput
        There are none, several subfolders have them, or two files name one azimuth.
    """
    found = _files(folder)
    if not found:
        below = [entry for entry in _entries(folder) if entry.is_dir() and _files(entry)]
        if not below:
            raise BadInput(f"{folder} holds no HRIRs at elevation 0°; {_EXPECTED}")
        if len(below) > 1:
            names = ", ".join(entry.name for entry in below)
            raise BadInput(f"{folder} holds several HRIR sets ({names}); name one of these folders")
        found = _files(below[0])
    by_azimuth: dict[float, Path] = {}
    for path, azimuth in found:
        other = by_azimuth.setdefault(azimuth % 360.0, path)
        if other is not path:
            raise BadInput(f"{path} has the same azimuth as {other.name}; expected one file per azimuth")
    return by_azimuth


def read_folder(folder: Path) -> Measured:
    """Read the set.

    Raises
    ------
    BadInput
        What :func:`horizontal_files` refuses; a file that is not audio, not two channels, or of another rate
        or length than the others. The message names the file.
    """
    files = horizontal_files(folder)
    irs = []
    first: tuple[Path, int, int] | None = None
    for path in files.values():
        ir, sample_rate = read(path)
        if ir.shape[0] != 2:
            raise BadInput(f"{path} has {ir.shape[0]} channel(s); expected 2, left and right ear")
        first = first or (path, sample_rate, ir.shape[1])
        if (sample_rate, ir.shape[1]) != first[1:]:
            raise BadInput(
                f"{path} has {ir.shape[1]} samples at {sample_rate} Hz; "
                f"expected {first[2]} at {first[1]} Hz as {first[0].name}"
            )
        irs.append(ir)
    assert first is not None
    return Measured(first[1], np.array(list(files), dtype=np.float64), np.array(irs, dtype=np.float64))


def _files(folder: Path) -> list[tuple[Path, float]]:
    found = []
    for path in _entries(folder):
        # Matching the whole name also passes over hidden files such as "._azi_0,0_ele_0,0.wav".
        match = _NAME.fullmatch(path.name)
        if match and _degrees(match[2]) == 0.0 and path.is_file():
            found.append((path, _degrees(match[1])))
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{folder} cannot be read: {error.strerror or error}") from None


def _degrees(text: str) -> float:
    return float(text.replace(",", "."))
